"""Who is asking: what an access token claims, and what the database confirms of it."""

from dataclasses import dataclass
from datetime import datetime

from saas.domain.errors import AdminOnly
from saas.domain.values import OrganisationId, Person, Role, SessionId, UserId


@dataclass(frozen=True, slots=True)
class Claims:
    """What a signed, unexpired access token says; the database has not been asked yet."""

    user_id: UserId
    organisation_id: OrganisationId
    session_id: SessionId
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """A member of one organisation with a living session, proven at the start of this request."""

    person: Person
    organisation_id: OrganisationId
    role: Role
    session_id: SessionId

    def require_admin(self) -> None:
        """Raises `AdminOnly` for anybody else."""
        if self.role is not Role.ADMIN:
            raise AdminOnly
