"""The live channel as a Notifier: it delivers to the rooms of this process and hints the others.

Nothing here is the truth. A lost hint, a dropped connection or a process that died costs time, at most about
`POLL_SECONDS`, and never an event: rooms are compared with the log again and again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import groupby

from saas.adapters.websocket.frames import Close
from saas.adapters.websocket.registry import Registry
from saas.adapters.websocket.rooms import Room
from saas.application.live import Follower, Hint, Signals
from saas.application.ports import Clock
from saas.application.views import ActivityView
from saas.domain.errors import Unavailable
from saas.domain.events import Activity
from saas.domain.values import SessionId

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.5
SWEEP_SECONDS = 1.0
COALESCE_SECONDS = 0.005
RESTART_SECONDS = 1.0


class LiveNotifier:
    """Shows what happened to the sockets of this process, and lets the other processes know."""

    def __init__(self, registry: Registry, follower: Follower, signals: Signals, clock: Clock) -> None:
        self._registry = registry
        self._follower = follower
        self._signals = signals
        self._clock = clock
        self._unsent = Hint()
        self._news = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()

    async def publish(self, activities: Sequence[Activity]) -> None:
        """Deliver committed activities here at once, and hint the other processes a few milliseconds later."""
        for organisation_id, group in groupby(activities, key=lambda each: each.organisation_id):
            views = [ActivityView.of(activity) for activity in group]
            if room := self._registry.rooms.get(organisation_id):
                room.publish(views)
            self._tell(Hint({organisation_id: views[-1].seq}))

    async def end_sessions(self, sessions: Sequence[SessionId]) -> None:
        """Close what is open in the name of ended sessions, here at once."""
        self._end(sessions)
        self._tell(Hint(ended=frozenset(sessions)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow hints, poll and sweep while in the block; leaving it closes every socket with 1012."""
        loops: list[Callable[[], Awaitable[None]]] = [
            lambda: _unbroken(self._send_hints),
            lambda: _unbroken(lambda: self._signals.run(self._on_hint)),
            lambda: _every(POLL_SECONDS, self._poll),
            lambda: _every(SWEEP_SECONDS, self._sweep),
        ]
        tasks = [asyncio.ensure_future(loop()) for loop in loops]
        try:
            yield
        finally:
            self.close_all()
            tasks += self._endings
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close_all(self) -> None:
        """The process is going away; whoever listens reconnects to another."""
        for socket in self._registry:
            socket.close(Close.RESTARTING, "Restarting; reconnect with after=<seq>, after a random pause")

    def _tell(self, hint: Hint) -> None:
        self._unsent = self._unsent.merged(hint)
        self._news.set()

    async def _send_hints(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._news.clear()
            hint, self._unsent = self._unsent, Hint()
            with suppress(Unavailable):  # their polls will find out
                await self._signals.send(hint)

    def _on_hint(self, hint: Hint) -> None:
        for organisation_id, seq in hint.positions.items():
            if room := self._registry.rooms.get(organisation_id):
                room.hint(seq)
        self._end(hint.ended)

    def _end(self, sessions: Sequence[SessionId] | frozenset[SessionId]) -> None:
        """Close the sockets of ended sessions with 4401.

        A removal ends sessions too, and its sockets are to be closed with 4403: rooms that are behind catch up first.
        """
        here = {socket.organisation_id for socket in self._registry.of_sessions(sessions)}
        rooms = [self._registry.rooms[each] for each in here if each in self._registry.rooms]
        if behind := [room for room in rooms if room.is_behind]:
            ending = asyncio.get_running_loop().create_task(self._end_after(behind, sessions))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
        else:
            self._close_sessions(sessions)

    async def _end_after(self, behind: Sequence[Room], sessions: Sequence[SessionId] | frozenset[SessionId]) -> None:
        with suppress(Unavailable):
            for room in behind:
                await room.catch_up()
        self._close_sessions(sessions)

    def _close_sessions(self, sessions: Sequence[SessionId] | frozenset[SessionId]) -> None:
        for socket in self._registry.of_sessions(sessions):
            socket.close(Close.SESSION_ENDED, "The session has ended; log in again")

    async def _poll(self) -> None:
        """Look for what no hint has told."""
        if not self._registry.rooms:
            return
        ended = await self._follower.ended(self._registry.sessions)  # first: see `_end`
        before = [(room, room.position) for room in self._registry.rooms.values()]
        positions = await self._follower.positions([room.organisation_id for room, _ in before])
        for room, position in before:
            if positions.get(room.organisation_id, 0) < position:
                self._registry.give_up(room)
        self._on_hint(Hint(positions, frozenset(ended)))
        epoch = await self._follower.epoch()
        for each in list(self._registry.rooms.values()):
            if each.epoch not in ("", epoch):
                self._registry.give_up(each)

    async def _sweep(self) -> None:
        now, ticks = self._clock(), asyncio.get_running_loop().time()
        for room in list(self._registry.rooms.values()):
            for socket in (*room.sockets, *room.joining):
                if socket.expires_at <= now:
                    socket.close(Close.SESSION_ENDED, "The access token has expired; refresh it and reconnect")
                socket.check_progress(ticks, room.delivered if socket in room.sockets else 0)


async def _unbroken(act: Callable[[], Awaitable[None]]) -> None:
    """Do what should never end, and do it again should it fail in a way that nobody thought of."""
    while True:
        try:
            await act()
        except Exception:
            logger.exception("The live channel's signals failed; going on")
        await asyncio.sleep(RESTART_SECONDS)


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await act()
        except Unavailable:
            pass  # which the log tells already, once and not every other second
        except Exception:
            logger.exception("The live channel's upkeep failed; going on")
