"""A `Line` for servers that offer nothing but ASGI: a bounded queue and a task that empties it. Slower, but as safe."""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

Send = Callable[[Any], Awaitable[None]]

FLUSH_SECONDS = 5.0

_FIXED_HEADER = 2
_LENGTH_BYTES = {126: 2, 127: 8}


class AsgiLine:
    """Takes finished frames like the direct line, and sends each as a message of its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: deque[bytes] = deque()
        self._buffered = 0
        self._is_open = False
        self._closing: tuple[int, str] | None = None
        self._limit = sys.maxsize
        self._on_overflow: Callable[[], None] = lambda: None
        self._on_end: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    @property
    def sink(self) -> "AsgiLine":
        """The line itself."""
        return self

    def opened(self) -> None:
        """The handshake is complete; before this, `close` does nothing."""
        self._is_open = True

    def when_ended(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` when sending fails because the connection is lost."""
        self._on_end = on_end

    def write(self, frames: bytes) -> None:
        """Queue finished frames."""
        self._queue.append(frames)
        self._buffered += len(frames)
        self._start()
        if self._buffered > self._limit:
            self._on_overflow()

    def is_closing(self) -> bool:
        """Whether the line was closed or the connection lost."""
        return self._closing is not None

    def keep_within(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """From now on call `on_overflow` when more than `limit` bytes are queued."""
        self._limit, self._on_overflow = limit, on_overflow

    def buffered(self) -> int:
        """Bytes queued here."""
        return self._buffered

    async def drained(self) -> None:
        """Wait until the queue is sent, or dropped."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then a closing frame. An unfinished handshake is left to the application to refuse."""
        if self._is_open and self._closing is None:
            self._closing = (code, reason)
            self._start()

    async def wait_closed(self) -> None:
        """Wait up to 5 s until what is queued is sent: servers close the connection when the application returns."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=FLUSH_SECONDS)
        self.abort()

    def abort(self) -> None:
        """Send nothing more; ASGI has no way to cut a connection."""
        self._closing = self._closing or (1011, "")
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._send_all()
        except Exception:  # noqa: BLE001 - the connection is lost; servers and frameworks raise different errors
            self._closing = self._closing or (1006, "")
            self._queue.clear()
            self._on_end()

    async def _send_all(self) -> None:
        while self._queue:
            frames = self._queue.popleft()
            for text in texts(frames):
                await self._send({"type": "websocket.send", "text": text})
            self._buffered -= len(frames)
        if self._closing is not None:
            code, reason = self._closing
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def texts(frames: bytes) -> Iterator[str]:
    """The messages in a run of finished text frames."""
    at = 0
    while at < len(frames):
        length, at = frames[at + 1], at + _FIXED_HEADER
        if extended := _LENGTH_BYTES.get(length):
            length, at = int.from_bytes(frames[at : at + extended]), at + extended
        yield frames[at : at + length].decode()
        at += length
