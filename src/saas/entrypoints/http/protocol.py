"""uvicorn's HTTP, with bounds on what a client may send before our code sees it, and on how long that may take.

uvicorn itself collects the head of a request (its first line and headers) without limit, and waits for the rest of
a request for ever. What it cannot read it refuses in plain text; here that is a problem document like any other.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from saas.entrypoints.http.errors import HTTP_CODES, PROBLEM_JSON, problem_document

MAX_HEAD_BYTES = 64 * 1024
"""First line and headers together. A head that begins in the middle of what is read at once (256 KiB at most) is
counted from the next read on."""

HEAD_SECONDS = 10.0
"""From the start of the connection, or from the first byte of a further request, to the end of the headers."""

BODY_SECONDS = 30.0
"""From there to the end of the body."""

PARTING_SECONDS = 5.0
"""How long what a refused client still sends is read and dropped: closing at once could cost it our reply."""

access_log = logging.getLogger("saas.access")


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. Replies may take any time, and a WebSocket is out of our hands once it is upgraded."""

    _timer: asyncio.TimerHandle
    _deadline: float | None = None
    _in_head = True
    """Between two requests, too."""
    _head_bytes = 0
    _head_too_large = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the one timer of this connection, which looks at the deadline whenever that may have come."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, and set its deadline."""
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
        """Leave the connection to its new protocol."""
        self._timer.cancel()
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        """From here on it is the body's time that counts."""
        if self._head_bytes > MAX_HEAD_BYTES:  # unless it was the beginning of the body
            size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._head_too_large = True
                raise ValueError("too large a head")  # which the parser turns into an error of its own
        self._in_head = False
        self._deadline = self.loop.time() + BODY_SECONDS
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head = True
        self._head_bytes = 0
        self._deadline = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says more
        """Refuse what the parser could not or should not read."""
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
        """Whether we do not read, or have yet to reply to the request before."""
        return self.flow.read_paused or bool(self.pipeline) or (self._in_head and self._is_replying())

    def _is_replying(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: HTTPStatus) -> None:
        """Reply, if a reply has its place here, and close; nothing more is taken from this client."""
        self._refused = True
        self._timer.cancel()
        transport = self.transport
        if self._in_head and self._is_replying():
            self.cycle.keep_alive = False  # the request before has its reply first, and then it is over
            return
        if self._in_head:
            has_reply_coming = bool(self._head_bytes)  # else it never asked for anything
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
