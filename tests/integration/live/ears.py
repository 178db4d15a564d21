"""A WebSocket client of our own, without a library: fast, and able to break the protocol. It keeps all it receives."""

import asyncio
import base64
import json
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

PATIENCE = 120.0
"""Seconds after which a test fails; nothing is expected to take so long."""


class Frame(msgspec.Struct, rename="camel"):
    """A message from the server; control messages have no `seq`."""

    type: str
    payload: dict[str, Any]
    id: str = ""
    seq: int = 0
    occurred_at: datetime | None = None
    heard_at: float = 0.0

    @property
    def lateness(self) -> float:
        """Seconds from the event to its receipt."""
        assert self.occurred_at is not None
        return self.heard_at - self.occurred_at.timestamp()


_decoder = msgspec.json.Decoder(Frame)

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Ear(asyncio.Protocol):
    """A WebSocket client that keeps every message, and sends only what a test tells it to, also invalid frames."""

    def __init__(self, request: bytes) -> None:
        self.status = 0
        self.head = b""
        self.frames: list[Frame] = []
        self.pongs = 0
        self.close_code: int | None = None
        self.closed_at = 0.0
        self.is_lost = False
        self.transport: asyncio.Transport
        self._request = request
        self._buffer = b""
        self._waiting: list[tuple[Callable[[Ear], object], asyncio.Future[None]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def connection_lost(self, _: Exception | None) -> None:
        self.is_lost = True
        self.closed_at = self.closed_at or time.time()
        self._notify()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self.status:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            self.status, self.head, data = int(head.split()[1]), head, rest
        if self.status == 101:
            data = self._frames(data, time.time())
        self._buffer = data
        self._notify()

    def _frames(self, data: bytes, now: float) -> bytes:
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start])
            if start + length > end:
                break
            self.heard(data[at] & 15, data[start : start + length], now)
            at = start + length
        return data[at:]

    def heard(self, opcode: int, body: bytes, now: float) -> None:
        """Handle one frame from the server."""
        if opcode == TEXT:
            frame = _decoder.decode(body)
            frame.heard_at = now
            self.frames.append(frame)
        elif opcode == PING:
            self.say(body, PONG)
        elif opcode == PONG:
            self.pongs += 1
        elif opcode == CLOSE and self.close_code is None:
            self.close_code, self.closed_at = int.from_bytes(body[:2]) if body else 1005, now
            self.say(body, CLOSE)

    def _notify(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and (self.is_lost or condition(self)):
                future.set_result(None)

    async def until(self, condition: Callable[["Ear"], object], seconds: float = PATIENCE) -> None:
        """Wait until the condition holds; the test fails when the connection is lost before."""
        if not condition(self):
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((condition, future))
            async with asyncio.timeout(seconds):
                await future
            self._waiting = [each for each in self._waiting if not each[1].done()]
        assert condition(self), f"Lost with {self.close_code} after {self.frames[-1:]}"

    async def reached(self, seq: int, seconds: float = PATIENCE) -> None:
        """Wait for the activity with this seq."""
        await self.until(lambda ear: ear.frames and ear.frames[-1].seq >= seq, seconds)

    async def closed(self, seconds: float = PATIENCE) -> int | None:
        """Wait for the end of the connection. Returns the close code, if the server sent one."""
        await self.until(lambda ear: ear.is_lost, seconds)
        return self.close_code

    @property
    def activities(self) -> list[Frame]:
        return [frame for frame in self.frames if frame.seq]

    def say(self, body: bytes, opcode: int = TEXT, *, is_last: bool = True) -> None:
        """Send one frame, masked, as RFC 6455, 5.3 requires of clients; the mask is zero."""
        length = len(body)
        if length < 126:
            size = bytes([0x80 | length])
        elif length < 65_536:
            size = b"\xfe" + length.to_bytes(2)
        else:
            size = b"\xff" + length.to_bytes(8)
        self.transport.write(bytes([is_last << 7 | opcode]) + size + bytes(4) + body)

    def say_json(self, type_: str, **payload: object) -> None:
        self.say(json.dumps({"type": type_, "payload": payload}).encode())


class Sluggish(Ear):
    """A slow client: reads a little at a time, and pauses in between for `pause` seconds."""

    pause = 0.0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(self.pause, self.read_on)

    def read_on(self) -> None:
        if not self.is_lost and not self.transport.is_closing():
            self.transport.resume_reading()


def handshake(port: int, query: str = "", headers: str = "") -> bytes:
    """A client's opening handshake (RFC 6455, 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws{query and '?'}{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode("latin-1")


AnyEar = TypeVar("AnyEar", bound=Ear)


async def dialled(
    kind: type[AnyEar], port: int, query: str = "", *, headers: str = "", receive_buffer: int | None = None
) -> AnyEar:
    """A client of this kind whose handshake has been answered, with any status."""
    request = handshake(port, query, headers)
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)  # noqa: FBT003  # its own name for it
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    _, ear = await loop.create_connection(lambda: kind(request), sock=sock)
    await ear.until(lambda ear: ear.status)
    return ear


async def dial(port: int, query: str = "", *, headers: str = "", receive_buffer: int | None = None) -> Ear:
    """An `Ear` whose handshake has been answered, with any status."""
    return await dialled(Ear, port, query, headers=headers, receive_buffer=receive_buffer)


async def sluggish(port: int, query: str) -> Sluggish:
    """A slow client that has received everything up to now."""
    slow = await dialled(Sluggish, port, query, receive_buffer=16_384)
    await slow.until(lambda ear: ear.frames and ear.frames[-1].seq >= ear.frames[0].payload["seq"])
    return slow


async def listen(port: int, token: str, query: str = "", *, receive_buffer: int | None = None) -> Ear:
    """An `Ear` opened with `token`, after its CONNECTED."""
    ear = await dial(port, f"token={token}{query}", receive_buffer=receive_buffer)
    assert ear.status == 101, ear.head
    await ear.until(lambda ear: ear.frames)
    assert ear.frames[0].type == "CONNECTED"
    return ear


@asynccontextmanager
async def audience(ports: Iterable[int], token: str, query: str = "") -> AsyncIterator[list[Ear]]:
    """For each of the ports, an `Ear` opened with `token`."""
    ears: list[Ear] = []
    try:
        for port in ports:
            ears.append(await listen(port, token, query))  # noqa: PERF401  # those that are open must be closed
        yield ears
    finally:
        for ear in ears:
            ear.transport.abort()


def assert_saw(ear: Ear, feed: list[dict[str, Any]], after: int | None = None) -> None:
    """The client received exactly the feed, in order: after `after`, or after the seq of its CONNECTED."""
    start = ear.frames[0].payload["seq"] if after is None else after
    heard, expected = ear.activities, [entry for entry in feed if entry["seq"] > start]
    seqs, wanted = [frame.seq for frame in heard], [entry["seq"] for entry in expected]
    assert seqs == wanted, f"after {start}: lost {set(wanted) - set(seqs)}, too much {Counter(seqs) - Counter(wanted)}"
    told = [(frame.type, frame.payload, frame.id) for frame in heard]
    assert told == [(entry["type"], entry["metadata"], entry["id"]) for entry in expected]
