"""Hints get lost; events do not. Whatever happens to what carries them, all are there within 3 seconds."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.integration.clients import Person, register
from tests.integration.live.ears import Ear, assert_saw, audience
from tests.integration.live.storms import Writer, served, stream
from tests.integration.live.wires import Valkey, Wire, until, valkey
from tests.integration.servers import ServerProcess

LATEST = 3.0
RATE = 60
"""Events a second."""


@asynccontextmanager
async def twins(folder: Path, environ: dict[str, str]) -> AsyncIterator[tuple[list[ServerProcess], Person]]:
    """Two processes with this environment, and somebody who has an organisation there."""
    async with (
        served(folder / "one", environ) as one,
        served(folder / "two", environ) as two,
        httpx.AsyncClient(base_url=one.url, timeout=30) as http,
    ):
        yield [one, two], await register(http)


@asynccontextmanager
async def load(servers: Sequence[ServerProcess], ada: Person) -> AsyncIterator[list[Ear]]:
    """Events written in the first process, of which the other knows by hints and by looking itself, and only so.

    The sockets of either hear them all, and in time.
    """
    async with audience([server.port for server in servers] * 3, ada.access_token) as ears:
        async with stream(servers[0].port, ada, RATE):
            await later(ears, 1)
            yield ears
            await later(ears, 1)
        feed = await ada.feed()
        for ear in ears:
            await ear.reached(len(feed))
            assert_saw(ear, feed)
            assert max(frame.lateness for frame in ear.activities) < LATEST


async def later(ears: list[Ear], seconds: int) -> None:
    """So many seconds later, by the events of the process that writes them."""
    seqs = [frame.seq or frame.payload["seq"] for frame in ears[0].frames]
    await ears[0].reached(seqs[-1] + seconds * RATE)


async def lateness_across(servers: Sequence[ServerProcess], ada: Person, events: int) -> list[float]:
    """How late the other process is, in seconds, with each event when nothing else happens."""
    writer = Writer(servers[0].port)
    async with audience([servers[1].port], ada.access_token) as [ear]:
        for _ in range(events):
            await ear.reached((await writer.broadcast(ada.access_token, "Can you hear me?")).seq)
    writer.close()
    return [frame.lateness for frame in ear.activities]


async def assert_signals_arrive(servers: Sequence[ServerProcess], ada: Person) -> None:
    """The next event, or one soon, is there long before any poll would have found it, and so are those after it."""
    async with asyncio.timeout(30):
        while (await lateness_across(servers, ada, 1))[0] > 0.2:
            pass
    assert statistics.median(await lateness_across(servers, ada, 30)) < 0.2


@pytest.fixture(scope="module")
async def wired(
    database_url: str, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Wire, list[ServerProcess], Person]]:
    """Two processes whose listeners are in our hands."""
    folder, wire = tmp_path_factory.mktemp("wired"), Wire()
    async with wire.laid_to(database_url), twins(folder, {**environ, "DATABASE_URL": wire.url}) as (servers, ada):
        yield wire, servers, ada


async def test_events_of_one_process_reach_the_other_by_notification(
    wired: tuple[Wire, list[ServerProcess], Person],
) -> None:
    _, servers, ada = wired
    await assert_signals_arrive(servers, ada)
    await assert_signals_arrive(servers[::-1], ada)


async def test_the_listeners_are_killed_and_nothing_is_lost_or_late(
    wired: tuple[Wire, list[ServerProcess], Person], superuser: asyncpg.Connection
) -> None:
    wire, servers, ada = wired
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'saas-listener'"
    async with load(servers, ada):
        for _ in range(3):
            await until(lambda: len(wire.listeners) == 2)
            victims = wire.listeners
            while victims & wire.listeners:  # one that has only just come is not listed yet
                await superuser.execute(kill)
        await until(lambda: len(wire.listeners) == 2)
    await assert_signals_arrive(servers, ada)


async def test_the_listeners_hear_nothing_more_and_nothing_is_lost_or_late(
    wired: tuple[Wire, list[ServerProcess], Person],
) -> None:
    wire, servers, ada = wired
    async with load(servers, ada) as ears:
        await until(lambda: len(wire.listeners) == 2)
        victims = asyncio.gather(*wire.listeners)
        wire.swallows = True
        await asyncio.wait_for(victims, 30)
        await later(ears, 4)
        wire.swallows = False
    await assert_signals_arrive(servers, ada)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
async def signalled(
    store: Valkey, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[list[ServerProcess], Person]]:
    """Two processes that hear one another through Valkey."""
    async with twins(tmp_path_factory.mktemp("signalled"), {**environ, "SIGNALS_URL": store.url}) as pair:
        yield pair


async def test_events_of_one_process_reach_the_other_through_valkey(
    signalled: tuple[list[ServerProcess], Person],
) -> None:
    servers, ada = signalled
    await assert_signals_arrive(servers, ada)
    await assert_signals_arrive(servers[::-1], ada)


async def test_valkey_is_asked_only_for_organisations_that_somebody_listens_to(
    signalled: tuple[list[ServerProcess], Person], store: Valkey
) -> None:
    servers, ada = signalled
    bo = await register(ada.http)

    def subscribed() -> set[str]:
        with store.client() as client:
            return {str(channel) for channel in client.pubsub_channels("saas:log:*")}

    ours = {f"saas:log:{person.organisation['id']}" for person in (ada, bo)}
    await until(lambda: not subscribed())
    async with audience([servers[1].port], ada.access_token):
        await until(lambda: len(subscribed()) == 1)
        async with audience([server.port for server in servers], bo.access_token):
            await until(lambda: subscribed() == ours)
        await until(lambda: len(subscribed()) == 1)
    await until(lambda: not subscribed())


async def test_valkey_is_killed_and_comes_back_and_nothing_is_lost_or_late(
    signalled: tuple[list[ServerProcess], Person], store: Valkey
) -> None:
    servers, ada = signalled
    async with load(servers, ada) as ears:
        for _ in range(2):
            await asyncio.to_thread(store.kill)
            await later(ears, 3)
            await asyncio.to_thread(store.start)
            await later(ears, 1)
    await assert_signals_arrive(servers, ada)
