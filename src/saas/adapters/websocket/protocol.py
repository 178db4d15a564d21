"""uvicorn's sans-I/O WebSocket, with a way past its message queue: finished frames go straight to the transport.

The application finds the line under `LINE` in the scope's extensions. On a server without it, `AsgiLine` does the
same through the ASGI interface.

uvicorn leaves a connection that it closes to the peer's good will. Here nothing that a peer does, or fails to do,
holds a connection, or what is queued for it, for longer than a few times `CLOSE_SECONDS`.
"""

import array
import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from saas.adapters.websocket.sockets import MAX_BUFFER_BYTES

LINE = "saas.line"

CLOSE_SECONDS = 5.0
"""How long a peer may take none of what is left for it, its closing frame at last, before it is cut off."""

CLOSE_ROUNDS = 6
"""So many times as long it may take in all."""

MAX_FRAGMENTS = 64
"""So many pieces of a message are kept as they came."""

KERNEL_BUFFER_BYTES = 256 * 1024
"""What the kernel may queue besides us, which doubles it; left alone it would take up to 4 MiB for each socket."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class DirectWebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is also a `Line`. Everything but writing and parting is uvicorn's."""

    _on_overflow: Callable[[], None] | None = None
    _on_end: Callable[[], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self.conn = _Peer(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the kernel queues."""
        super().connection_made(transport)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Answer also a handshake that could not even be read, which uvicorn leaves hanging."""
        if self.conn.handshake_exc is None:
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.handshake_complete = self.close_sent = True
                self._part()

    def handle_connect(self, event: Request) -> None:
        """Offer the line to the application, which only starts after this; frames may come once it has accepted."""
        super().handle_connect(event)
        if not self.close_sent:
            self.read_paused = True
            self.transport.pause_reading()
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[LINE] = self

    def handle_cont(self, event: Frame) -> None:
        """Collect fragments, and join them now and then: kept one by one, small ones would take 30 times their size."""
        if len(self.frames) == MAX_FRAGMENTS:
            self.frames = [b"".join(self.frames)]
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, or fail a text that is none (RFC 6455, 8.1), which to uvicorn is worth a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA, "invalid UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say what was wrong, and then read on until the peer has it: with data unread, it would hear of a reset."""
        if self.close_sent:
            return  # what it says after the end does not matter
        close = self.conn.close_sent
        if close is None:  # there was no connection yet
            self.abort()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._part()
        if self._on_end is not None:
            self._on_end()

    def handle_close(self, event: Frame) -> None:
        """Close as uvicorn does, even if the peer reads nothing of what is still queued for it."""
        super().handle_close(event)
        if self.transport.get_write_buffer_size():
            self._cut_later()

    def keepalive_timeout(self) -> None:
        """Close to a peer that answers no ping as to any other; uvicorn waits until all that is queued is taken."""
        self.stop_keepalive()
        self.close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
        if self._on_end is not None:
            self._on_end()

    async def send(self, message: ASGISendEvent) -> None:
        """Send as uvicorn does, but know that a refused handshake is a complete one too."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # else uvicorn logs an error for each refusal
        if self.handshake_complete:
            self.request = self.response = None  # type: ignore[assignment]  # 3 KiB that nobody reads again

    def handle_ping(self) -> None:
        """Answer, unless answers pile up because the peer does not read them."""
        if self.transport.get_write_buffer_size() > MAX_BUFFER_BYTES:
            self.abort()
        else:
            super().handle_ping()

    def shutdown(self) -> None:
        """The server stops; a peer that does not take its closing frame is not waited for."""
        super().shutdown()
        self._cut_later()

    @property
    def sink(self) -> asyncio.Transport:
        """The transport itself."""
        return self.transport

    def opened(self) -> None:
        """The protocol knows by itself."""

    def when_ended(self, on_end: Callable[[], None]) -> None:
        """Call when the peer broke the protocol or answers no ping: nothing more may be written to it."""
        self._on_end = on_end

    def keep_within(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """Have the transport tell when more than `limit` bytes are queued, which it does through `pause_writing`."""
        self._on_overflow = on_overflow
        self.transport.set_write_buffer_limits(high=limit)

    def pause_writing(self) -> None:
        """More is queued than may be."""
        super().pause_writing()
        if self._on_overflow is not None:
            self._on_overflow()

    def buffered(self) -> int:
        """Bytes that the peer has not acknowledged, when there are more than the kernel takes."""
        return self._left() if self.transport.get_write_buffer_size() else 0

    async def drained(self) -> None:
        """Wait until the transport's buffer is below its low-water mark, or the connection is lost."""
        await self.writable.wait()

    def close(self, code: int, reason: str) -> None:
        """Queue a closing frame, tell the application, and cut the connection if the peer does not follow.

        Before the handshake is complete there is no connection to close: it is for the application to refuse it.
        """
        if not self.handshake_complete or self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._read_on()
        self._cut_later()

    async def parted(self) -> None:
        """The transport and the timers see to it."""

    def abort(self) -> None:
        """End the connection without waiting for anything; the kernel drops what it still holds for the peer."""
        if not self.disconnected:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()

    @property
    def _socket(self) -> socket.socket:
        return cast("socket.socket", self.transport.get_extra_info("socket"))

    def _part(self) -> None:
        """Close our side, so that the peer sees the end of what we say, and wait for it to close its own."""
        self.stop_keepalive()
        if not self.transport.can_write_eof():  # over TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self._read_on()
        self._cut_later()

    def _read_on(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _cut_later(self, rounds: int = CLOSE_ROUNDS, left: int | None = None) -> None:
        """Wait for as long as the peer takes what is left for it, though not for ever."""
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self._cut, rounds, left or self._left())

    def _cut(self, rounds: int, before: int) -> None:
        left = 0 if self.disconnected else self._left()
        if left < before and rounds > 1:
            self._cut_later(rounds - 1, left)
        else:
            self.abort()

    def _left(self) -> int:
        """Bytes that the peer's side has not acknowledged, whoever holds them."""
        in_kernel = array.array("i", [0])
        with suppress(OSError, ValueError):  # it may be gone already
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, in_kernel)
        return self.transport.get_write_buffer_size() + in_kernel[0]


class _Peer(ServerProtocol):
    """The library's own protocol, but for closing between the fragments of a message, which RFC 6455 allows (5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
