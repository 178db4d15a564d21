"""Signing in over HTTP: how a session goes on, how it ends, and what may never be found anywhere."""

import asyncio
import hashlib
import itertools
import json
import statistics
import time
from base64 import b64encode, urlsafe_b64decode
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.integration.clients import PASSWORD, Person, accept, fresh_email, join, listening, log_in, register
from tests.integration.servers import ServerProcess


async def refresh(http: httpx.AsyncClient, token: str, **body: str) -> httpx.Response:
    return await http.post("/api/auth/refresh", json={"refreshToken": token, **body})


async def successor(http: httpx.AsyncClient, token: str, **body: str) -> str:
    reply = await refresh(http, token, **body)
    assert reply.status_code == 200, reply.text
    refresh_token: str = reply.json()["data"]["refreshToken"]
    return refresh_token


async def is_over(person: Person, *refresh_tokens: str) -> bool:
    """Whether access and all these refresh tokens are refused, each for the reason that the session has ended."""
    replies = [await person.ask("GET", "/api/organisations")]
    replies += [await refresh(person.http, token) for token in refresh_tokens or [person.refresh_token]]
    reasons = {(reply.status_code, reply.json().get("code")) for reply in replies}
    assert reasons in ({(401, "session_ended")}, {(200, None)}), reasons
    return reasons == {(401, "session_ended")}


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    read: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return read


async def move(superuser: asyncpg.Connection, person: Person, column: str, by: timedelta) -> None:
    statement = f"update sessions set {column} = {column} + $2 where id = $1"  # noqa: S608 - our own words
    assert await superuser.execute(statement, UUID(claims(person.access_token)["sid"]), by) == "UPDATE 1"


@pytest.fixture
async def ada(http: httpx.AsyncClient) -> Person:
    return await register(http)


async def test_within_its_grace_the_predecessor_is_answered_with_the_same_successor(
    ada: Person, superuser: asyncpg.Connection
) -> None:
    second = await successor(ada.http, ada.refresh_token)
    await move(superuser, ada, "rotated_at", timedelta(seconds=-5))

    assert await successor(ada.http, ada.refresh_token) == second
    assert second != ada.refresh_token
    assert not await is_over(ada, second)


async def test_after_its_grace_the_predecessor_ends_the_session(ada: Person, superuser: asyncpg.Connection) -> None:
    second = await successor(ada.http, ada.refresh_token)
    await move(superuser, ada, "rotated_at", timedelta(seconds=-11))

    assert (await refresh(ada.http, ada.refresh_token)).status_code == 401
    assert await is_over(ada, ada.refresh_token, second)


async def test_anything_older_ends_the_session_at_once_and_the_ending_survives_the_401(
    ada: Person, superuser: asyncpg.Connection
) -> None:
    second = await successor(ada.http, ada.refresh_token)
    third = await successor(ada.http, second)

    assert (await refresh(ada.http, ada.refresh_token)).status_code == 401
    assert await is_over(ada, ada.refresh_token, second, third)
    assert await superuser.fetchval("select ended_at from sessions where user_id = $1", UUID(ada.id)) is not None


async def test_a_replayed_token_ends_one_session_and_no_other(ada: Person) -> None:
    elsewhere = await log_in(ada.http, ada.email)
    await successor(ada.http, await successor(ada.http, ada.refresh_token))

    assert (await refresh(ada.http, ada.refresh_token)).status_code == 401
    assert not await is_over(elsewhere)


async def test_a_session_that_nobody_uses_for_seven_days_expires(ada: Person, superuser: asyncpg.Connection) -> None:
    lifetime = await superuser.fetchval("select expires_at - rotated_at from sessions where user_id = $1", UUID(ada.id))
    assert lifetime == timedelta(days=7)

    await move(superuser, ada, "expires_at", -lifetime)

    assert await is_over(ada)


async def test_used_every_day_a_session_still_ends_after_thirty(ada: Person, superuser: asyncpg.Connection) -> None:
    await move(superuser, ada, "created_at", timedelta(days=-29))
    latest = await successor(ada.http, ada.refresh_token)

    total = await superuser.fetchval("select expires_at - created_at from sessions where user_id = $1", UUID(ada.id))
    assert total == timedelta(days=30)
    for column in ("created_at", "expires_at"):
        await move(superuser, ada, column, timedelta(days=-1))
    assert await is_over(ada, latest)


async def test_what_is_refused_before_the_session_is_found_costs_no_token(http: httpx.AsyncClient, ada: Person) -> None:
    stranger = await register(http)

    assert (await refresh(http, ada.refresh_token, organisationId=stranger.organisation["id"])).status_code == 404
    assert claims(await successor(http, ada.refresh_token))["gen"] == claims(ada.refresh_token)["gen"] + 1


async def test_a_role_changed_in_the_database_counts_from_the_next_request_on(
    ada: Person, superuser: asyncpg.Connection
) -> None:
    bo = await join(ada, role="ADMIN")
    assert (await bo.ask("GET", "/api/users")).status_code == 200

    for role, status in (("MEMBER", 403), ("ADMIN", 200)):
        await superuser.execute("update memberships set role = $2 where user_id = $1", UUID(bo.id), role)
        assert (await bo.ask("GET", "/api/users")).status_code == status
        pair = (await refresh(ada.http, bo.refresh_token)).json()["data"]
        assert claims(pair["accessToken"])["role"] == role
        bo.refresh_token = pair["refreshToken"]


async def test_a_removed_member_is_out_at_once_and_an_invite_back_does_not_revive_the_session(ada: Person) -> None:
    bo = await join(ada)
    await ada.data("DELETE", f"/api/users/{bo.id}")

    assert await is_over(bo)
    assert (await ada.http.post("/api/auth/login", json={"email": bo.email, "password": PASSWORD})).status_code == 403

    assert (await accept(ada.http, await ada.invite(bo.email))).status_code == 201
    assert await is_over(bo)
    assert not await is_over(await log_in(ada.http, bo.email))


async def test_logging_out_ends_this_session_with_all_its_tokens_and_no_other(ada: Person) -> None:
    phone = await log_in(ada.http, ada.email)

    await ada.data("POST", "/api/auth/logout")

    assert await is_over(ada)
    assert not await is_over(phone)


async def test_logging_out_with_a_refresh_token_of_ones_own_ends_that_session_too(ada: Person) -> None:
    phone = await log_in(ada.http, ada.email)

    await ada.data("POST", "/api/auth/logout", {"refreshToken": phone.refresh_token})

    assert await is_over(ada)
    assert await is_over(phone)


async def test_logging_out_with_somebody_elses_refresh_token_leaves_it_alone(ada: Person) -> None:
    for other in (await join(ada), await register(ada.http)):
        bearer = await log_in(ada.http, ada.email)

        await bearer.data("POST", "/api/auth/logout", {"refreshToken": other.refresh_token})

        assert await is_over(bearer)
        assert not await is_over(other)


async def test_tokens_of_the_same_second_differ(ada: Person) -> None:
    signed_in = await asyncio.gather(*(log_in(ada.http, ada.email) for _ in range(20)))

    assert len({claims(each.access_token)["iat"] for each in signed_in}) < 20
    assert len({each.access_token for each in signed_in}) == len({each.refresh_token for each in signed_in}) == 20


def secrets_of(token: str) -> set[str]:
    """The token, what in it cannot be guessed, and the forms in which either could be stored, as text or as bytes."""
    signature_or_invite = token.rsplit(".", maxsplit=1)[-1]
    secret = urlsafe_b64decode(signature_or_invite + "=" * (-len(signature_or_invite) % 4))
    if signature_or_invite == token:
        secret = secret[16:]  # what comes first is the organisation's id
    encoded = (token.encode(), signature_or_invite.encode(), secret)
    return {
        token,
        signature_or_invite,
        *(each.hex() for each in encoded),
        *(b64encode(each).decode() for each in encoded),
    }


async def everything_in(database: asyncpg.Connection) -> str:
    tables = await database.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [await database.fetch(f"select to_jsonb(t)::text from {table} t") for [table] in tables]  # noqa: S608 - as above
    return "\n".join(row[0] for row in itertools.chain.from_iterable(rows))


async def test_neither_the_database_nor_the_log_holds_a_token_or_a_password(
    http: httpx.AsyncClient, ada: Person, server: ServerProcess, superuser: asyncpg.Connection
) -> None:
    invite, unused = await ada.invite(), await ada.invite()
    password, wrong = "never to be seen anywhere", "never to be seen, and wrong"
    await http.post("/api/users/accept-invite", json={"token": invite["token"], "name": "Bo", "password": password})
    pairs = [await http.post("/api/auth/login", json={"email": invite["email"], "password": password})]
    pairs.append(await refresh(http, pairs[0].json()["data"]["refreshToken"]))
    await http.post("/api/auth/login", json={"email": ada.email, "password": wrong})
    await http.get(f"/api/organisations?token={ada.access_token}")
    async with listening(server.live_url, ada.access_token) as socket:
        await socket.say("AUTH", token=ada.access_token)
        await socket.until("AUTHENTICATED")
    await ada.data("POST", "/api/auth/logout", {"refreshToken": ada.refresh_token})

    tokens = [invite["token"], unused["token"], ada.access_token, ada.refresh_token]
    tokens += [pair.json()["data"][name] for pair in pairs for name in ("accessToken", "refreshToken")]
    forbidden = {secret for token in tokens for secret in secrets_of(token)}
    for text in (password, wrong):
        forbidden |= {text, text.encode().hex(), hashlib.sha256(text.encode()).hexdigest()}
    stored, logged = await everything_in(superuser), server.output()
    assert not [secret for secret in forbidden if secret in stored or secret in logged]

    # What may be there was found, so that it was looked for in the right places.
    assert hashlib.sha256(urlsafe_b64decode(unused["token"])[16:]).hexdigest() in stored
    assert invite["email"] in stored
    assert "/api/auth/logout 200" in logged
    assert "/ws 101" in logged


async def test_an_unknown_address_is_refused_in_the_same_words_and_the_same_time(ada: Person) -> None:
    seconds: dict[str, list[float]] = {ada.email: [], fresh_email("nobody"): []}
    bodies = set()
    for _ in range(12):
        for email, taken in seconds.items():
            started = time.perf_counter()
            reply = await ada.http.post(
                "/api/auth/login",
                json={"email": email, "password": "not the password"},
                headers={"X-Request-ID": "the-same"},
            )
            taken.append(time.perf_counter() - started)
            assert reply.status_code == 401
            bodies.add(reply.content)

    known, unknown = (statistics.median(taken) for taken in seconds.values())
    assert 1 / 1.5 < known / unknown < 1.5
    assert len(bodies) == 1
