"""A notifier that records its calls."""

from collections.abc import Sequence

from saas.domain.events import Activity
from saas.domain.values import SessionId


class RecordingNotifier:
    """Records the activities it was asked to show and the sessions it was asked to close, in order."""

    def __init__(self) -> None:
        self.published: list[Activity] = []
        self.ended: list[SessionId] = []

    async def publish(self, activities: Sequence[Activity]) -> None:
        """Append the activities to `published`."""
        self.published.extend(activities)

    async def end_sessions(self, sessions: Sequence[SessionId]) -> None:
        """Append the sessions to `ended`."""
        self.ended.extend(sessions)
