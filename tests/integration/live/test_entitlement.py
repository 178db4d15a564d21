"""Who is entitled hears everything, and who no longer is hears that, within a second, and nothing after it."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.integration.clients import Person, accept, join, log_in, register
from tests.integration.live.ears import Ear, Frame, assert_saw, audience, dial, listen
from tests.integration.live.storms import served, stream, write
from tests.integration.live.wires import Wire, until
from tests.integration.servers import ServerProcess, serving

Pair = tuple[ServerProcess, ServerProcess]
Result = TypeVar("Result")


async def assert_closed_in_time(ears: Sequence[Ear], code: int, since: float, seconds: float = 3) -> None:
    for ear in ears:
        assert await ear.closed() == code
        assert ear.closed_at - since < seconds


async def test_with_nothing_else_going_on_removed_members_and_ended_sessions_are_parted_from_within_a_second(
    pair: Pair, http: httpx.AsyncClient
) -> None:
    ada = await register(http)
    bo, again = await join(ada), await log_in(http, ada.email)
    ports = [server.port for server in pair]
    async with audience(ports * 2, bo.access_token) as removed, audience(ports * 2, again.access_token) as ended:
        await ada.data("DELETE", f"/api/users/{bo.id}")
        await assert_closed_in_time(removed, 4403, time.time(), seconds=1)
        await log_out(again)
        await assert_closed_in_time(ended, 4401, time.time(), seconds=1)


async def test_a_removed_member_hears_nothing_of_it_and_nothing_after_it_anywhere(
    pair: Pair, http: httpx.AsyncClient
) -> None:
    ada = await register(http)
    bo = await join(ada)
    ports = [server.port for server in pair]
    async with audience(ports * 2, bo.access_token) as ears, audience([ports[1]], ada.access_token) as [witness]:
        async with stream(ports[0], ada):
            await ears[0].reached(20)
            await ada.data("DELETE", f"/api/users/{bo.id}")
            await assert_closed_in_time(ears, 4403, time.time())
        feed = await ada.feed()
        [ending] = [entry["seq"] for entry in feed if entry["type"] == "USER_REMOVED"]
        for ear in ears:
            assert_saw(ear, feed[: ending - 1])
        await witness.reached(len(feed))
        assert_saw(witness, feed)


async def soon(happening: Coroutine[Any, Any, Result]) -> Result:
    """Let it happen at some moment of the next few."""
    await asyncio.sleep(random.uniform(0, 0.04))  # noqa: S311
    return await happening


async def test_a_member_removed_while_a_socket_is_on_its_way_in_does_not_get_in_or_not_for_long(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    bo = await join(ada)
    member = dict(await superuser.fetchrow("select * from memberships where user_id = $1", UUID(bo.id)))
    await write(pair[0].port, [ada.access_token] * 400)
    got_in = 0
    for _ in range(40):
        removing = asyncio.create_task(soon(ada.data("DELETE", f"/api/users/{bo.id}")))
        ears = await asyncio.gather(
            *(
                soon(dial(server.port, f"token={bo.access_token}{query}"))
                for server, query in itertools.product(pair, ("", "&after=0", "&after=390"))
            )
        )
        await removing
        since = time.time()
        await ada.broadcast("Not for everybody's ears")
        [ending] = [entry["seq"] for entry in (await ada.data("GET", "/api/activities?limit=1"))]
        for ear in ears:
            assert ear.status in (101, 401)
            await ear.closed()
            assert ear.closed_at - since < 3
            if ear.status == 101:
                got_in += 1
                assert ear.close_code == 4403
                assert all(frame.seq < ending - 1 for frame in ear.frames)
        await superuser.execute("insert into memberships values ($1, $2, $3, $4, $5)", *member.values())
        await superuser.execute(
            "update organisations set members = members + 1 where id = $1", UUID(ada.organisation["id"])
        )
        bo = await log_in(http, bo.email)
    assert 0 < got_in < 240


async def log_out(person: Person) -> None:
    await person.data("POST", "/api/auth/logout", {})


async def replay_a_refresh_token(person: Person) -> None:
    """As a thief would, or whom he robbed."""
    tokens = [person.refresh_token]
    for token in (tokens[0], None, tokens[0]):
        reply = await person.http.post("/api/auth/refresh", json={"refreshToken": token or tokens[-1]})
        if reply.is_success:
            tokens.append(reply.json()["data"]["refreshToken"])
    assert reply.status_code == 401


@pytest.mark.parametrize("end", [log_out, replay_a_refresh_token])
async def test_an_ended_session_ends_its_sockets_and_no_others(
    pair: Pair, http: httpx.AsyncClient, end: Callable[[Person], Awaitable[None]]
) -> None:
    ada = await register(http)
    again = await log_in(http, ada.email)
    ports = [server.port for server in pair]
    async with audience(ports * 2, ada.access_token) as ears, audience(ports, again.access_token) as others:
        async with stream(ports[1], again):
            await ears[0].reached(20)
            await end(ada)
            await assert_closed_in_time(ears, 4401, time.time())
        feed = await again.feed()
        for other in others:
            await other.reached(len(feed))
            assert_saw(other, feed)


async def test_a_removal_ends_sockets_that_its_sessions_have_in_other_organisations(
    pair: Pair, http: httpx.AsyncClient
) -> None:
    ada, bo = await register(http), await register(http, "Bo", "Beta")
    for _ in range(3):
        bo = await log_in(http, bo.email, organisationId=bo.organisation["id"])
        assert (await accept(http, await ada.invite(bo.email))).status_code == 201
        async with audience([server.port for server in pair], bo.access_token) as ears:
            switch = {"refreshToken": bo.refresh_token, "organisationId": ada.organisation["id"]}
            assert (await http.post("/api/auth/refresh", json=switch)).status_code == 200
            await ada.data("DELETE", f"/api/users/{bo.id}")
            await assert_closed_in_time(ears, 4401, time.time())


async def test_a_session_whose_end_no_hint_told_of_is_found_all_the_same(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    async with audience([server.port for server in pair], ada.access_token) as ears:
        await superuser.execute("update sessions set ended_at = now() where user_id = $1", UUID(ada.id))
        await assert_closed_in_time(ears, 4401, time.time(), seconds=10)


async def test_a_removal_that_no_hint_told_of_is_found_and_is_no_mere_end_of_a_session(
    pair: Pair, http: httpx.AsyncClient, environ: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    ada = await register(http)
    bo = await join(ada)
    wire = Wire()
    async with wire.laid_to(database_url), served(tmp_path, {**environ, "DATABASE_URL": wire.url}) as deaf:
        await until(lambda: wire.listeners)
        wire.swallows = True
        async with audience([deaf.port] * 3, bo.access_token) as ears:
            await ada.data("DELETE", f"/api/users/{bo.id}")
            await assert_closed_in_time(ears, 4403, time.time(), seconds=10)


async def refreshed(person: Person) -> Person:
    reply = await person.http.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
    data = reply.json()["data"]
    return Person(person.http, person.id, person.email, data["accessToken"], data["refreshToken"], person.organisation)


def expiry(frame: Frame) -> float:
    """When the token that this frame confirms expires."""
    return datetime.fromisoformat(frame.payload["expiresAt"]).timestamp()


async def test_a_token_that_expires_ends_its_socket_unless_a_newer_one_takes_its_place(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, {**environ, "JWT_ACCESS_EXPIRES_IN": "6s"}) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            ada = await register(http)
            async with audience([server.port] * 2, ada.access_token) as [renewed, left_alone]:
                for _ in range(3):
                    await asyncio.sleep(1.5)
                    ada = await refreshed(ada)
                    renewed.say_json("AUTH", token=ada.access_token)
                    await write(server.port, [ada.access_token] * 5)
                await renewed.reached(16)
                assert_saw(renewed, await ada.feed())
                *_, last = authenticated = [frame for frame in renewed.frames if frame.type == "AUTHENTICATED"]
                assert len(authenticated) == 3

                first = left_alone.frames[0]
                assert expiry(first) + 3 < expiry(last)
                for ear, frame in ((left_alone, first), (renewed, last)):
                    await assert_closed_in_time([ear], 4401, expiry(frame))
                    assert ear.closed_at >= expiry(frame)


async def test_a_token_of_somebody_else_or_none_at_all_ends_the_socket(pair: Pair, http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo, eve = await join(ada), await register(http)
    for token in (bo.access_token, eve.access_token, ada.refresh_token, "nonsense", ""):
        ear = await listen(pair[0].port, ada.access_token)
        ear.say_json("AUTH", token=token)
        assert await ear.closed() == 4401


async def test_a_socket_that_could_not_be_renewed_just_now_still_ends_with_the_session_it_was_opened_in(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    again = await log_in(http, ada.email)
    ear = await listen(pair[0].port, ada.access_token)
    async with superuser.transaction():
        await superuser.execute("lock table sessions in access exclusive mode")
        ear.say_json("AUTH", token=again.access_token)
        await ear.until(lambda ear: len(ear.frames) == 2)
    assert ear.frames[1].type == "ERROR"
    await log_out(again)
    written = await ada.broadcast("Not the session of this socket")
    await ear.reached(written["seq"])
    await log_out(ada)
    assert await ear.closed(30) == 4401


async def test_one_person_may_have_twenty_sockets_in_a_process(pair: Pair, http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)
    port = pair[0].port
    async with audience([port] * 20, ada.access_token) as ears, audience([port, pair[1].port], bo.access_token):
        for query in (f"token={ada.access_token}", ""):
            surplus = await dial(port, query)
            if not query:
                surplus.say_json("AUTH", token=ada.access_token)
            assert await surplus.closed() == 1013
        async with audience([pair[1].port], ada.access_token):
            pass
        ears.pop().transport.abort()
        async with asyncio.timeout(30):
            while True:
                ear = await dial(port, f"token={ada.access_token}")
                await ear.until(lambda ear: ear.frames or ear.is_lost)
                ear.transport.abort()
                if ear.frames:
                    break
