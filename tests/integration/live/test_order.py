"""One sequence: whoever writes and wherever somebody listens, the log is 1..N and each socket hears just that."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from tests.integration.live.ears import assert_saw, audience
from tests.integration.live.storms import new_organisation, write
from tests.integration.servers import ServerProcess, serving

WRITERS = 16
OTHERS = 20


async def storm(ports: Sequence[int], http: httpx.AsyncClient, *, busy: int, quiet: int, sockets: int) -> None:
    """16 writers write `busy` events into one organisation and `quiet` into each of 20 others, all at once."""
    people = [(await new_organisation(http))[0] for _ in range(1 + OTHERS)]
    orders = itertools.cycle([people[0]] * (busy // quiet) + people[1:])
    tokens = (person.access_token for person in itertools.islice(orders, busy + OTHERS * quiet))

    async with AsyncExitStack() as stack:
        heard = [
            await stack.enter_async_context(audience(list(ports) * sockets, person.access_token)) for person in people
        ]
        await asyncio.gather(*(write(ports[i % len(ports)], tokens) for i in range(WRITERS)))

        for person, ears in zip(people, heard, strict=True):
            feed = await person.feed()
            assert [entry["seq"] for entry in feed] == list(range(1, len(feed) + 1))
            assert len(feed) == 2 + (busy if person is people[0] else quiet)  # 2 for its founding
            for ear in ears:
                await ear.reached(len(feed))
                assert_saw(ear, feed)


async def test_twenty_thousand_events_by_sixteen_writers_are_one_sequence_to_all_sockets_of_two_processes(
    pair: tuple[ServerProcess, ServerProcess], http: httpx.AsyncClient
) -> None:
    await storm([server.port for server in pair], http, busy=10_000, quiet=500, sockets=3)


async def test_workers_under_one_supervisor_tell_one_another_what_they_write(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, environ, "--workers", "2") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            await storm([server.port], http, busy=400, quiet=20, sockets=6)
