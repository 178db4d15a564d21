"""The live channel as a Notifier: it delivers to the rooms of this process and sends hints to other processes.

Correctness does not depend on hints. A lost hint, a dropped connection or a process that died delays events by at most
about `POLL_SECONDS` and never loses one: rooms are compared with the log again and again.
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
    """Sends events to the sockets of this process, and hints to the other processes."""

    def __init__(self, registry: Registry, follower: Follower, signals: Signals, clock: Clock) -> None:
        self._registry = registry
        self._follower = follower
        self._signals = signals
        self._clock = clock
        self._unsent = Hint()
        self._hint_queued = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()

    async def publish(self, activities: Sequence[Activity]) -> None:
        """Deliver committed activities here at once, and send hints to the other processes a few milliseconds later."""
        for organisation_id, group in groupby(activities, key=lambda each: each.organisation_id):
            views = [ActivityView.of(activity) for activity in group]
            if room := self._registry.rooms.get(organisation_id):
                room.publish(views)
            self._queue_hint(Hint({organisation_id: views[-1].seq}))

    async def end_sessions(self, sessions: Sequence[SessionId]) -> None:
        """Close the sockets of ended sessions: here at once, in other processes after a hint."""
        self._end(sessions)
        self._queue_hint(Hint(ended=frozenset(sessions)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow hints, poll and sweep while in the block; leaving it closes every socket with 1012."""
        loops: list[Callable[[], Awaitable[None]]] = [
            lambda: _restart_on_error(self._send_hints),
            lambda: _restart_on_error(lambda: self._signals.run(self._on_hint)),
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
        """Close all sockets because the process stops; their clients reconnect to another process."""
        for socket in self._registry:
            socket.close(Close.RESTARTING, "Restarting; reconnect with after=<seq>, after a random pause")

    def _queue_hint(self, hint: Hint) -> None:
        self._unsent = self._unsent.merged(hint)
        self._hint_queued.set()

    async def _send_hints(self) -> None:
        while True:
            await self._hint_queued.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._hint_queued.clear()
            hint, self._unsent = self._unsent, Hint()
            with suppress(Unavailable):  # the polls of the other processes will find it
                await self._signals.send(hint)

    def _on_hint(self, hint: Hint) -> None:
        for organisation_id, seq in hint.positions.items():
            if room := self._registry.rooms.get(organisation_id):
                room.hint(seq)
        self._end(hint.ended)

    def _end(self, sessions: Sequence[SessionId] | frozenset[SessionId]) -> None:
        """Close the sockets of ended sessions with 4401.

        Removing a member ends sessions too, but must close with 4403: rooms that are behind first catch up and do that.
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
        """Find what no hint has reported."""
        if not self._registry.rooms:
            return
        ended = await self._follower.ended(self._registry.sessions)  # before the positions: see `_end`
        before = [(room, room.position) for room in self._registry.rooms.values()]
        positions = await self._follower.positions([room.organisation_id for room, _ in before])
        for room, position in before:
            if positions.get(room.organisation_id, 0) < position:
                self._registry.discard_room(room)
        self._on_hint(Hint(positions, frozenset(ended)))
        epoch = await self._follower.epoch()
        for each in list(self._registry.rooms.values()):
            if each.epoch not in ("", epoch):
                self._registry.discard_room(each)

    async def _sweep(self) -> None:
        now, ticks = self._clock(), asyncio.get_running_loop().time()
        for room in list(self._registry.rooms.values()):
            for socket in (*room.sockets, *room.joining):
                if socket.expires_at <= now:
                    socket.close(Close.SESSION_ENDED, "The access token has expired; refresh it and reconnect")
                socket.check_progress(ticks, room.delivered if socket in room.sockets else 0)


async def _restart_on_error(act: Callable[[], Awaitable[None]]) -> None:
    """Run `act`, which should never end, and run it again after an unexpected error."""
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
            pass  # logged already, and less often than it is raised here
        except Exception:
            logger.exception("The live channel's upkeep failed; going on")
