"""One open socket as the rooms see it: something finished frames are written to, never waited for.

Writing costs nothing but memory, and of that each socket may hold a bounded amount; who reads too slowly for it
is closed with 4408, and who does not even take the closing frame is cut off.
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
    """Where finished frames go; an asyncio transport is one as it is."""

    def write(self, frames: bytes, /) -> None:
        """Queue finished frames."""
        ...

    def is_closing(self) -> bool:
        """Whether writing has no use any more."""
        ...


class Line(Protocol):
    """The way out to one peer."""

    @property
    def sink(self) -> Sink:
        """What to write to."""
        ...

    def opened(self) -> None:
        """The handshake is complete; until then there is nothing to close."""
        ...

    def when_ended(self, on_end: Callable[[], None]) -> None:
        """Call when nothing may be written any more though the connection is still there."""
        ...

    def buffered(self) -> int:
        """Bytes written that the peer's side has not taken; 0 when all is well."""
        ...

    async def drained(self) -> None:
        """Wait until little is queued, or the connection is over."""
        ...

    def keep_within(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """From now on let `limit` bytes be queued, and call when there are more."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Queue a closing frame and end the connection once it is out."""
        ...

    async def parted(self) -> None:
        """Wait until what is queued, a closing frame perhaps, no longer needs the application."""
        ...

    def abort(self) -> None:
        """End the connection now."""
        ...


@dataclass(slots=True, eq=False)
class LiveSocket:
    """An authenticated socket: who it speaks for, until when, and its line."""

    line: Line
    user_id: UserId
    organisation_id: OrganisationId
    session_id: SessionId
    expires_at: datetime
    ending: tuple[Close, str] | None = None
    """Why it was closed, once it was; nothing is written after that."""
    proven_from: int = NOT_PROVEN
    """How far the log went just before the actor was proven: what it says up to there, the proof has seen."""
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
        """Whether writing has no use any more."""
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
        """Replay waits for the peer; from here on nobody does, and one that falls behind is closed with 4408."""
        self.line.keep_within(
            MAX_BUFFER_BYTES,
            lambda: self.close(Close.TOO_SLOW, "Too slow to keep up; reconnect with after=<seq>"),
        )

    def check_progress(self, now: float, delivered: int) -> None:
        """Cut a peer that has taken nothing of what waits for it in `STALLED_SECONDS`; to be called every second.

        `delivered` counts the bytes that its room has written to everybody so far.
        """
        if self.is_over:
            delivered = self._delivered  # not to this one any more
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
