"""uvicorn's sans-I/O WebSocket, which also writes finished frames straight to the transport, past its message queue.

The application finds the line under `LINE` in the scope's extensions. On a server without it, `AsgiLine` does the
same through the ASGI interface.

When uvicorn closes a connection, it relies on the peer to end it. Here no peer, whatever it does or fails to do, keeps
a closing connection, or what is queued for it, for longer than a few times `CLOSE_SECONDS`.
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
"""A closing connection is aborted when its peer takes no byte of what is left for it in this time."""

CLOSE_ROUNDS = 6
"""A closing connection is aborted after this many times `CLOSE_SECONDS`, even if its peer still takes bytes."""

MAX_FRAGMENTS = 64
"""The number of a message's fragments that are kept before they are joined."""

KERNEL_BUFFER_BYTES = 256 * 1024
"""The send buffer that we ask for; the kernel doubles it. Unasked, it takes up to 4 MiB for each socket."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class DirectWebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is also a `Line`. Everything but writing and closing is uvicorn's."""

    _on_overflow: Callable[[], None] | None = None
    _on_end: Callable[[], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*args, **kwargs)
        self.conn = _Peer(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limit what the kernel queues."""
        super().connection_made(transport)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Also answer a handshake that cannot be parsed, which uvicorn leaves without an answer."""
        if self.conn.handshake_exc is None:
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.handshake_complete = self.close_sent = True
                self._half_close()

    def handle_connect(self, event: Request) -> None:
        """Offer the line to the application, which starts after this. Read no frames until it has accepted."""
        super().handle_connect(event)
        if not self.close_sent:
            self.read_paused = True
            self.transport.pause_reading()
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[LINE] = self

    def handle_cont(self, event: Frame) -> None:
        """Collect fragments and join them regularly: kept one by one, small ones would take 30 times their size."""
        if len(self.frames) == MAX_FRAGMENTS:
            self.frames = [b"".join(self.frames)]
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, or fail a text that is not UTF-8 (RFC 6455, 8.1), for which uvicorn logs a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA, "invalid UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Send a closing frame, then read on until the peer has it: with data unread, the kernel would reset."""
        if self.close_sent:
            return  # data after the closing frame does not matter
        close = self.conn.close_sent
        if close is None:  # the handshake was not complete yet
            self.abort()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._half_close()
        if self._on_end is not None:
            self._on_end()

    def handle_close(self, event: Frame) -> None:
        """Close as uvicorn does, and abort if the peer does not read what is still queued for it."""
        super().handle_close(event)
        if self.transport.get_write_buffer_size():
            self._abort_later()

    def keepalive_timeout(self) -> None:
        """Close within our limits if no ping is answered; uvicorn would wait until the peer has read everything."""
        self.stop_keepalive()
        self.close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
        if self._on_end is not None:
            self._on_end()

    async def send(self, message: ASGISendEvent) -> None:
        """Send as uvicorn does, and mark a refused handshake as complete."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # otherwise uvicorn logs an error for each refusal
        if self.handshake_complete:
            self.request = self.response = None  # type: ignore[assignment]  # 3 KiB that are not read again

    def handle_ping(self) -> None:
        """Answer, or abort when answers pile up because the peer does not read them."""
        if self.transport.get_write_buffer_size() > MAX_BUFFER_BYTES:
            self.abort()
        else:
            super().handle_ping()

    def shutdown(self) -> None:
        """Close because the server stops, and abort if the peer does not take its closing frame."""
        super().shutdown()
        self._abort_later()

    @property
    def sink(self) -> asyncio.Transport:
        """The transport itself."""
        return self.transport

    def opened(self) -> None:
        """Does nothing: the protocol knows it already."""

    def when_ended(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` when the peer broke the protocol or answers no ping: nothing more may be written to it."""
        self._on_end = on_end

    def keep_within(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """Call `on_overflow` when more than `limit` bytes are queued; the transport reports it with `pause_writing`."""
        self._on_overflow = on_overflow
        self.transport.set_write_buffer_limits(high=limit)

    def pause_writing(self) -> None:
        """The transport has more queued than its limit."""
        super().pause_writing()
        if self._on_overflow is not None:
            self._on_overflow()

    def buffered(self) -> int:
        """Bytes that the peer has not acknowledged; 0 while the kernel takes everything."""
        return self._unacknowledged() if self.transport.get_write_buffer_size() else 0

    async def drained(self) -> None:
        """Wait until the transport's buffer is below its low-water mark, or the connection is lost."""
        await self.writable.wait()

    def close(self, code: int, reason: str) -> None:
        """Queue a closing frame, tell the application, and abort if the peer does not end the connection.

        Does nothing before the handshake is complete: then the application refuses the handshake.
        """
        if not self.handshake_complete or self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._read_on()
        self._abort_later()

    async def wait_closed(self) -> None:
        """Returns at once: transport and timers close the connection without the application."""

    def abort(self) -> None:
        """Reset the connection at once; the kernel drops what it still holds for the peer."""
        if not self.disconnected:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()

    @property
    def _socket(self) -> socket.socket:
        return cast("socket.socket", self.transport.get_extra_info("socket"))

    def _half_close(self) -> None:
        """Close our side, so that the peer reads the end of the stream, and wait until it closes its side."""
        self.stop_keepalive()
        if not self.transport.can_write_eof():  # over TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self._read_on()
        self._abort_later()

    def _read_on(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _abort_later(self, rounds: int = CLOSE_ROUNDS, left: int | None = None) -> None:
        """Abort once the peer takes no more of what is left for it, and at the latest after `rounds`."""
        self.close_timer = self.loop.call_later(
            CLOSE_SECONDS, self._abort_unless_reading, rounds, left or self._unacknowledged()
        )

    def _abort_unless_reading(self, rounds: int, before: int) -> None:
        left = 0 if self.disconnected else self._unacknowledged()
        if left < before and rounds > 1:
            self._abort_later(rounds - 1, left)
        else:
            self.abort()

    def _unacknowledged(self) -> int:
        """Bytes that the peer has not acknowledged, in the transport and in the kernel."""
        in_kernel = array.array("i", [0])
        with suppress(OSError, ValueError):  # the socket may be closed already
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, in_kernel)
        return self.transport.get_write_buffer_size() + in_kernel[0]


class _Peer(ServerProtocol):
    """The library's protocol, which also accepts a closing frame between the fragments of a message (RFC 6455, 5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
