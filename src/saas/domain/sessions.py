"""Session: one sign-in, kept alive by refresh tokens that each work once.

The rules follow RFC 9700, 4.14.2 (refresh token rotation): tokens are numbered by generation, only the newest
may be used, and an old one coming back means that somebody else has it, so the whole session ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from saas.domain.errors import SessionEnded
from saas.domain.values import OrganisationId, SessionId, UserId

TOTAL_LIFETIME = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""How long the direct predecessor still works: for a client whose reply got lost, or two tabs at once."""


@dataclass(slots=True, kw_only=True)
class Session:
    """A person signed in to one organisation at a time."""

    id: SessionId
    user_id: UserId
    organisation_id: OrganisationId
    generation: int
    """The number of the one refresh token that may be used next."""
    created_at: datetime
    rotated_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    @classmethod
    def start(
        cls, session_id: SessionId, user_id: UserId, organisation_id: OrganisationId, *, idle: timedelta, at: datetime
    ) -> "Session":
        """A new sign-in; unused for `idle` it expires, used it lasts 30 days in all."""
        return cls(
            id=session_id,
            user_id=user_id,
            organisation_id=organisation_id,
            generation=0,
            created_at=at,
            rotated_at=at,
            expires_at=at + min(idle, TOTAL_LIFETIME),
        )

    def rotate(self, presented: int, *, idle: timedelta, at: datetime) -> bool:
        """Exchange the refresh token of generation `presented` for the one of `self.generation`.

        The direct predecessor gets the same successor again during its grace. Any other old token is a replay:
        it ends the session and returns False; save the session in that case too, so that the ending lasts.
        Raises `SessionEnded` when the session was over before.
        """
        self.require_alive(at)
        if presented == self.generation:
            self.generation += 1
            self.rotated_at = at
            self.expires_at = min(at + idle, self.created_at + TOTAL_LIFETIME)
            return True
        if presented == self.generation - 1 and at - self.rotated_at <= GRACE:
            return True
        self.end(at)
        return False

    def end(self, at: datetime) -> None:
        """Log out; ending twice changes nothing."""
        self.ended_at = self.ended_at or at

    def require_alive(self, at: datetime) -> None:
        """Raises `SessionEnded` when logged out, expired or ended by a replayed token."""
        if self.ended_at is not None or at >= self.expires_at:
            raise SessionEnded
