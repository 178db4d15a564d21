"""A notifier that remembers."""

from collections.abc import Sequence

from saas.domain.events import Activity
from saas.domain.values import SessionId


class RecordingNotifier:
    """Keeps what it was asked to show and to close, in order."""

    def __init__(self) -> None:
        self.published: list[Activity] = []
        self.ended: list[SessionId] = []

    async def publish(self, activities: Sequence[Activity]) -> None:
        """Remember them in `published`."""
        self.published.extend(activities)

    async def end_sessions(self, sessions: Sequence[SessionId]) -> None:
        """Remember them in `ended`."""
        self.ended.extend(sessions)
