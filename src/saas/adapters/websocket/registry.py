"""The rooms and sockets of this process, found by organisation, by session and by user."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from saas.adapters.websocket.frames import Close
from saas.adapters.websocket.rooms import Room
from saas.adapters.websocket.sockets import LiveSocket
from saas.application.live import Follower, Signals
from saas.domain.values import OrganisationId, SessionId, UserId

Key = TypeVar("Key")

MAX_SOCKETS = 20_000
MAX_SOCKETS_OF_ONE_USER = 20


class FullError(Exception):
    """The process, or the user, has the maximum number of sockets."""


class Registry:
    """An organisation has a room as long as it has sockets here, admitted or joining."""

    def __init__(
        self,
        follower: Follower,
        signals: Signals,
        *,
        max_sockets: int = MAX_SOCKETS,
        max_sockets_of_one_user: int = MAX_SOCKETS_OF_ONE_USER,
    ) -> None:
        self.rooms: dict[OrganisationId, Room] = {}
        self.max_sockets = max_sockets
        self.max_sockets_of_one_user = max_sockets_of_one_user
        self._follower = follower
        self._signals = signals
        self._by_session: defaultdict[SessionId, set[LiveSocket]] = defaultdict(set)
        self._by_user: defaultdict[UserId, set[LiveSocket]] = defaultdict(set)
        self._count = 0

    def __iter__(self) -> Iterator[LiveSocket]:
        for room in list(self.rooms.values()):
            yield from [*room.sockets, *room.joining]

    def __len__(self) -> int:
        return self._count

    @property
    def sessions(self) -> list[SessionId]:
        """The sessions that have a socket here."""
        return list(self._by_session)

    def of_sessions(self, sessions: Iterable[SessionId]) -> list[LiveSocket]:
        """The sockets of these sessions."""
        return [socket for session in sessions for socket in self._by_session.get(session, ())]

    def add(self, socket: LiveSocket) -> Room:
        """Add a socket that is joining; from here on every ending closes it. Raises `FullError`."""
        if self._count >= self.max_sockets:
            raise FullError
        if len(self._by_user.get(socket.user_id, ())) >= self.max_sockets_of_one_user:
            raise FullError
        room = self.rooms.get(socket.organisation_id)
        if room is None:
            room = self.rooms[socket.organisation_id] = Room(socket.organisation_id, self._follower, self.discard_room)
            self._signals.follow(socket.organisation_id)
        room.joining.add(socket)
        self._by_session[socket.session_id].add(socket)
        self._by_user[socket.user_id].add(socket)
        self._count += 1
        return room

    def move(self, socket: LiveSocket, session_id: SessionId) -> None:
        """Make the socket belong to another session of the same user."""
        _remove_from(self._by_session, socket.session_id, socket)
        socket.session_id = session_id
        self._by_session[session_id].add(socket)

    def remove(self, socket: LiveSocket) -> None:
        """Remove a socket that is over; to be called once for each `add`."""
        _remove_from(self._by_session, socket.session_id, socket)
        _remove_from(self._by_user, socket.user_id, socket)
        self._count -= 1
        room = self.rooms.get(socket.organisation_id)
        if room is not None:  # it may have been discarded
            room.leave(socket)
            if room.is_empty:
                self._forget(room)

    def discard_room(self, room: Room) -> None:
        """Drop a room whose log was replaced and close its sockets; the next socket gets a new room."""
        if self.rooms.get(room.organisation_id) is room:
            self._forget(room)
        for socket in (*room.sockets, *room.joining):
            socket.close(Close.RESTARTING, "The log is another one now; reconnect with after=<seq>&epoch=<epoch>")

    def _forget(self, room: Room) -> None:
        del self.rooms[room.organisation_id]
        self._signals.unfollow(room.organisation_id)


def _remove_from(index: defaultdict[Key, set[LiveSocket]], key: Key, socket: LiveSocket) -> None:
    index[key].discard(socket)
    if not index[key]:
        del index[key]
