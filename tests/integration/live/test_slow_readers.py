"""Those who read too slowly, or not at all, cost little memory, for a short while, and nobody else any time."""

import asyncio
import itertools
import json
import math
import select
import socket
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx

from saas.adapters.websocket.rooms import PAGE
from saas.adapters.websocket.sockets import MAX_BUFFER_BYTES
from tests.integration.clients import Person, register
from tests.integration.live.ears import Frame, handshake, listen, sluggish
from tests.integration.live.inside import inside, protocol_of
from tests.integration.live.storms import HAMMERS, Writer, new_organisation, outrun, resident_bytes, write
from tests.integration.servers import ServerProcess, serving

PUSHED_BYTES = 60_000_000
HEALTHY, STALLED = 180, 20

LATEST_MS = 250
GONE_SECONDS = 15
KERNEL_BYTES = 1_000_000
"""More than waits for one reader outside of the process; from then on nothing moves."""

RATES = (25.0, 35.0, 50.0, 70.0, 100.0)
"""Events a second, one of which suits the machine."""

GROWTH_BYTES = 64 * 1024 * 1024


class Crowd:
    """Healthy readers, in a process of their own."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self) -> list[tuple[list[int], list[float], int | None]]:
        """What each of them has heard since they were last asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return [tuple(each) for each in json.loads(await self._process.stdout.readline())]


@asynccontextmanager
async def crowd(port: int, tokens: Sequence[str]) -> AsyncIterator[Crowd]:
    command = [sys.executable, "-m", "tests.integration.live.crowd", str(port), *tokens]
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdin=PIPE, stdout=PIPE, limit=2**28)
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield Crowd(process)
    finally:
        process.kill()
        await process.wait()


def percentile(lateness: Sequence[float]) -> float:
    """99 % of it is less."""
    return statistics.quantiles(lateness, n=100)[98]


async def push(port: int, admin: Person, rate: float, count: int) -> AsyncIterator[int]:
    """Broadcast at that rate, over enough connections for it; yields the seq of each when it has been written."""
    writers = [Writer(port) for _ in range(8)]
    loop = asyncio.get_running_loop()
    start = loop.time()
    tasks: list[asyncio.Task[int]] = []

    async def one(number: int, before: asyncio.Task[int] | None) -> int:
        if before:
            await before
        return (await writers[number % 8].broadcast(admin.access_token, HAMMERS)).seq

    for number in range(count):
        await asyncio.sleep(start + number / rate - loop.time())
        tasks.append(asyncio.create_task(one(number, tasks[number - 8] if number >= 8 else None)))
        if number >= 8:
            yield await tasks[number - 8]
    for task in tasks[-8:]:
        yield await task
    for writer in writers:
        writer.close()


async def bearable_rate(port: int, admin: Person, readers: Crowd) -> float:
    """Events a second with which this machine, as busy as it is, serves healthy readers well in time."""
    bearable = RATES[0]
    for rate in RATES:
        seqs = [seq async for seq in push(port, admin, rate, int(rate * 2))]
        lateness = list(itertools.chain(*(each for _, each, _ in await heard(readers, max(seqs)))))
        if percentile(lateness) >= LATEST_MS / 3:
            break
        bearable = rate
    return bearable


async def heard(readers: Crowd, last: int) -> list[tuple[list[int], list[float], int | None]]:
    """What they have heard, once all have heard this one, or are gone."""
    total: list[tuple[list[int], list[float], int | None]] = []
    async with asyncio.timeout(60):
        while True:
            news = await readers.ask()
            total = [
                (seqs + more, late + later, code)
                for (seqs, late, _), (more, later, code) in zip(total, news, strict=True)
            ] if total else news  # fmt: skip
            if all(code or (seqs and seqs[-1] >= last) for seqs, _, code in total):
                return total
            await asyncio.sleep(0.1)


async def test_those_who_stop_reading_delay_nobody_take_little_memory_and_are_soon_gone(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, environ) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            admin, members = await new_organisation(http, members=9)
        tokens = [person.access_token for person in (admin, *members[:8]) for _ in range(20)]
        rate = 0.0
        for _ in range(2):  # for the machine may become busier than it was when the rate was found
            async with crowd(server.port, tokens) as readers:
                assert len(await readers.ask()) == HEALTHY
                rate = max(rate / 2, RATES[0]) if rate else await bearable_rate(server.port, admin, readers)
                late = await stall(server, admin, members[8], readers, rate)
            if late < LATEST_MS:
                break
        assert late < LATEST_MS


async def stall(server: ServerProcess, admin: Person, idler: Person, readers: Crowd, rate: float) -> float:
    """Push it all past those who do not read; how late the others were, in milliseconds."""
    idlers = [await listen(server.port, idler.access_token, receive_buffer=4_096) for _ in range(STALLED)]
    poll = select.poll()
    for idle in idlers:
        idle.transport.pause_reading()
        poll.register(idle.transport.get_extra_info("socket"), 0)  # which still tells of resets
    before = resident_bytes(server)
    growth, full_at, gone_at = [0], 0.0, 0.0

    seqs = []
    async for seq in push(server.port, admin, rate, PUSHED_BYTES // len(HAMMERS.encode())):
        seqs.append(seq)
        if not full_at and len(seqs) * len(HAMMERS.encode()) > KERNEL_BYTES:
            full_at = time.monotonic()
        if len(seqs) % 20 == 0:
            growth.append(resident_bytes(server) - before)
        if not gone_at and len(poll.poll(0)) == STALLED:
            gone_at = time.monotonic()

    total = await heard(readers, max(seqs))
    late = percentile(list(itertools.chain(*(lateness for _, lateness, _ in total))))
    kept = [each for each, _, code in total if code != 4408]
    if len(kept) < len(total):  # some were so late that they were sent away
        late = math.inf
    print(f"{rate:.0f} events/s, p99 {late:.0f} ms, {max(growth) / 1e6:.1f} MB, gone after {gone_at - full_at:.1f} s")  # noqa: T201
    assert all(code in (None, 4408) for _, _, code in total)
    assert all(each == sorted(seqs) for each in kept)
    assert gone_at
    assert gone_at - full_at < GONE_SECONDS
    assert max(growth) < GROWTH_BYTES
    for idle in idlers:
        idle.transport.abort()
    return late


async def test_one_that_cannot_keep_up_is_told_so_and_resumes_without_loss(
    pair: tuple[ServerProcess, ServerProcess], http: httpx.AsyncClient
) -> None:
    ada, _ = await new_organisation(http)
    frames: list[Frame] = []
    for _ in range(3):
        slow = await sluggish(pair[1].port, f"token={ada.access_token}&after={frames[-1].seq if frames else 0}")
        await outrun(slow, pair[0].port, ada, backlog=200)
        assert await slow.closed(60) == 4408
        frames += slow.activities
    quick = await listen(pair[1].port, ada.access_token, f"&after={frames[-1].seq}")
    feed = await ada.feed()
    await quick.reached(len(feed))
    quick.transport.abort()
    frames += quick.activities
    assert [(frame.seq, frame.id) for frame in frames] == [(entry["seq"], entry["id"]) for entry in feed]


async def test_one_that_was_slow_already_while_it_caught_up_may_hold_no_more_than_others(
    database_url: str, tmp_path: Path
) -> None:
    async with inside(tmp_path, database_url) as (service, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            ada = await register(http)
        keeper = await listen(port, ada.access_token)  # so that the room keeps what was said last
        await write(port, [ada.access_token] * (6 * PAGE + 15), HAMMERS)  # some pages, and what is kept in memory
        [room] = service.registry.rooms.values()

        loop = asyncio.get_running_loop()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            slow.setblocking(False)  # noqa: FBT003  # its own name for it
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(slow, handshake(port, f"token={ada.access_token}&after=0"))
            while len(room.sockets) < 2:
                await loop.sock_recv(slow, 512)
                await asyncio.sleep(0)
            [admitted] = [each for each in room.sockets if protocol_of(each).client == slow.getsockname()]

            held = [0]
            while admitted.ending is None and len(held) < 300:
                await write(port, [ada.access_token], HAMMERS)
                held.append(admitted.sink.get_write_buffer_size())  # type: ignore[attr-defined]
            assert admitted.ending is not None, f"{max(held)} bytes held"
            assert max(held) < MAX_BUFFER_BYTES + 2 * len(HAMMERS.encode())
        keeper.transport.abort()


async def test_one_that_answers_no_ping_is_cut_however_busy_its_room_is(database_url: str, tmp_path: Path) -> None:
    async with inside(tmp_path, database_url) as (service, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            ada = await register(http)
        deaf = await listen(port, ada.access_token, receive_buffer=4_096)
        deaf.transport.pause_reading()
        [socket] = service.registry
        while protocol_of(socket).buffered() == 0:  # what the kernel takes
            await write(port, [ada.access_token], HAMMERS)

        protocol_of(socket).keepalive_timeout()  # as uvicorn does 20 s after a ping

        async with asyncio.timeout(40):
            while len(service.registry):
                await write(port, [ada.access_token], "tick")
                await asyncio.sleep(0.5)
        deaf.transport.abort()


async def test_those_who_read_keep_up_with_a_room_that_was_far_behind(
    pair: tuple[ServerProcess, ServerProcess], http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    ear = await listen(pair[0].port, ada.access_token)
    organisation_id = UUID(ada.organisation["id"])
    async with superuser.transaction():  # 3 MB that no hint tells of
        await superuser.execute(
            """
            insert into activities (organisation_id, seq, id, type, message, payload, actor_id, occurred_at)
            select organisation_id, seq + n, gen_random_uuid(), 'BROADCAST_MESSAGE', 'Meanwhile',
                   json_build_object('message', repeat('x', 16000)), actor_id, now()
              from activities, generate_series(1, 190) n where organisation_id = $1 and seq = 1
            """,
            organisation_id,
        )
        await superuser.execute("update organisations set last_seq = 191 where id = $1", organisation_id)

    await ear.reached(191)
    assert ear.close_code is None
    assert [frame.seq for frame in ear.activities] == list(range(2, 192))
    ear.transport.abort()
