"""One open socket as the rooms see it: they write finished frames to it and never wait for it.

Writing only takes memory, and each socket may take a limited amount of it. A peer that reads too slowly is closed with
4408, and one that does not even take the closing frame is cut off.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from saas.adapters.websocket.frames import Close
from saas.domain.values import OrganisationId, SessionId, UserId

MAX_BUFFER_BYTES = 1024 * 1024
STALLED_SECONDS = 10.0
NOT_PROVEN = sys.maxsize


class Sink(Protocol):
    """Where finished frames go; every asyncio transport is a sink."""

    def write(self, frames: bytes, /) -> None:
        """Queue finished frames."""
        ...

    def is_closing(self) -> bool:
        """Whether writing is pointless by now."""
        ...


class Line(Protocol):
    """The connection to one peer, for writing and closing."""

    @property
    def sink(self) -> Sink:
        """What to write to."""
        ...

    def opened(self) -> None:
        """The handshake is complete; until then there is nothing to close."""
        ...

    def when_ended(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` when nothing more may be written though the connection is still open."""
        ...

    def buffered(self) -> int:
        """Bytes written that the peer has not taken; may be 0 while they are few."""
        ...

    async def drained(self) -> None:
        """Wait until little is queued, or the connection is lost."""
        ...

    def keep_within(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """From now on call `on_overflow` when more than `limit` bytes are queued."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Queue a closing frame and end the connection once it is sent."""
        ...

    async def wait_closed(self) -> None:
        """Wait until the application may return without losing what is queued, such as a closing frame."""
        ...

    def abort(self) -> None:
        """End the connection now."""
        ...


@dataclass(slots=True, eq=False)
class LiveSocket:
    """An authenticated socket: its user, organisation and session, when it expires, and its line."""

    line: Line
    user_id: UserId
    organisation_id: OrganisationId
    session_id: SessionId
    expires_at: datetime
    ending: tuple[Close, str] | None = None
    """Why it was closed, or None; nothing is written once this is set."""
    proven_from: int = NOT_PROVEN
    """How far the log went just before the actor was proven: the proof has seen everything up to there."""
    sink: Sink = field(init=False)
    _written: int = field(default=0, init=False)
    _delivered: int = field(default=0, init=False)
    _buffered: int = field(default=0, init=False)
    _stalled_since: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.sink = self.line.sink
        self.line.when_ended(self._has_ended)

    @property
    def is_over(self) -> bool:
        """Whether writing is pointless by now."""
        return self.ending is not None or self.sink.is_closing()

    def write(self, frames: bytes) -> None:
        """Queue finished frames."""
        if not self.is_over:
            self._written += len(frames)
            self.sink.write(frames)

    def close(self, code: Close, reason: str) -> None:
        """Close for the given reason."""
        if self.ending is None:
            self.ending = (code, reason)
            self.line.close(code, reason)

    def follow_live(self) -> None:
        """Limit the queue. Replay waited for the peer; from here on a peer that falls behind is closed with 4408."""
        self.line.keep_within(
            MAX_BUFFER_BYTES,
            lambda: self.close(Close.TOO_SLOW, "Too slow to keep up; reconnect with after=<seq>"),
        )

    def check_progress(self, now: float, delivered: int) -> None:
        """Abort if the peer has taken nothing of what is queued for `STALLED_SECONDS`; to be called every second.

        `delivered` is the number of bytes that its room has written to each admitted socket so far.
        """
        if self.is_over:
            delivered = self._delivered  # the room no longer writes to this one
        buffered = self.line.buffered()
        taken = self._buffered + self._written + delivered - self._delivered - buffered
        self._buffered, self._written, self._delivered = buffered, 0, delivered
        if buffered == 0 or taken > 0:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since >= STALLED_SECONDS:
            self.ending = self.ending or (Close.TOO_SLOW, "Stalled")
            self.line.abort()

    def _has_ended(self) -> None:
        self.ending = self.ending or (Close.PROTOCOL, "The peer broke the protocol")
