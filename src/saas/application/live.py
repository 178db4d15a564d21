"""The ports of the live channel: the log to read from, and a way to send hints to other processes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from saas.application.views import ActivityView
from saas.domain.values import OrganisationId, SessionId


@dataclass(frozen=True, slots=True)
class Hint:
    """How far some logs go and which sessions are over, as far as the sender knows."""

    positions: Mapping[OrganisationId, int] = field(default_factory=dict)
    ended: frozenset[SessionId] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.positions or self.ended)

    def merged(self, other: Self) -> "Hint":
        """Both as one: of each log the furthest position counts."""
        positions = dict(self.positions)
        for organisation_id, seq in other.positions.items():
            positions[organisation_id] = max(seq, positions.get(organisation_id, 0))
        return Hint(positions, self.ended | other.ended)


class Signals(Protocol):
    """Carries hints between processes. A hint may get lost: the poll finds what it would have told."""

    async def send(self, hint: Hint) -> None:
        """Tell the other processes, and perhaps this one too. Raises `Unavailable`."""
        ...

    async def run(self, on_hint: Callable[[Hint], None]) -> None:
        """Hand on every hint that arrives, until cancelled; reconnects by itself."""
        ...

    def follow(self, organisation_id: OrganisationId) -> None:
        """Receive hints for this organisation; those for organisations not followed may be left out."""
        ...

    def unfollow(self, organisation_id: OrganisationId) -> None:
        """Stop receiving hints for this organisation."""
        ...


class Log(Protocol):
    """The log of one organisation, forwards."""

    async def position(self) -> int:
        """The last seq."""
        ...

    async def activities_after(self, seq: int, limit: int) -> Sequence[ActivityView]:
        """The entries that follow `seq`, oldest first."""
        ...


class Follower(Protocol):
    """Reads that the live channel does for all its organisations. All raise `Unavailable`."""

    def log(self, organisation_id: OrganisationId) -> Log:
        """The log of one organisation."""
        ...

    async def positions(self, organisations: Sequence[OrganisationId]) -> Mapping[OrganisationId, int]:
        """How far the logs of these organisations go, in one statement."""
        ...

    async def ended(self, sessions: Sequence[SessionId]) -> Sequence[SessionId]:
        """Which of these sessions are over, in one statement."""
        ...

    async def epoch(self) -> str:
        """A text that changes when the database is restored to an older state."""
        ...
