"""A server in the process of the test, for tests that look at its internal state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from saas.adapters.websocket.protocol import DirectWebSocketProtocol
from saas.adapters.websocket.sockets import LiveSocket
from saas.entrypoints.composition import Service
from saas.entrypoints.http.app import build_app
from saas.entrypoints.settings import Settings


@asynccontextmanager
async def inside(folder: Path, database_url: str) -> AsyncIterator[tuple[Service, int]]:
    """The service, and the port that it listens on."""
    settings = Settings.from_environment({"SAAS_DATA_DIR": str(folder)})
    settings = replace(settings, database_url=database_url, global_limit=None, auth_limit=None)
    service = Service(settings)
    config = uvicorn.Config(
        build_app(service, settings), port=0, ws=DirectWebSocketProtocol, ws_max_size=65_536, log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
                await asyncio.sleep(0.01)
        yield service, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def protocol_of(socket: LiveSocket) -> DirectWebSocketProtocol:
    """The server's protocol object of this connection."""
    assert isinstance(socket.line, DirectWebSocketProtocol)
    return socket.line
