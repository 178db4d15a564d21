"""Everybody at once: as many win as may, the others are refused, and afterwards the database adds up."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from saas.domain.plans import Plan
from tests.integration.clients import PASSWORD, Person, accept, fresh_email, join, log_in, register

_BOOKS = """
    select o.plan, o.members, o.last_seq,
           (select count(*) from memberships m where m.organisation_id = o.id) as memberships,
           (select count(*) from invites i
             where i.organisation_id = o.id and i.status = 'PENDING' and i.expires_at > now()) as promised,
           array(select a.seq from activities a where a.organisation_id = o.id order by a.seq) as seqs
      from organisations o where o.id = $1
"""


async def the_books_balance(superuser: asyncpg.Connection, *admins: Person, promises_kept: bool = True) -> None:
    """Members are as many as counted, no seat is sold twice, and the log has no gap.

    After a plan was shrunk behind the back of the application it holds its members, but not `promises_kept`.
    """
    for admin in admins:
        books = await superuser.fetchrow(_BOOKS, UUID(admin.organisation["id"]))
        assert books["members"] == books["memberships"]
        assert Plan(books["plan"]).holds(books["members"] + (books["promised"] if promises_kept else 0))
        assert books["seqs"] == list(range(1, books["last_seq"] + 1))


async def at_once(requests: Iterable[Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return await asyncio.gather(*requests)


def statuses(replies: Iterable[httpx.Response]) -> dict[int, int]:
    return dict(Counter(reply.status_code for reply in replies))


def count(feed: list[dict[str, Any]], type_: str) -> int:
    return sum(entry["type"] == type_ for entry in feed)


async def set_plan(superuser: asyncpg.Connection, admin: Person, plan: Plan) -> None:
    await superuser.execute("update organisations set plan = $2 where id = $1", UUID(admin.organisation["id"]), plan)


async def test_fifty_accepts_for_two_seats_in_each_of_twenty_organisations_seat_two_in_each(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admins = await asyncio.gather(*(register(http) for _ in range(20)))
    for admin in admins:
        await set_plan(superuser, admin, Plan.ENTERPRISE)
    invites = [await asyncio.gather(*(admin.invite() for _ in range(50))) for admin in admins]
    for admin in admins:
        await set_plan(superuser, admin, Plan.FREE)

    everybody = itertools.chain.from_iterable(zip(*invites, strict=True))  # in turn, so that all race all the time
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=http.base_url, timeout=httpx.Timeout(60, pool=None), limits=limits) as crowd:
        replies = await at_once(accept(crowd, invite) for invite in everybody)

    for i, admin in enumerate(admins):
        assert statuses(replies[i::20]) == {201: 2, 403: 48}, {reply.text for reply in replies[i::20]}
        assert (await admin.data("GET", "/api/organisations"))["memberCount"] == 3
        assert count(await admin.feed(), "USER_JOINED") == 2
    await the_books_balance(superuser, *admins, promises_kept=False)


async def test_eight_invites_for_two_seats_promise_two(http: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
    admin = await register(http)

    replies = await at_once(admin.ask("POST", "/api/users/invite", {"email": fresh_email()}) for _ in range(8))

    assert statuses(replies) == {201: 2, 403: 6}
    await the_books_balance(superuser, admin)


async def test_an_address_is_invited_once(http: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
    admin = await register(http)
    spellings = itertools.islice(itertools.cycle(["Bo@{}", "bo@{}", "BO@{}"]), 12)
    host = fresh_email().replace("@", ".")

    replies = await at_once(
        admin.ask("POST", "/api/users/invite", {"email": spelling.format(host)}) for spelling in spellings
    )

    assert statuses(replies) == {201: 1, 409: 11}
    await the_books_balance(superuser, admin)


async def test_an_invite_is_accepted_once(http: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
    admin = await register(http)
    invite = await admin.invite()

    replies = await at_once(accept(http, invite) for _ in range(12))

    assert statuses(replies) == {201: 1, 404: 11}
    assert count(await admin.feed(), "USER_JOINED") == count(await admin.feed(), "INVITE_ACCEPTED") == 1
    await the_books_balance(superuser, admin)


async def test_somebody_new_may_accept_the_invites_of_many_organisations_at_once(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admins = await asyncio.gather(*(register(http) for _ in range(8)))
    email = fresh_email()
    invites = [await admin.invite(email) for admin in admins]

    replies = await at_once(accept(http, invite) for invite in invites)

    assert statuses(replies) == {201: 8}
    assert len({reply.json()["data"]["id"] for reply in replies}) == 1
    await the_books_balance(superuser, *admins)


async def test_an_address_is_registered_once_and_the_losers_leave_no_organisation_behind(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    email = fresh_email()
    name = f"Company of {email}"

    replies = await at_once(
        http.post(
            "/api/auth/register",
            json={
                "name": "Ada",
                "email": email.upper() if i % 2 else email.title(),
                "password": PASSWORD,
                "organisationName": name,
            },
        )
        for i in range(20)
    )

    assert statuses(replies) == {201: 1, 409: 19}
    assert await superuser.fetchval("select count(*) from users where email = $1", email) == 1
    assert await superuser.fetchval("select count(*) from organisations where name = $1", name) == 1


async def test_organisations_of_one_name_get_different_slugs(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    name = f"Twins {fresh_email().split('@')[0]}"

    admins = await asyncio.gather(*(register(http, organisation=name) for _ in range(20)))

    assert len({admin.organisation["slug"] for admin in admins}) == 20
    await the_books_balance(superuser, *admins)


async def test_everybody_may_log_in_at_once_and_gets_tokens_of_their_own(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    signed_in = await asyncio.gather(*(log_in(http, ada.email) for _ in range(30)))

    assert len({each.access_token for each in signed_in}) == len({each.refresh_token for each in signed_in}) == 30
    assert statuses(await at_once(each.ask("GET", "/api/organisations") for each in signed_in)) == {200: 30}


async def test_refreshing_in_many_tabs_gives_all_of_them_the_same_successor(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)

    replies = await at_once(http.post("/api/auth/refresh", json={"refreshToken": ada.refresh_token}) for _ in range(30))

    assert statuses(replies) == {200: 30}
    assert len({reply.json()["data"]["accessToken"] for reply in replies}) == 30
    [successor] = {reply.json()["data"]["refreshToken"] for reply in replies}
    assert successor != ada.refresh_token
    following = await http.post("/api/auth/refresh", json={"refreshToken": successor})
    assert following.status_code == 200
    sessions = await superuser.fetch("select generation, ended_at from sessions where user_id = $1", UUID(ada.id))
    assert [tuple(session) for session in sessions] == [(2, None)]


async def test_logging_out_is_final_however_many_refreshes_are_under_way(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    for refreshed_before in range(10):
        phone = await log_in(http, ada.email)
        refresh = {"refreshToken": phone.refresh_token}
        requests = [http.post("/api/auth/refresh", json=refresh) for _ in range(10)]
        requests.insert(refreshed_before, phone.ask("POST", "/api/auth/logout"))

        replies = await at_once(requests)

        assert replies.pop(refreshed_before).status_code == 200
        assert statuses(replies).keys() <= {200, 401}
        late = [phone.ask("GET", "/api/organisations"), http.post("/api/auth/refresh", json=refresh)]
        assert statuses(await at_once(late)) == {401: 2}


async def test_a_member_is_removed_once(http: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
    admin = await register(http)
    bo = await join(admin)

    replies = await at_once(admin.ask("DELETE", f"/api/users/{bo.id}") for _ in range(12))

    assert statuses(replies) == {200: 1, 404: 11}
    assert count(await admin.feed(), "USER_REMOVED") == 1
    await the_books_balance(superuser, admin)


async def test_of_two_admins_who_demote_each_other_one_stays_an_admin(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    bo = await join(ada, role="ADMIN")
    for _ in range(25):
        replies = await at_once(
            by.ask("PATCH", f"/api/users/{other.id}", {"role": "MEMBER"}) for by, other in ((ada, bo), (bo, ada))
        )

        assert statuses(replies) in ({200: 1, 403: 1}, {200: 1, 409: 1})
        winner, loser = (ada, bo) if replies[0].status_code == 200 else (bo, ada)
        members = await winner.data("GET", "/api/users")
        assert {member["id"]: member["role"] for member in members} == {winner.id: "ADMIN", loser.id: "MEMBER"}
        await winner.data("PATCH", f"/api/users/{loser.id}", {"role": "ADMIN"})

    assert count(await ada.feed(), "USER_ROLE_CHANGED") == 50
    await the_books_balance(superuser, ada)


async def test_of_many_admins_who_all_step_down_at_once_one_stays(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    await set_plan(superuser, ada, Plan.PRO)
    admins = [ada, *[await join(ada, role="ADMIN") for _ in range(5)]]

    replies = await at_once(each.ask("PATCH", f"/api/users/{each.id}", {"role": "MEMBER"}) for each in admins)

    assert statuses(replies) == {200: 5, 409: 1}
    [left] = [each for each, reply in zip(admins, replies, strict=True) if reply.status_code == 409]
    roles = {member["id"]: member["role"] for member in await left.data("GET", "/api/users")}
    assert [user_id for user_id, role in roles.items() if role == "ADMIN"] == [left.id]
    await the_books_balance(superuser, ada)


async def test_a_seat_that_becomes_free_is_taken_once(http: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
    admin = await register(http)
    bo = await join(admin)
    await join(admin, "Cy")

    removed, *invited = await at_once(
        [
            admin.ask("DELETE", f"/api/users/{bo.id}"),
            *(admin.ask("POST", "/api/users/invite", {"email": fresh_email()}) for _ in range(8)),
        ]
    )

    assert removed.status_code == 200
    assert statuses(invited).get(201, 0) <= 1
    assert statuses(invited).keys() <= {201, 403}
    await the_books_balance(superuser, admin)


async def test_one_plan_change_wins_and_the_others_learn_that_it_is_done(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admin = await register(http)

    replies = await at_once(admin.ask("PATCH", "/api/organisations/subscription", {"plan": "PRO"}) for _ in range(12))

    assert statuses(replies) == {200: 1, 400: 11}
    assert count(await admin.feed(), "PLAN_UPGRADED") == 1
    await the_books_balance(superuser, admin)


async def test_changes_between_all_plans_leave_a_log_in_which_each_begins_where_the_last_one_ended(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admin = await register(http)
    plans = [*Plan] * 10

    replies = await at_once(admin.ask("PATCH", "/api/organisations/subscription", {"plan": plan}) for plan in plans)

    changes = [entry for entry in await admin.feed() if entry["type"].startswith("PLAN_")]
    assert len(changes) == statuses(replies)[200] > 1
    assert statuses(replies).keys() <= {200, 400}
    places = [Plan.FREE, *(Plan(entry["metadata"]["to"]) for entry in changes)]
    for entry, (before, after) in zip(changes, itertools.pairwise(places), strict=True):
        assert entry["metadata"]["from"] == before
        assert entry["type"] == ("PLAN_UPGRADED" if after.is_above(before) else "PLAN_DOWNGRADED")
    assert (await admin.data("GET", "/api/organisations"))["subscriptionPlan"] == places[-1]
    await the_books_balance(superuser, admin)


async def test_broadcasts_are_numbered_in_the_order_of_their_commits_so_that_nobody_ever_sees_a_gap(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admin = await register(http)
    organisation_id = UUID(admin.organisation["id"])
    storm = asyncio.gather(*(admin.broadcast(f"No. {i}") for i in range(100)))

    seen = set()
    while not storm.done():
        entries, last = await superuser.fetchrow(
            "select count(*), max(seq) from activities where organisation_id = $1", organisation_id
        )
        assert entries == last
        seen.add(last)

    assert len(seen) > 3  # it was watched while it happened
    assert sorted(said["seq"] for said in await storm) == list(range(2, 102))
    assert {said["message"] for said in await storm} == {f"No. {i}" for i in range(100)}
    await the_books_balance(superuser, admin)


async def test_invites_that_race_with_a_downgrade_never_fill_more_seats_than_the_plan_has(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    admins = await asyncio.gather(*(register(http) for _ in range(14)))
    downgraded = 0
    for invited_before, admin in enumerate(admins):
        await admin.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
        requests = [admin.ask("POST", "/api/users/invite", {"email": fresh_email()}) for _ in range(6)]
        requests.insert(invited_before % 7, admin.ask("PATCH", "/api/organisations/subscription", {"plan": "FREE"}))

        replies = await at_once(requests)

        downgrade = replies.pop(invited_before % 7)
        assert statuses(replies) == ({201: 2, 403: 4} if downgrade.status_code == 200 else {201: 6})
        assert downgrade.status_code in (200, 409)
        downgraded += downgrade.status_code == 200
    assert 0 < downgraded < 14  # both outcomes were seen
    await the_books_balance(superuser, *admins)
