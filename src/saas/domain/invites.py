"""Invite: a seat promised to an address for 24 hours."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from saas.domain.errors import AlreadyInvited, InviteExpired, NotFound
from saas.domain.events import InviteAccepted, InviteLapsed, InviteSent
from saas.domain.values import Email, InviteId, Person, Role

INVITE_LIFETIME = timedelta(hours=24)


class InviteStatus(StrEnum):
    """An invite starts as PENDING and changes once, to one of the others."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    EXPIRED = "EXPIRED"


@dataclass(slots=True, kw_only=True)
class Invite:
    """An invitation into the organisation it was loaded from; its secret is kept only as a digest."""

    id: InviteId
    email: Email
    role: Role
    token_digest: bytes
    status: InviteStatus
    created_at: datetime
    expires_at: datetime

    @classmethod
    def issue(cls, invite_id: InviteId, email: Email, role: Role, token_digest: bytes, *, at: datetime) -> "Invite":
        """A new invite, good for 24 hours."""
        return cls(
            id=invite_id,
            email=email,
            role=role,
            token_digest=token_digest,
            status=InviteStatus.PENDING,
            created_at=at,
            expires_at=at + INVITE_LIFETIME,
        )

    def sent(self, *, by: Person) -> InviteSent:
        """The event of sending it."""
        return InviteSent(
            actor=by,
            invite_id=self.id,
            email=self.email,
            role=self.role,
            expires_at=self.expires_at,
            at=self.created_at,
        )

    def expire(self, *, at: datetime) -> InviteLapsed:
        """Mark it expired, so that its address can be invited again. Raises `AlreadyInvited` while it is good."""
        if at < self.expires_at:
            raise AlreadyInvited
        self.status = InviteStatus.EXPIRED
        return InviteLapsed(invite_id=self.id, email=self.email, at=at)

    def require_open(self, at: datetime) -> None:
        """Raises `NotFound` once used, `InviteExpired` once its 24 hours are over."""
        if self.status is InviteStatus.ACCEPTED:
            raise NotFound("invite")
        if self.status is InviteStatus.EXPIRED or at >= self.expires_at:
            raise InviteExpired

    def accept(self, *, by: Person, at: datetime) -> InviteAccepted:
        """Use it, which works once. Raises as `require_open` does."""
        self.require_open(at)
        self.status = InviteStatus.ACCEPTED
        return InviteAccepted(actor=by, invite_id=self.id, email=self.email, at=at)
