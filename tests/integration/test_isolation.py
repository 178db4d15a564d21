"""Two organisations: what is one's own is, to the other, answered like what never was."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from saas.adapters.system import new_id
from tests.integration.clients import PASSWORD, Person, accept, join, listening, log_in, register
from tests.integration.replies import granted, listed, refused
from tests.integration.servers import ServerProcess

SAME_REQUEST = {"X-Request-ID": "the-same"}

Attempt = Callable[[Person, object], Awaitable[httpx.Response]]


@dataclass
class Organisation:
    """Everything of an organisation that somebody outside might get hold of."""

    admin: Person
    member: Person
    invite: dict[str, Any]
    used_invite: dict[str, Any]
    broadcast: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.admin.organisation["id"])

    def ids(self) -> list[str]:
        return [self.admin.id, self.member.id, self.invite["id"], self.broadcast["id"], self.id]

    def traces(self) -> list[str]:
        """What would show that something of this organisation has got out."""
        emails = [self.admin.email, self.member.email, self.invite["email"]]
        return [*self.ids(), *emails, self.broadcast["message"], self.admin.organisation["slug"], self.invite["token"]]


@pytest.fixture
async def acme(http: httpx.AsyncClient) -> Organisation:
    """The organisation that is to keep to itself."""
    return await organisation(http, "Acme")


@pytest.fixture
async def evil(http: httpx.AsyncClient) -> Organisation:
    """The one that tries."""
    return await organisation(http, "Evil")


async def organisation(http: httpx.AsyncClient, name: str) -> Organisation:
    admin = await register(http, organisation=name)
    await admin.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    used = await admin.invite()
    granted(await accept(http, used), 201)
    return Organisation(
        admin=admin,
        member=await log_in(http, used["email"]),
        invite=await admin.invite(),
        used_invite=used,
        broadcast=await admin.broadcast(f"Said in {name} {new_id()}"),
    )


def assert_alike(one: httpx.Response, other: httpx.Response) -> None:
    """Same status, same headers but the date, same bytes."""
    assert one.status_code == other.status_code
    assert one.content == other.content
    assert {**one.headers, "date": None} == {**other.headers, "date": None}


async def remove(by: Person, user_id: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {by.access_token}", **SAME_REQUEST}
    return await by.http.delete(f"/api/users/{user_id}", headers=headers)


async def promote(by: Person, user_id: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {by.access_token}", **SAME_REQUEST}
    return await by.http.patch(f"/api/users/{user_id}", json={"role": "ADMIN"}, headers=headers)


def never_seen() -> Iterator[str]:
    """Ids of nothing: like ours, of another version, of no version at all, in another spelling, and no ids."""
    yield str(new_id())
    yield "9f0c7c6e-8a53-4d5e-9f7a-2f4f0c1d7b11"
    yield "00000000-0000-0000-0000-000000000000"
    yield "ffffffff-ffff-ffff-ffff-ffffffffffff"
    yield str(new_id()).upper()
    yield "nobody"


# Ids of the other organisation


async def test_removing_somebody_elses_member_is_answered_as_removing_nobody(
    acme: Organisation, evil: Organisation
) -> None:
    nobody = await remove(evil.admin, new_id())
    refused(nobody, 404, "not_found")

    for user_id in [*acme.ids(), *never_seen()]:
        assert_alike(await remove(evil.admin, user_id), nobody)

    assert len(await acme.admin.data("GET", "/api/users")) == 2
    granted(await acme.member.ask("GET", "/api/organisations"))


async def test_changing_the_role_of_somebody_elses_member_is_answered_as_that_of_nobody(
    acme: Organisation, evil: Organisation
) -> None:
    nobody = await promote(evil.admin, new_id())
    refused(nobody, 404, "not_found")

    for user_id in [*acme.ids(), *never_seen()]:
        assert_alike(await promote(evil.admin, user_id), nobody)

    assert [member["role"] for member in await acme.admin.data("GET", "/api/users")] == ["ADMIN", "MEMBER"]


@pytest.mark.parametrize("attempt", [remove, promote])
async def test_a_member_learns_no_more_by_trying(acme: Organisation, evil: Organisation, attempt: Attempt) -> None:
    nobody = await attempt(evil.member, new_id())
    refused(nobody, 403, "admin_only")

    for user_id in [*acme.ids(), *evil.ids(), *never_seen()]:
        assert_alike(await attempt(evil.member, user_id), nobody)


@pytest.mark.parametrize("attempt", [remove, promote])
async def test_an_own_invite_or_activity_is_no_member_either(evil: Organisation, attempt: Attempt) -> None:
    nobody = await attempt(evil.admin, new_id())

    for other in (evil.invite["id"], evil.broadcast["id"], evil.id):
        assert_alike(await attempt(evil.admin, other), nobody)


async def test_logging_in_to_somebody_elses_organisation_is_answered_as_to_none(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    async def log_in_to(organisation_id: object, password: str = PASSWORD) -> httpx.Response:
        body = {"email": evil.admin.email, "password": password, "organisationId": str(organisation_id)}
        return await http.post("/api/auth/login", json=body, headers=SAME_REQUEST)

    none = await log_in_to(new_id())
    refused(none, 404, "not_found")
    wrong = await log_in_to(new_id(), "not the password")
    refused(wrong, 401, "wrong_credentials")

    for each in acme.ids():
        assert_alike(await log_in_to(each), none)
        assert_alike(await log_in_to(each, "not the password"), wrong)
    assert_alike(await log_in_to(evil.id, "not the password"), wrong)
    granted(await log_in_to(evil.id))


async def test_refreshing_into_somebody_elses_organisation_is_answered_as_into_none(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    async def refresh_into(organisation_id: object) -> httpx.Response:
        body = {"refreshToken": evil.admin.refresh_token, "organisationId": str(organisation_id)}
        return await http.post("/api/auth/refresh", json=body, headers=SAME_REQUEST)

    none = await refresh_into(new_id())
    refused(none, 404, "not_found")

    for each in acme.ids():
        assert_alike(await refresh_into(each), none)
    granted(await refresh_into(evil.id))


async def test_an_invite_opens_no_other_organisation_than_its_own(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    async def try_token(content: bytes) -> httpx.Response:
        body = {"token": base64.urlsafe_b64encode(content).decode(), "name": "Eve", "password": PASSWORD}
        return await http.post("/api/users/accept-invite", json=body, headers=SAME_REQUEST)

    good, used = (base64.urlsafe_b64decode(each["token"]) for each in (acme.invite, acme.used_invite))
    evils = base64.urlsafe_b64decode(evil.invite["token"])
    assert good[:16] == UUID(acme.id).bytes
    nothing = await try_token(new_id().bytes + bytes(32))
    refused(nothing, 404, "not_found")

    for guess in (
        UUID(evil.id).bytes + good[16:],
        UUID(acme.id).bytes + evils[16:],
        UUID(acme.id).bytes + bytes(32),
        UUID(acme.invite["id"]).bytes + good[16:],
        used,
        good[:47] + bytes([good[47] ^ 1]),
    ):
        assert_alike(await try_token(guess), nothing)
    granted(await try_token(good), 201)


async def test_a_cursor_from_another_organisation_leads_only_to_ones_own_entries(
    acme: Organisation, evil: Organisation
) -> None:
    for path in ("/api/users", "/api/activities"):
        _, cursor = listed(await acme.admin.ask("GET", f"{path}?limit=1"))
        assert cursor is not None

        reply = await evil.admin.ask("GET", f"{path}?cursor={cursor}")

        entries, _ = listed(reply)
        own, _ = listed(await evil.admin.ask("GET", path))
        assert all(entry in own for entry in entries)
        assert not [trace for trace in acme.traces() if trace in reply.text]


async def test_a_cursor_made_from_somebody_elses_id_is_answered_as_one_made_from_any(
    acme: Organisation, evil: Organisation
) -> None:
    async def page_after(user_id: UUID) -> bytes:
        cursor = base64.urlsafe_b64encode(str(user_id).encode()).decode().rstrip("=")
        return (await evil.admin.ask("GET", f"/api/users?cursor={cursor}")).content

    for each in (UUID(user_id) for user_id in acme.ids()):
        assert await page_after(each) == await page_after(UUID(int=each.int ^ 1))


async def test_somebody_elses_session_is_not_ended_by_logging_out_with_its_token(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    for token in (acme.admin.refresh_token, acme.member.refresh_token):
        eve = await log_in(http, evil.admin.email)
        granted(await eve.ask("POST", "/api/auth/logout", {"refreshToken": token}))

    for person in (acme.admin, acme.member):
        granted(await person.ask("GET", "/api/organisations"))


# Lists, feeds and sockets


@pytest.mark.parametrize("path", ["/api/organisations", "/api/users?limit=200", "/api/activities?limit=200"])
async def test_nothing_of_another_organisation_is_in_any_list(
    acme: Organisation, evil: Organisation, path: str
) -> None:
    seen = (await acme.admin.ask("GET", path)).text

    assert acme.admin.organisation["id"] in seen or acme.broadcast["id"] in seen
    assert not [trace for trace in evil.traces() if trace in seen]


async def test_inviting_and_being_full_concern_one_organisation_alone(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    granted(await evil.admin.ask("POST", "/api/users/invite", {"email": acme.member.email}), 201)
    granted(await evil.admin.ask("POST", "/api/users/invite", {"email": acme.invite["email"]}), 201)
    for _ in range(5):
        await evil.admin.invite()
    refused(await evil.admin.ask("POST", "/api/users/invite", {"email": "x@x.test"}), 403, "seat_limit_reached")

    granted(await acme.admin.ask("POST", "/api/users/invite", {"email": evil.invite["email"]}), 201)


async def test_each_feed_counts_for_itself_without_gaps(acme: Organisation, evil: Organisation) -> None:
    await asyncio.gather(*(each.broadcast("At once") for each in [acme.admin, evil.admin] * 10))

    for admin in (acme.admin, evil.admin):
        assert [entry["seq"] for entry in await admin.feed()] == list(range(1, 18))


async def test_an_open_socket_hears_nothing_of_another_organisation(
    server: ServerProcess, acme: Organisation, evil: Organisation
) -> None:
    async with (
        listening(server.live_url, acme.member.access_token, "&after=0") as inside,
        listening(server.live_url, evil.admin.access_token) as outside,
    ):
        bystander = await join(evil.admin, "Cy")
        await evil.admin.data("DELETE", f"/api/users/{bystander.id}")
        await evil.admin.data("PATCH", "/api/organisations/subscription", {"plan": "ENTERPRISE"})
        heard = await outside.until("PLAN_UPGRADED")

        last = await acme.admin.broadcast("The last word")
        while inside.frames[-1].get("seq") != last["seq"]:
            await inside.next()

        assert heard["seq"] == (await evil.admin.feed())[-1]["seq"]
        assert [frame["id"] for frame in inside.frames[1:]] == [entry["id"] for entry in await acme.admin.feed()]
        text = json.dumps(inside.frames)
        assert not [trace for trace in [*evil.traces(), bystander.id, bystander.email] if trace in text]


async def test_a_position_taken_from_another_organisation_resumes_ones_own_log(
    server: ServerProcess, acme: Organisation, evil: Organisation
) -> None:
    await acme.admin.broadcast("One more, so that the logs are of different lengths")
    last = (await evil.admin.feed())[-1]

    async with listening(server.live_url, evil.admin.access_token, f"&after={last['seq'] - 1}") as socket:
        assert (await socket.next())["id"] == last["id"]


# Somebody in both


async def test_removing_somebody_from_one_organisation_leaves_them_in_the_other(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    shared = acme.member
    granted(await accept(http, await evil.admin.invite(shared.email)), 201)
    guest = await log_in(http, shared.email, organisationId=evil.id)

    granted(await remove(evil.admin, shared.id))

    refused(await guest.ask("GET", "/api/organisations"), 401, "session_ended")
    assert (await shared.data("GET", "/api/organisations"))["id"] == acme.id
    assert shared.id in [member["id"] for member in await acme.admin.data("GET", "/api/users")]
    body = {"email": shared.email, "password": PASSWORD, "organisationId": evil.id}
    refused(await http.post("/api/auth/login", json=body), 404, "not_found")


async def test_a_role_is_one_of_a_person_in_one_organisation(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    shared = acme.member
    granted(await accept(http, await evil.admin.invite(shared.email)), 201)

    granted(await promote(evil.admin, shared.id))

    refused(await shared.ask("GET", "/api/users"), 403, "admin_only")
    guest = await log_in(http, shared.email, organisationId=evil.id)
    assert len(await guest.data("GET", "/api/users")) == 3


async def test_a_token_speaks_for_one_organisation_only(
    http: httpx.AsyncClient, acme: Organisation, evil: Organisation
) -> None:
    """An admin here who is a member there is an admin nowhere but here."""
    granted(await accept(http, await acme.admin.invite(evil.admin.email)), 201)
    guest = await log_in(http, evil.admin.email, organisationId=acme.id)

    refused(await remove(guest, acme.member.id), 403, "admin_only")
    refused(await remove(evil.admin, acme.member.id), 404, "not_found")
    assert (await evil.admin.data("GET", "/api/organisations"))["id"] == evil.id
    assert (await guest.data("GET", "/api/organisations"))["id"] == acme.id
