"""Behind a stock ASGI server, which has no direct line, everything holds too; it only costs more."""

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.clients import join, register
from tests.integration.live.ears import assert_saw, audience, dial, listen, sluggish
from tests.integration.live.storms import outrun, write
from tests.integration.live.wires import until
from tests.integration.servers import ServerProcess

Pair = tuple[ServerProcess, ServerProcess]

_READY = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


@pytest.fixture
async def stock(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """uvicorn, started as its own documentation says."""
    folder = tmp_path_factory.mktemp("stock")
    log = folder / "uvicorn.log"
    command = [sys.executable, "-m", "uvicorn", "--factory", "saas.entrypoints.http.app:create_app"]
    command += ["--ws", "websockets-sansio", "--port", "0", "--no-access-log"]
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  # our own command
            command, env={"PATH": os.environ["PATH"], "SAAS_DATA_DIR": str(folder), **environ}, stdout=sink, stderr=sink
        )
    try:
        await until(lambda: _READY.search(log.read_text()))
        found = _READY.search(log.read_text())
        assert found is not None
        yield ServerProcess(process, log, int(found[1]))
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 40)
    assert "Traceback" not in log.read_text(), log.read_text()


async def test_all_events_arrive_in_order_and_who_comes_back_gets_what_was_missed(
    stock: ServerProcess, pair: Pair, http: httpx.AsyncClient
) -> None:
    ada = await register(http)
    ports = [stock.port, pair[0].port]
    async with audience([stock.port] * 10, ada.access_token) as ears:
        storms = [asyncio.create_task(write(port, [ada.access_token] * 300)) for port in ports * 2]
        for _ in range(20):
            gone = await listen(stock.port, ada.access_token, "&after=0")
            await gone.reached(gone.frames[0].payload["seq"])
            assert [frame.seq for frame in gone.activities] == list(range(1, len(gone.frames)))
            gone.transport.abort()
        await asyncio.gather(*storms)
        feed = await ada.feed()
        assert len(feed) == 1_201
        for ear in ears:
            await ear.reached(len(feed))
            assert_saw(ear, feed)


async def test_sockets_are_ended_with_the_same_codes(stock: ServerProcess, pair: Pair, http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)
    for query, headers, status in (
        (f"token={ada.access_token}", "Origin: https://evil.example\r\n", 403),
        ("token=nonsense", "", 401),
        (f"token={ada.access_token}&after=x", "", 400),
    ):
        assert (await dial(stock.port, query, headers=headers)).status == status
    stranger = await dial(stock.port)
    stranger.say_json("PING")
    assert await stranger.closed() == 4401

    flooding = await listen(stock.port, ada.access_token)
    for _ in range(100):
        flooding.say_json("PING")
    assert await flooding.closed() == 1008

    async with audience([stock.port] * 3, bo.access_token) as ears:
        await ada.data("DELETE", f"/api/users/{bo.id}")
        assert [await ear.closed() for ear in ears] == [4403] * 3
    async with audience([stock.port] * 20, ada.access_token) as ears:
        assert await (await dial(stock.port, f"token={ada.access_token}")).closed() == 1013
        stock.terminate()
        assert [await ear.closed() for ear in ears] == [1012] * 20
    assert await asyncio.to_thread(stock.wait) == -signal.SIGTERM  # which uvicorn passes on to itself


async def test_one_that_cannot_keep_up_is_told_so_and_resumes_without_loss(
    stock: ServerProcess, pair: Pair, http: httpx.AsyncClient
) -> None:
    ada = await register(http)
    slow = await sluggish(stock.port, f"token={ada.access_token}&after=0")
    await outrun(slow, pair[0].port, ada, backlog=500)
    assert await slow.closed(60) == 4408
    heard, feed = slow.activities, await ada.feed()
    assert heard[-1].seq < len(feed)
    quick = await listen(stock.port, ada.access_token, f"&after={heard[-1].seq}")
    await quick.reached(len(feed))
    quick.transport.abort()
    frames = itertools.chain(heard, quick.activities)
    assert [(frame.seq, frame.id) for frame in frames] == [(entry["seq"], entry["id"]) for entry in feed]
