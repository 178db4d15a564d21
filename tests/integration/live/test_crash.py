"""Processes die, killed or told to; clients go on with another one as if nothing had happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx

from tests.integration.clients import Person
from tests.integration.live.ears import Ear, Frame, audience, dial, listen
from tests.integration.live.storms import Writer, Written, new_organisation, served
from tests.integration.servers import ServerProcess


@asynccontextmanager
async def two(folder: Path, environ: dict[str, str]) -> AsyncIterator[tuple[ServerProcess, ServerProcess, Person]]:
    """A process that is about to die, one that is not, and an admin known to both."""
    async with (
        served(folder / "mortal", environ) as mortal,
        served(folder / "other", environ) as other,
        httpx.AsyncClient(base_url=other.url, timeout=30) as http,
    ):
        admin, _ = await new_organisation(http)
        yield mortal, other, admin


async def storm(port: int, token: str, acknowledged: list[Written], stop: asyncio.Event) -> None:
    """Write until told to stop, or until the process is gone."""
    writer = Writer(port)
    with suppress(OSError, EOFError):
        while not stop.is_set():
            written = await writer.broadcast(token, "Thunder")
            if written.status == 201:
                acknowledged.append(written)
    writer.close()


async def going_on(ear: Ear, elsewhere: ServerProcess, token: str, last: asyncio.Future[int]) -> list[Frame]:
    """What a client heard that resumes elsewhere when its process dies."""
    await ear.closed(60)
    heard = ear.activities
    cursor = heard[-1].seq if heard else ear.frames[0].payload["seq"]
    ear = await listen(elsewhere.port, token, f"&after={cursor}&epoch={ear.frames[0].payload['epoch']}")
    await ear.reached(await last)
    ear.transport.abort()
    return heard + ear.activities


async def assert_all_went_on(clients: list[asyncio.Task[list[Frame]]], admin: Person, start: int) -> None:
    expected = [(entry["seq"], entry["id"]) for entry in (await admin.feed())[start:]]
    for heard in await asyncio.gather(*clients):
        assert [(frame.seq, frame.id) for frame in heard] == expected


async def test_killed_in_mid_storm_a_process_takes_nothing_with_it_and_its_clients_go_on_at_the_other(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with two(tmp_path, environ) as (mortal, other, admin), AsyncExitStack() as stack:
        last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ears = await stack.enter_async_context(audience([mortal.port] * 15, admin.access_token))
        [witness] = await stack.enter_async_context(audience([other.port], admin.access_token))
        clients = [asyncio.create_task(going_on(ear, other, admin.access_token, last)) for ear in ears]
        acknowledged: list[Written] = []
        stop = asyncio.Event()
        storms = [
            asyncio.create_task(storm(port, admin.access_token, acknowledged, stop))
            for port in (mortal.port, other.port) * 8
        ]
        await witness.reached(300)
        mortal.kill()
        await witness.reached(witness.activities[-1].seq + 300)
        stop.set()
        await asyncio.gather(*storms)

        feed = await admin.feed()
        assert [entry["seq"] for entry in feed] == list(range(1, len(feed) + 1))
        assert {(entry["seq"], entry["id"]) for entry in feed} >= {(each.seq, each.id) for each in acknowledged}
        last.set_result(len(feed))
        await assert_all_went_on(clients, admin, start=2)


async def test_told_to_stop_a_process_says_so_parts_from_its_clients_and_finishes_what_it_has_begun(
    environ: dict[str, str], tmp_path: Path, superuser: asyncpg.Connection
) -> None:
    async with two(tmp_path, environ) as (mortal, other, admin), AsyncExitStack() as stack:
        last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ears = await stack.enter_async_context(audience([mortal.port] * 5, admin.access_token))
        clients = [asyncio.create_task(going_on(ear, other, admin.access_token, last)) for ear in ears]
        readiness = await stack.enter_async_context(httpx.AsyncClient(base_url=mortal.url))
        assert (await readiness.get("/health/ready")).status_code == 200

        acknowledged: list[Written] = []
        async with superuser.transaction():
            lock = "select from organisations where id = $1 for update"
            await superuser.execute(lock, UUID(admin.organisation["id"]))
            begun = [asyncio.create_task(one(mortal.port, admin.access_token, acknowledged)) for _ in range(5)]
            await waiting(superuser, 5)
            mortal.terminate()
            while (reply := await readiness.get("/health/ready")).status_code == 200:
                pass
            assert reply.status_code == 503
        assert await is_turned_away(mortal.port, admin.access_token)
        await asyncio.gather(*begun)
        assert {each.status for each in acknowledged} == {201}

        for ear in ears:
            assert await ear.closed() == 1012
        assert await asyncio.to_thread(mortal.wait, 30) == 0
        last.set_result((await admin.broadcast("Life goes on"))["seq"])
        await assert_all_went_on(clients, admin, start=2)


async def is_turned_away(port: int, token: str) -> bool:
    """Whether a new socket is refused, by a process that still answers or by there being none any more."""
    try:
        ear = await dial(port, f"token={token}")
    except (OSError, AssertionError):
        return True
    return ear.status == 503


async def one(port: int, token: str, acknowledged: list[Written]) -> None:
    writer = Writer(port)
    acknowledged.append(await writer.broadcast(token, "Last words"))
    writer.close()


async def waiting(superuser: asyncpg.Connection, count: int) -> None:
    """Return once so many requests wait for a lock."""
    statement = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'saas'"
    async with asyncio.timeout(10):
        while await superuser.fetchval(statement) < count:
            await superuser.execute("select pg_stat_clear_snapshot()")
