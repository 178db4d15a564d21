"""Load for tests: broadcasts as fast as one connection allows, or at a steady rate."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from tests.integration.clients import Person, join, register
from tests.integration.live.ears import Sluggish
from tests.integration.servers import ServerProcess, serving

EVENT = "An event among many"
HAMMERS = "\N{HAMMER}" * 4_000
"""The largest message that is allowed: 4,000 characters, 16,000 bytes."""


class Written(NamedTuple):
    """The reply to a broadcast."""

    status: int
    id: str
    seq: int


class Writer:
    """Broadcasts over one connection, one after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def broadcast(self, token: str, message: str) -> Written:
        """Raises `OSError` or `EOFError` when the connection is lost."""
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        body = msgspec.json.encode({"message": message})
        head = (
            f"POST /api/organisations/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        reply = json.loads(await reader.readexactly(length))
        activity = reply["data"] or {"id": "", "seq": 0}
        return Written(int(answer.split()[1]), activity["id"], activity["seq"])

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].transport.abort()


async def write(port: int, orders: Iterable[str], message: str = EVENT) -> list[Written]:
    """Broadcast once for every token, over one connection; all must succeed."""
    writer = Writer(port)
    try:
        written = [await writer.broadcast(token, message) for token in orders]
    finally:
        writer.close()
    assert {each.status for each in written} <= {201}
    return written


async def paced(
    port: int, token: str, *, rate: float, count: int = 1_000_000, stop: asyncio.Event | None = None
) -> list[Written]:
    """Broadcast over one connection, at most `rate` times a second, until told to stop; all must succeed."""
    writer = Writer(port)
    written: list[Written] = []
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        while len(written) < count and not (stop and stop.is_set()):
            await asyncio.sleep(start + len(written) / rate - loop.time())
            written.append(await writer.broadcast(token, EVENT))
            assert written[-1].status == 201
    finally:
        writer.close()
    return written


@asynccontextmanager
async def stream(port: int, person: Person, rate: float = 100) -> AsyncIterator[None]:
    """Broadcasts at this rate while in the block, and none after it."""
    stop = asyncio.Event()
    writing = asyncio.create_task(paced(port, person.access_token, rate=rate, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await writing


async def outrun(slow: Sluggish, port: int, admin: Person, backlog: int) -> None:
    """Broadcast the largest messages until the slow client is `backlog` messages behind, or its connection is lost."""
    writers = [Writer(port) for _ in range(4)]
    slow.pause = 0.3
    heard_before, written = len(slow.activities), 0
    async with asyncio.timeout(120):
        while not slow.is_lost and written - (len(slow.activities) - heard_before) < backlog:
            replies = await asyncio.gather(*(writer.broadcast(admin.access_token, HAMMERS) for writer in writers))
            written += len(replies)
    slow.pause = 0
    for writer in writers:
        writer.close()


@asynccontextmanager
async def served(folder: Path, environ: Mapping[str, str]) -> AsyncIterator[ServerProcess]:
    """A server for one test, started and stopped without blocking the event loop."""
    with ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, serving(folder, environ))
        await asyncio.to_thread(stack.close)


def resident_bytes(server: ServerProcess) -> int:
    """The resident memory of the server's process."""
    pages = Path(f"/proc/{server.process.pid}/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(server.process.pid)], capture_output=True, check=True)  # noqa: S603, S607
    return int(shown.stdout) * 1024


async def new_organisation(http: httpx.AsyncClient, members: int = 0) -> tuple[Person, list[Person]]:
    """A new organisation on the largest plan. Returns its admin and `members` members."""
    admin = await register(http)
    await admin.data("PATCH", "/api/organisations/subscription", {"plan": "ENTERPRISE"})
    return admin, list(await asyncio.gather(*(join(admin, f"Member{i}") for i in range(members))))
