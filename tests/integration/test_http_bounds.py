"""What a client may send before it is refused unread, and how long it may take; over plain TCP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from websockets.asyncio.client import connect

from saas.entrypoints.http import protocol
from tests.integration.servers import ServerProcess

MARGIN = 10.0
"""Seconds by which an answer may be late on a busy machine."""

HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[Opened]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """Status, headers and decoded body of the next reply."""
    async with asyncio.timeout(MARGIN):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, json.loads(await reader.readexactly(int(headers["content-length"])))


async def refusal(reader: asyncio.StreamReader, status: int, code: str) -> None:
    """The problem document, and the end of the connection."""
    got, headers, problem = await reply(reader)
    assert (got, problem["status"], problem["code"]) == (status, status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == problem["requestId"]
    assert problem["detail"] == problem["message"] != ""
    async with asyncio.timeout(MARGIN):
        assert await reader.read() == b""


# Too much


@pytest.mark.parametrize(
    "much",
    [
        pytest.param(b"X-Much: " + b"x" * 20_000_000, id="one header"),
        pytest.param(b"X: y\r\n" * 1_000_000, id="many headers"),
    ],
)
async def test_headers_over_64_kib_are_refused_before_they_are_all_read(server: ServerProcess, much: bytes) -> None:
    async with opened(server.port) as (reader, writer):
        writer.write(HEAD + much + b"\r\n\r\n")
        with suppress(ConnectionError):
            async with asyncio.timeout(MARGIN):
                await writer.drain()

        await refusal(reader, 431, "headers_too_large")


@pytest.mark.parametrize("target", ["X-Much: {}", "Cookie: {}"])
async def test_what_comes_in_one_piece_with_its_end_is_refused_too(server: ServerProcess, target: str) -> None:
    async with opened(server.port) as (reader, writer):
        writer.write(HEAD + target.format("x" * 66_000).encode() + b"\r\n\r\n")

        await refusal(reader, 431, "headers_too_large")


async def test_an_address_over_64_kib_is_refused_and_so_is_a_websockets(server: ServerProcess) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    for headers in (b"", upgrade + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"):
        async with opened(server.port) as (reader, writer):
            writer.write(b"GET /ws?token=" + b"x" * 66_000 + b" HTTP/1.1\r\nHost: here\r\n" + headers + b"\r\n")

            await refusal(reader, 431, "headers_too_large")


async def test_60_kib_of_headers_and_a_large_body_are_read_whatever_the_pieces(server: ServerProcess) -> None:
    body = json.dumps({"email": "x" * 200_000, "password": "y"}).encode()
    head = HEAD + b"X-Much: " + b"x" * 60_000 + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    for cut in (30_000, len(head) - 2, len(head) + 100_000):
        async with opened(server.port) as (reader, writer):
            for _ in range(2):
                writer.write((head + body)[:cut])
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.write((head + body)[cut:])

                assert (await reply(reader))[0] == 401


async def test_what_is_no_http_is_refused_with_a_problem_document(server: ServerProcess) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", HEAD + b"Content-Length: none\r\n\r\n"):
        async with opened(server.port) as (reader, writer):
            writer.write(nonsense)

            await refusal(reader, 400, "malformed_request")


async def test_who_leaves_in_the_middle_of_a_body_is_no_failure_of_ours(server: ServerProcess) -> None:
    request_id = uuid4().hex
    async with opened(server.port) as (_, writer):
        writer.write(HEAD + f"X-Request-ID: {request_id}\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()

    async with asyncio.timeout(MARGIN):
        while request_id not in server.output():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    [line] = [line for line in server.output().splitlines() if request_id in line]
    assert "POST /api/auth/login 408" in line


# Too slow


@pytest.fixture
async def hasty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a small application in this process, served with the same protocol but less patience."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1.5)

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - whatever ASGI has
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": "yes"})
            return
        more = scope["method"] == "POST"
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            more = event["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        if scope["path"] == "/slow":
            await asyncio.sleep(3)
        await send({"type": "http.response.body", "body": b'"ok"'})

    config = uvicorn.Config(
        app, port=0, http=protocol.BoundedHttpProtocol, ws="websockets-sansio", lifespan="off", log_config=None
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.force_exit = True
    await server.shutdown()


QUICK, SLOW = (b"GET %b HTTP/1.1\r\nHost: here\r\n\r\n" % path for path in (b"/", b"/slow"))


async def test_who_says_nothing_is_left_without_a_word(hasty: int) -> None:
    async with opened(hasty) as (reader, _), asyncio.timeout(MARGIN):
        assert await reader.read() == b""


@pytest.mark.parametrize("before", [b"", QUICK], ids=["first", "further"])
async def test_half_a_request_is_refused_in_time(hasty: int, before: bytes) -> None:
    async def refused(unfinished: bytes) -> None:
        async with opened(hasty) as (reader, writer):
            writer.write(before)
            if before:
                assert (await reply(reader))[0] == 200
            writer.write(unfinished)
            await refusal(reader, 408, "request_timeout")

    await asyncio.gather(
        refused(HEAD),
        refused(HEAD + b"Content-Length: 100\r\n\r\n{"),
        refused(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    )


async def test_dripping_does_not_help(hasty: int) -> None:
    async def drip(writer: asyncio.StreamWriter, drop: bytes) -> None:
        for _ in range(1_000):
            writer.write(drop)
            await asyncio.sleep(0.05)

    async def refused(start: bytes, drop: bytes) -> None:
        async with opened(hasty) as (reader, writer):
            writer.write(start)
            dripping = asyncio.create_task(drip(writer, drop))
            await refusal(reader, 408, "request_timeout")
            dripping.cancel()

    await asyncio.gather(refused(HEAD, b"X: y\r\n"), refused(HEAD + b"Content-Length: 10000\r\n\r\n", b"{"))


async def test_a_reply_may_take_its_time_and_so_may_the_next_request_until_then(hasty: int) -> None:
    async def replied(meanwhile: bytes, idle: float) -> None:
        async with opened(hasty) as (reader, writer):
            writer.write(SLOW)
            await asyncio.sleep(0.1)
            writer.write(meanwhile)
            assert (await reply(reader))[0] == 200
            await asyncio.sleep(idle)
            writer.write(QUICK[len(meanwhile) :])
            assert (await reply(reader))[0] == 200

    await asyncio.gather(replied(b"", 1.5), replied(QUICK[:10], 0))


async def test_nonsense_behind_a_request_does_not_cost_it_its_reply(hasty: int) -> None:
    async with opened(hasty) as (reader, writer):
        writer.write(SLOW + b"nonsense\r\n\r\n")

        assert (await reply(reader))[0] == 200
        async with asyncio.timeout(MARGIN):
            assert await reader.read() == b""


async def test_a_websocket_may_be_silent_for_as_long_as_it_likes(hasty: int) -> None:
    async with connect(f"ws://127.0.0.1:{hasty}/", compression=None) as socket:
        await asyncio.sleep(2)
        await socket.send("still there?")
        async with asyncio.timeout(MARGIN):
            assert await socket.recv() == "yes"
