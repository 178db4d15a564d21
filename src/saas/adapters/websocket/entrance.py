"""Admits sockets: registers each before its actor is proven, sends what it missed, and lets it follow without a gap."""

from dataclasses import dataclass

from saas.adapters.websocket.frames import ConnectedPayload, ResyncPayload, ResyncReason, activity_frame, control_frame
from saas.adapters.websocket.registry import Registry
from saas.adapters.websocket.rooms import PAGE, Room
from saas.adapters.websocket.sockets import LiveSocket
from saas.application.live import Follower


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client left off: the last seq it saw, and the epoch in which it saw it (None: not given)."""

    after: int
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Entrance:
    """Brings a socket from its first frame to the live end of its organisation's log."""

    registry: Registry
    follower: Follower

    async def register(self, socket: LiveSocket) -> Room:
        """Register the socket before its actor is proven, so that it misses no ending of a session or membership.

        The proof sees what has happened until now; the room closes the socket for whatever happens later.
        Raises `FullError` and `Unavailable`, after which the socket is not registered.
        """
        room = self.registry.add(socket)
        try:
            await room.catch_up()
        except BaseException:
            self.registry.remove(socket)
            raise
        socket.proven_from = room.position
        return room

    async def admit(self, socket: LiveSocket, room: Room, cursor: Cursor | None) -> None:
        """Send CONNECTED, replay what the cursor asks for, and follow the room. Raises `Unavailable`."""
        connected = ConnectedPayload("Connected to real-time channel", room.position, room.epoch, socket.expires_at)
        socket.write(control_frame(connected))
        await self._replay(socket, room, _start(socket, room, cursor))
        room.admit(socket)

    async def _replay(self, socket: LiveSocket, room: Room, served: int) -> None:
        """Send everything after `served` up to the room's position, or a RESYNC for what the log no longer has.

        Returns only when all is sent and the peer has taken nearly all of it, or when the socket is over. An
        admitted socket's queue is limited by a signal that the transport gives only at the moment it becomes too long.
        """
        log = self.follower.log(socket.organisation_id)
        while not socket.is_over:
            if (recent := room.recent_after(served)) is not None:
                socket.write(recent)
                served = room.position
                await socket.line.drained()
                if served == room.position:
                    return
                continue
            page = await log.activities_after(served, min(PAGE, room.position - served))
            if not page or page[0].seq != served + 1:
                _resync(socket, "no_longer_kept", room)
                served = room.position
                continue
            for activity in page:
                if activity.seq == served + 1:
                    socket.write(activity_frame(activity))
                    await socket.line.drained()
                    served = activity.seq


def _start(socket: LiveSocket, room: Room, cursor: Cursor | None) -> int:
    """Returns the seq to go on after: the cursor's, or the room's after a RESYNC if the cursor does not fit the log."""
    if cursor is None:
        return room.position
    if cursor.epoch is not None and cursor.epoch != room.epoch:
        _resync(socket, "another_epoch", room)
        return room.position
    if cursor.after > room.position:
        _resync(socket, "ahead_of_the_log", room)
        return room.position
    return cursor.after


def _resync(socket: LiveSocket, reason: ResyncReason, room: Room) -> None:
    advice = "What came before cannot be replayed. Reload what you show from /api/activities; seq goes on from here."
    socket.write(control_frame(ResyncPayload(advice, reason, room.position, room.epoch)))
