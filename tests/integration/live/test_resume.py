"""Resuming: whatever happened to a client's connection, it ends up with the feed, each entry once and in order."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.integration.clients import Person, register
from tests.integration.live.ears import Ear, Frame, assert_saw, audience, dial, listen
from tests.integration.live.storms import Writer, new_organisation, paced, resident_bytes, stream, write
from tests.integration.servers import ServerProcess

Pair = tuple[ServerProcess, ServerProcess]


async def restless(ports: Sequence[int], person: Person, last: asyncio.Future[int]) -> list[Frame]:
    """All activities that a client hears which is cut off every 1 to 5 seconds, and comes back, each time elsewhere."""
    heard: list[Frame] = []
    cursor = "&after=2"
    for port in itertools.cycle(ports):
        ear = await listen(port, person.access_token, cursor)
        pause = random.uniform(1, 5)  # noqa: S311
        if last.done():
            await ear.reached(last.result())
        else:
            await asyncio.wait([last], timeout=pause)
        ear.transport.abort()
        heard += ear.activities
        cursor = f"&after={heard[-1].seq if heard else 2}&epoch={ear.frames[0].payload['epoch']}"
        if last.done() and heard[-1].seq == last.result():
            return heard
    raise AssertionError


async def test_clients_whose_sockets_are_cut_again_and_again_lose_nothing_and_hear_nothing_twice(
    pair: Pair, http: httpx.AsyncClient
) -> None:
    ada, members = await new_organisation(http, members=9)
    ports = [server.port for server in pair]
    last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    clients = [
        asyncio.create_task(restless(ports[:: 1 - i % 2 * 2], (ada, *members)[i % 10], last)) for i in range(100)
    ]
    start = (await ada.feed())[-1]["seq"]

    written = await asyncio.gather(*(paced(port, ada.access_token, rate=75, count=1_000) for port in ports))
    last.set_result(max(each.seq for each in itertools.chain(*written)))

    feed = await ada.feed()
    assert len(feed) == last.result() == start + 2_000
    expected = [(entry["seq"], entry["id"]) for entry in feed[2:]]
    for heard in await asyncio.gather(*clients):
        assert [(frame.seq, frame.id) for frame in heard] == expected


async def test_a_thousand_connects_into_a_running_stream_find_a_clean_seam(pair: Pair, http: httpx.AsyncClient) -> None:
    ada, members = await new_organisation(http, members=4)
    ports = [server.port for server in pair]
    await asyncio.gather(*(write(port, [ada.access_token] * 200) for port in ports))
    ears: list[tuple[int, list[Frame]]] = []
    turns = iter(range(1_000))

    async def connect(person: Person) -> None:
        newest = 400
        for turn in turns:
            after = max(0, newest - random.choice((0, 1, 2, 5, 40, 300, newest)))  # noqa: S311
            ear = await listen(ports[turn % 2], person.access_token, f"&after={after}")
            newest = ear.frames[0].payload["seq"]
            await ear.reached(newest + 5)
            ear.transport.abort()
            ears.append((after, ear.frames))

    async with stream(ports[0], ada, 100), stream(ports[1], ada, 100):
        await asyncio.gather(*(connect(person) for person in (ada, *members) * 4))

    ids = [""] + [entry["id"] for entry in await ada.feed()]
    assert len(ears) == 1_000
    for after, frames in ears:
        assert frames[0].type == "CONNECTED"
        assert [frame.seq for frame in frames[1:]] == list(range(after + 1, after + len(frames)))
        assert [frame.id for frame in frames[1:]] == ids[after + 1 : after + len(frames)]


async def replies(port: int, person: Person, query: str) -> tuple[Ear, list[Frame]]:
    """What a resuming client hears before the next event, which is written for that."""
    ear = await listen(port, person.access_token, query)
    written = await person.broadcast("Life goes on")
    await ear.reached(written["seq"])
    ear.transport.abort()
    assert ear.frames[-1].id == written["id"]
    return ear, ear.frames[1:-1]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("&after=1000", "ahead_of_the_log"),
        ("&after=99999999999999999999999999", "ahead_of_the_log"),
        ("&after=1&epoch=another", "another_epoch"),
        ("&after=100&epoch=another", "another_epoch"),
        ("&after=1&epoch=", "another_epoch"),
    ],
)
async def test_a_cursor_that_cannot_be_resumed_from_gets_one_resync_and_what_comes_next(
    pair: Pair, http: httpx.AsyncClient, query: str, reason: str
) -> None:
    ada = await register(http)
    for server in pair:
        last = (await ada.feed())[-1]["seq"]
        ear, [resync] = await replies(server.port, ada, query)
        assert (resync.type, resync.payload["reason"], resync.payload["seq"]) == ("RESYNC", reason, last)
        assert resync.payload["epoch"] == ear.frames[0].payload["epoch"]


async def test_a_cursor_older_than_what_is_kept_gets_one_resync(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    await write(pair[0].port, [ada.access_token] * 9)
    statement = "delete from activities where organisation_id = $1 and seq <= $2"
    await superuser.execute(statement, UUID(ada.organisation["id"]), 5)

    for server in pair:
        _, [resync] = await replies(server.port, ada, "&after=4")
        assert (resync.type, resync.payload["reason"]) == ("RESYNC", "no_longer_kept")
    _, frames = await replies(pair[0].port, ada, "&after=5")
    assert [frame.seq for frame in frames] == list(range(6, 13))


@asynccontextmanager
async def long_log(superuser: asyncpg.Connection, person: Person, entries: int) -> AsyncIterator[list[dict[str, Any]]]:
    """So many entries of 4,000 characters, none of them in the memory of any process."""
    statement = """
        insert into activities (organisation_id, seq, id, type, message, payload, actor_id, occurred_at)
        select organisation_id, seq + n, gen_random_uuid(), 'BROADCAST_MESSAGE', 'Long ago',
               json_build_object('message', repeat('x', 4000), 'sentBy', actor_id, 'timestamp', now()), actor_id, now()
          from activities, generate_series(1, $2) n where organisation_id = $1 and seq = 1
    """
    organisation_id = UUID(person.organisation["id"])
    await superuser.execute(statement, organisation_id, entries - 1)
    await superuser.execute("update organisations set last_seq = $2 where id = $1", organisation_id, entries)
    yield await person.feed() if entries <= 5_000 else []
    await superuser.execute("delete from activities where organisation_id = $1 and seq > 1", organisation_id)


async def test_a_long_log_is_replayed_at_the_pace_of_its_reader_and_in_pages(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    async with long_log(superuser, ada, 5_000) as feed, audience([pair[0].port], ada.access_token, "&after=0") as [ear]:
        await ear.reached(5_000)
        assert_saw(ear, feed, after=0)
        before = resident_bytes(pair[0])

        slow = await listen(pair[0].port, ada.access_token, "&after=0", receive_buffer=16_384)
        slow.transport.pause_reading()
        writer = Writer(pair[0].port)
        growth = []
        for number in range(50):
            await writer.broadcast(ada.access_token, "Meanwhile")
            if number % 10 == 9:
                growth.append(resident_bytes(pair[0]) - before)
        writer.close()
        assert max(growth) < 10_000_000, "half of what there is to replay"

        slow.transport.resume_reading()
        await slow.reached(5_050)
        slow.transport.abort()
        assert_saw(slow, await ada.feed(), after=0)


async def test_what_a_slow_reader_says_during_a_long_replay_is_answered_in_the_middle_of_it(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    async with long_log(superuser, ada, 5_000) as feed:
        slow = await listen(pair[0].port, ada.access_token, "&after=0", receive_buffer=16_384)
        slow.transport.pause_reading()
        slow.say_json("PING")
        slow.say_json("AUTH", token=ada.access_token)
        slow.transport.resume_reading()
        await slow.reached(5_000)
        slow.transport.abort()
        types = [frame.type for frame in slow.frames]
        assert types[0] == "CONNECTED"
        assert types.index("PONG") < types.index("AUTHENTICATED") < 4_000
        assert_saw(slow, feed, after=0)


async def test_a_session_that_ends_during_a_long_replay_ends_it(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    async with long_log(superuser, ada, 5_000):
        slow = await listen(pair[0].port, ada.access_token, "&after=0", receive_buffer=16_384)
        slow.transport.pause_reading()
        slow.say_json("PING")
        await ada.data("POST", "/api/auth/logout", {})
        slow.transport.resume_reading()
        assert await slow.closed(60) == 4401
        assert 0 < len(slow.activities) < 4_000


async def test_nothing_is_replayed_to_somebody_who_has_gone(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    statement = "select idx_tup_fetch from pg_stat_user_tables where relname = 'activities'"

    async def settled() -> int:
        """How many entries have been read, once that stands still; sessions report it within a second or two."""
        counts = [0]
        while len(counts) < 30 or len(set(counts[-30:])) > 1:
            await asyncio.sleep(0.1)
            counts.append(await superuser.fetchval(statement))
        return counts[-1]

    async with long_log(superuser, ada, 20_000):
        before = await settled()
        for _ in range(5):
            fleeting = await dial(pair[0].port, f"token={ada.access_token}&after=0", receive_buffer=16_384)
            fleeting.transport.abort()

        assert await settled() - before < 60_000, "far from all that they asked for"


async def test_the_cursor_may_come_with_the_token_in_the_first_message(pair: Pair, http: httpx.AsyncClient) -> None:
    ada = await register(http)
    await write(pair[0].port, [ada.access_token] * 5)
    for server in pair:
        ear = await dial(server.port)
        ear.say_json("AUTH", token=ada.access_token, after=2)
        await ear.reached(6)
        assert_saw(ear, await ada.feed(), after=2)
        epoch = ear.frames[0].payload["epoch"]
        ear.transport.abort()

        ear = await dial(server.port, "after=5")
        ear.say_json("AUTH", token=ada.access_token, after=0, epoch=epoch)
        await ear.reached(6)
        assert_saw(ear, await ada.feed(), after=0)
        ear.transport.abort()


BROADCASTS = """
    insert into activities (organisation_id, seq, id, type, message, payload, actor_id, occurred_at)
    select organisation_id, n, gen_random_uuid(), 'BROADCAST_MESSAGE', 'Hm', '{}', actor_id, now()
      from activities, generate_series($2::integer, $3) n where organisation_id = $1 and seq = 1
"""


async def test_where_the_log_has_a_hole_sockets_are_parted_from_and_resume_with_a_resync(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    organisation_id = UUID(ada.organisation["id"])
    async with audience([server.port for server in pair], ada.access_token) as ears:
        async with superuser.transaction():
            await superuser.execute(BROADCASTS, organisation_id, 2, 99)
            await superuser.execute(BROADCASTS, organisation_id, 101, 300)  # there is no 100
            await superuser.execute("update organisations set last_seq = 300 where id = $1", organisation_id)
        for ear in ears:
            assert await ear.closed(30) == 1012
            assert [frame.seq for frame in ear.activities] == list(range(2, 100))
    for server in pair:
        _, [resync] = await replies(server.port, ada, "&after=99")
        assert (resync.type, resync.payload["reason"]) == ("RESYNC", "no_longer_kept")
        _, frames = await replies(server.port, ada, "&after=90")
        assert [frame.seq or frame.type for frame in frames] == [*range(91, 100), "RESYNC"]
        _, frames = await replies(server.port, ada, "&after=290")
        assert [frame.seq for frame in frames] == list(range(291, frames[-1].seq + 1))


async def test_sockets_are_parted_from_when_their_log_becomes_shorter(
    pair: Pair, http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    organisation_id = UUID(ada.organisation["id"])
    last = (await write(pair[0].port, [ada.access_token] * 5))[-1].seq
    async with audience([server.port for server in pair], ada.access_token) as ears:
        async with superuser.transaction():
            await superuser.execute("delete from activities where organisation_id = $1 and seq > 3", organisation_id)
            await superuser.execute("update organisations set last_seq = 3 where id = $1", organisation_id)
        for ear in ears:
            assert await ear.closed(30) == 1012
    for server in pair:
        _, [resync] = await replies(server.port, ada, f"&after={last}")
        assert (resync.type, resync.payload["reason"]) == ("RESYNC", "ahead_of_the_log")
