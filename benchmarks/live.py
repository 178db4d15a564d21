"""Measures the live channel: CPU of a delivery against a bare loop over the same sockets, memory, and lateness.

The real server runs in this process; its clients run in another. CPU is that of this process only, as the operating
system counts it, so that the CPU of clients and PostgreSQL is not included.
"""

import asyncio
import json
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import uvicorn
import uvloop

from saas.adapters.embedded_postgres import embedded_postgres
from saas.adapters.system import new_id, utc_now
from saas.adapters.websocket.frames import activity_frame
from saas.application.actor import Actor
from saas.application.register import RegisterCommand
from saas.application.views import ActivityView
from saas.domain.events import Activity, MessageBroadcast
from saas.domain.values import ActivityId
from saas.entrypoints.composition import Service, migrate
from saas.entrypoints.http.app import build_app
from saas.entrypoints.server import server_config
from saas.entrypoints.settings import Settings

SOCKETS = 1_000
EVENTS = 200
BURST = 100
ROUNDS = 5
RATE = 200
SECONDS = 10
LISTENERS = 20  # as many as one user may have


async def main() -> None:
    """Print a line for each figure."""
    logging.disable(logging.INFO)  # the figures must not include the cost of logging
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        settings = replace(
            Settings.from_environment({"SAAS_DATA_DIR": folder}), database_url=url, global_limit=None, auth_limit=None
        )
        await asyncio.to_thread(migrate, settings)
        async with _served(settings) as (service, port):
            bench = _Bench(service, port, *await _admin(service))
            await bench.memory()
            await bench.fan_out(url)
            await bench.lateness("in the process", port, 25)
            async with _another_process(settings) as other:
                await bench.lateness("in another process", other, 50)


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[tuple[Service, int]]:
    service = Service(settings)
    service.registry.max_sockets_of_one_user = SOCKETS * 2
    config = server_config(settings, host="127.0.0.1", port=0, workers=1)
    config = uvicorn.Config(
        build_app(service, settings),
        port=0,
        ws=config.ws,
        ws_max_size=config.ws_max_size,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield service, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def _admin(service: Service) -> tuple[Actor, str]:
    signed_in = await service.use_cases.register(
        RegisterCommand(name="Ada", email="ada@example.test", password="correct horse", organisation_name="Acme")  # noqa: S106
    )
    return await service.use_cases.authenticate(signed_in.access_token), signed_in.access_token


class _Bench:
    def __init__(self, service: Service, port: int, admin: Actor, token: str) -> None:
        self._service = service
        self._port = port
        self._admin = admin
        self._path = f"/ws?token={token}"

    async def memory(self) -> None:
        """The memory of one more idle socket."""
        warm = await self._listeners(100)
        before = _resident()
        many = await self._listeners(SOCKETS)
        each = (_resident() - before) / SOCKETS / 1024
        print(f"idle socket: {each:.1f} KiB (at most 28)")
        await _end(warm)
        await _end(many)
        while len(self._service.registry):
            await asyncio.sleep(0.05)

    async def fan_out(self, url: str) -> None:
        """The CPU of a delivery, one event at a time and in bursts, as a ratio to the bare loop."""
        listeners = await self._listeners(SOCKETS)
        # The events below are published without being stored. A room ahead of its log would be closed, so move the log.
        database = await asyncpg.connect(url)
        await database.execute("update organisations set last_seq = 1000000")
        await database.close()
        self._room = self._service.registry.rooms[self._admin.organisation_id]
        self._sinks = [socket.sink for socket in self._room.sockets]
        self._frame = activity_frame(ActivityView.of(self._activity(1_000_000)))

        rounds = []
        for _ in range(ROUNDS + 1):  # the first one warms up
            floor = await self._cpu(listeners, self._bare)
            single = await self._cpu(listeners, self._singly)
            burst = await self._cpu(listeners, self._in_bursts)
            rounds.append((floor, single / floor, burst / floor))
        floors, singles, bursts = zip(*rounds[1:], strict=True)
        print(f"bare loop: {statistics.median(floors) / EVENTS / SOCKETS * 1e6:.2f} us of CPU for each delivery")
        for name, ratios in (("one event at a time", singles), (f"in bursts of {BURST}", bursts)):
            print(f"{name}: {statistics.median(ratios):.2f} of the bare loop ({min(ratios):.2f} to {max(ratios):.2f})")
        await _end(listeners)

    async def _bare(self) -> None:
        for _ in range(EVENTS):
            for sink in self._sinks:
                sink.write(self._frame)
            await asyncio.sleep(0)

    async def _singly(self) -> None:
        for _ in range(EVENTS):
            await self._service.notifier.publish([self._activity(self._room.position + 1)])
            await asyncio.sleep(0)

    async def _in_bursts(self) -> None:
        for _ in range(EVENTS // BURST):
            for _ in range(BURST):
                await self._service.notifier.publish([self._activity(self._room.position + 1)])
            await asyncio.sleep(0)

    async def lateness(self, where: str, port: int, bound: int) -> None:
        """Time from an event to its receipt, at a steady rate, with real transactions."""
        listeners = await self._listeners(LISTENERS, port)
        await _ask(listeners, "measure")
        begun = time.monotonic()
        for i in range(RATE * SECONDS):
            await asyncio.sleep(max(0.0, begun + i / RATE - time.monotonic()))
            await self._service.use_cases.broadcast(self._admin, f"event {i}")
        await asyncio.sleep(1)
        late = sorted(json.loads(await _ask(listeners, "lateness")))
        print(
            f"received {where}, transaction included, at {RATE}/s: p50 {late[len(late) // 2]:.1f} ms, "
            f"p99 {late[len(late) * 99 // 100]:.1f} ms (at most {bound}), {len(late)} frames"
        )
        await _end(listeners)

    def _activity(self, seq: int) -> Activity:
        event = MessageBroadcast(actor=self._admin.person, message="x" * 100, at=utc_now())
        return Activity(id=ActivityId(new_id()), organisation_id=self._admin.organisation_id, seq=seq, event=event)

    async def _cpu(self, listeners: Process, act: Callable[[], Awaitable[None]]) -> float:
        """Seconds of CPU that this process used until 95 % of the bytes had arrived."""
        expected = int(await _ask(listeners, "count")) + EVENTS * SOCKETS * len(self._frame) * 0.95
        before = time.process_time()
        await act()
        used = time.process_time() - before
        while int(await _ask(listeners, "count")) < expected:
            before = time.process_time()
            await asyncio.sleep(0.1)
            used += time.process_time() - before
        return used

    async def _listeners(self, count: int, port: int = 0) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.listeners",
            str(port or self._port),
            self._path,
            str(count),
            stdin=PIPE,
            stdout=PIPE,
            limit=2**26,
        )
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the listeners could not connect")
        return process


@asynccontextmanager
async def _another_process(settings: Settings) -> AsyncIterator[int]:
    secrets = {"JWT_ACCESS_SECRET": settings.access_secret, "JWT_REFRESH_SECRET": settings.refresh_secret}
    limits = {"RATE_LIMIT_GLOBAL": "off", "RATE_LIMIT_AUTH": "off"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-m", "saas", "serve", "--port", "0"),
        env={**os.environ, **secrets, **limits, "DATABASE_URL": settings.database_url or ""},
        stderr=PIPE,
    )
    assert process.stderr is not None
    while b"Serving on" not in (line := await process.stderr.readline()):
        pass
    reading = asyncio.create_task(process.stderr.read())
    yield int(line.split(b"localhost:")[1].split(b",")[0])
    await _end(process)
    await reading


async def _end(process: Process) -> None:
    process.terminate()
    await process.wait()


async def _ask(process: Process, question: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{question}\n".encode())
    return (await process.stdout.readline()).decode()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    uvloop.run(main())
