"""uvicorn's HTTP protocol, with limits on the size of a request's head and on the time that a request may take.

uvicorn itself buffers the head of a request (its first line and headers) without limit, and waits for the rest of a
request for ever. It refuses what it cannot parse in plain text; here the reply is a problem document like any other.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from saas.entrypoints.http.errors import HTTP_CODES, PROBLEM_JSON, problem_document

MAX_HEAD_BYTES = 64 * 1024
"""First line and headers together. When a head begins in the middle of a read (of at most 256 KiB), counting begins
with the next read."""

HEAD_SECONDS = 10.0
"""From the start of the connection, or from the first byte of a further request, to the end of the headers."""

BODY_SECONDS = 30.0
"""From the end of the headers to the end of the body."""

PARTING_SECONDS = 5.0
"""How long the server reads and drops what a refused client still sends; closing at once could destroy our reply."""

access_log = logging.getLogger("saas.access")


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. The limits do not apply to replies, nor to a WebSocket after its upgrade."""

    _timer: asyncio.TimerHandle
    _deadline: float | None = None
    _in_head = True
    """True between two requests, too."""
    _head_bytes = 0
    _head_too_large = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the timer of this connection, which checks the deadline."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head, and set its deadline when it begins."""
        if self._refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes and not self._refused:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif self._deadline is None:
                self._deadline = self.loop.time() + HEAD_SECONDS

    def handle_websocket_upgrade(self) -> None:
        """Stop the timer; the WebSocket protocol takes over the connection."""
        self._timer.cancel()
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        """Check the size of the head, and set the body's deadline."""
        if self._head_bytes > MAX_HEAD_BYTES:  # the count may include the beginning of the body
            size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._head_too_large = True
                raise ValueError("too large a head")  # the parser turns this into an error of its own
        self._in_head = False
        self._deadline = self.loop.time() + BODY_SECONDS
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete: end its deadline."""
        self._in_head = True
        self._head_bytes = 0
        self._deadline = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our reply does not use it
        """Refuse a request that the parser could not read, or whose head is too large."""
        too_large = self._head_too_large
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    def _look_at_deadline(self) -> None:
        now = self.loop.time()
        if self._deadline is not None and now >= self._deadline:
            if not self._is_waiting_for_us():
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
                return
            self._deadline = now + HEAD_SECONDS
        soon = now + HEAD_SECONDS
        self._timer = self.loop.call_at(min(self._deadline or soon, soon), self._look_at_deadline)

    def _is_waiting_for_us(self) -> bool:
        """Whether the server has paused reading, or has not yet replied to the previous request."""
        return self.flow.read_paused or bool(self.pipeline) or (self._in_head and self._is_replying())

    def _is_replying(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: HTTPStatus) -> None:
        """Reply, unless no reply can be sent at this point, and close. Ignores all that this client still sends."""
        self._refused = True
        self._timer.cancel()
        transport = self.transport
        if self._in_head and self._is_replying():
            self.cycle.keep_alive = False  # complete the reply to the previous request, then close
            return
        if self._in_head:
            has_reply_coming = bool(self._head_bytes)  # otherwise the client has sent nothing
        else:
            has_reply_coming = not self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not has_reply_coming:
            transport.close()
            return
        request_id = uuid4().hex
        access_log.info("(unread) %s %s", status.value, request_id)
        transport.write(self._reply(status, request_id))
        if not transport.can_write_eof():  # over TLS
            transport.close()
            return
        transport.write_eof()
        self._timer = self.loop.call_later(PARTING_SECONDS, transport.abort)

    def _reply(self, status: HTTPStatus, request_id: str) -> bytes:
        body = problem_document(request_id, status, *HTTP_CODES[status])
        headers: list[Any] = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n" + body
