"""A room: the live end of one organisation's log, and the sockets that follow it.

A room delivers seq n + 1 after n and drops what it has seen. Whatever it receives, in any order and any number of
times, is only a hint of how far the log goes; it reads what is missing from the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from saas.adapters.websocket.frames import Close, activity_frame
from saas.adapters.websocket.sockets import LiveSocket
from saas.application.live import Follower
from saas.application.views import ActivityView
from saas.domain.errors import Unavailable
from saas.domain.values import OrganisationId, UserId

PAGE = 32
"""Entries that are read at once. Each may take 24 KiB on the wire: all of them far less than a socket may queue."""

CATCH_UP_BYTES_PER_SECOND = 8 * 1024 * 1024
"""The most that a room delivers when it is far behind, so that clients that read can keep up."""

RECENT_FRAMES = 256
RECENT_BYTES = 256 * 1024
EARLY_LIMIT = 1_000


class Room:
    """The sockets of one organisation in this process, and how far they have been served."""

    def __init__(self, organisation_id: OrganisationId, follower: Follower, discard: Callable[["Room"], None]) -> None:
        self.organisation_id = organisation_id
        self.sockets: set[LiveSocket] = set()
        self.joining: set[LiveSocket] = set()
        """Not admitted yet: they get no events, but every ending closes them."""
        self.position = 0
        self.epoch = ""
        """Of the log that `position` belongs to."""
        self.delivered = 0
        """Bytes written to each admitted socket so far."""
        self._follower = follower
        self._discard = discard
        self._log = follower.log(organisation_id)
        self._is_open = False
        self._opening = asyncio.Lock()
        self._hinted = 0
        self._early: dict[int, ActivityView] = {}
        self._catching_up: asyncio.Task[None] | None = None
        self._outbox: list[bytes] = []
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether the room has no sockets, admitted or joining."""
        return not self.sockets and not self.joining

    @property
    def is_behind(self) -> bool:
        """Whether the log goes further than what was delivered, or it is not known how far it goes."""
        return not self._is_open or self._hinted > self.position

    def publish(self, activities: Sequence[ActivityView]) -> None:
        """Deliver committed activities; keep those that come early until the ones before them arrive."""
        for each in activities:
            if self._is_open and self.position < each.seq <= self.position + EARLY_LIMIT:
                self._early[each.seq] = each
        if not self._outbox and self.position + 1 in self._early:
            asyncio.get_running_loop().call_soon(self.flush)
        while (activity := self._early.pop(self.position + 1, None)) is not None:
            self._deliver(activity)
        if activities:
            self.hint(activities[-1].seq)

    def hint(self, seq: int) -> None:
        """Read the log if it is said to reach `seq`, further than what was delivered."""
        self._hinted = max(self._hinted, seq)
        if self._is_open and self._hinted > self.position and self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._follow_hints())

    async def catch_up(self) -> None:
        """Deliver everything in the log, or discard the room if the log has a gap. Raises `Unavailable`."""
        await self._open()
        while True:
            before, delivered = self.position, self.delivered
            page = await self._log.activities_after(before, PAGE)
            if page and page[0].seq != before + 1:
                self._discard(self)
                return
            self.publish(page)
            if len(page) < PAGE:
                return
            self.flush()
            await asyncio.sleep((self.delivered - delivered) / CATCH_UP_BYTES_PER_SECOND)

    def admit(self, socket: LiveSocket) -> None:
        """Let the socket follow the room; it must have been sent everything up to `position`."""
        self.flush()
        self.joining.discard(socket)
        if not socket.is_over:
            socket.follow_live()
            self.sockets.add(socket)

    def leave(self, socket: LiveSocket) -> None:
        """Forget the socket."""
        self.joining.discard(socket)
        self.sockets.discard(socket)

    def recent_after(self, seq: int) -> bytes | None:
        """The frames after `seq` up to `position`, or None when that is more than is kept in memory."""
        if seq == self.position:
            return b""
        if not self._recent or self._recent[0][0] > seq + 1:
            return None
        return b"".join(frame for each, frame in self._recent if each > seq)

    def flush(self) -> None:
        """Write what was delivered since the last flush: one write to each socket for any number of events."""
        if self._outbox:
            frames = b"".join(self._outbox)
            self._outbox.clear()
            self.delivered += len(frames)
            for socket in tuple(self.sockets):  # the hottest loop of the channel: nothing in it may wait
                sink = socket.sink
                if socket.ending is None and not sink.is_closing():
                    sink.write(frames)

    async def _open(self) -> None:
        """Read how far the log goes, the first time. Raises `Unavailable`."""
        async with self._opening:
            if not self._is_open:
                self.epoch = await self._follower.epoch()  # first: a position may be too new for its epoch, not too old
                self.position = await self._log.position()
                self._is_open = True
                self.hint(self._hinted)

    def _deliver(self, activity: ActivityView) -> None:
        self.position = activity.seq
        if activity.type == "USER_REMOVED" and activity.target is not None:
            self.flush()
            self._close_removed(activity.target.id, activity.seq)
        frame = activity_frame(activity)
        self._outbox.append(frame)
        self._recent.append((activity.seq, frame))
        self._recent_bytes += len(frame)
        while len(self._recent) > RECENT_FRAMES or self._recent_bytes > RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popleft()[1])

    def _close_removed(self, user_id: UserId, seq: int) -> None:
        for socket in (*self.sockets, *self.joining):
            if socket.user_id == user_id and socket.proven_from < seq:
                socket.close(Close.NOT_A_MEMBER, "No longer a member of this organisation")

    async def _follow_hints(self) -> None:
        try:
            while self._hinted > self.position:
                hinted, before = self._hinted, self.position
                await self.catch_up()
                if self.position == before and self._hinted == hinted:
                    self._hinted = self.position  # the log does not go that far
        except Unavailable:
            pass  # the next hint or poll tries again
        finally:
            self._catching_up = None
