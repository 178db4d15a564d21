"""Everything the use cases need from outside, on one page; adapters satisfy these by shape, nothing inherits.

What belongs to an organisation is reached through `UnitOfWork.tenant` or `Reads.tenant` only; the methods of what
these return take no organisation id, so that a query for the wrong tenant cannot be written.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from saas.application.actor import Actor, Claims
from saas.application.views import ActivityView, Affiliation, Invitation, MemberView, OrganisationView, PageRequest
from saas.domain.events import Activity, Event
from saas.domain.invites import Invite
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import Email, OrganisationId, Role, SessionId, UserId

Clock = Callable[[], datetime]
"""Now, with its zone."""

NewId = Callable[[], UUID]
"""A new UUIDv7 (RFC 9562), so that ids sort by age."""


class Users(Protocol):
    """People, whatever organisations they belong to."""

    async def add(self, user: User) -> None:
        """Raises `EmailInUse` when the address is taken, also by a registration under way."""
        ...


class Sessions(Protocol):
    """Sign-ins."""

    async def add(self, session: Session) -> None:
        """Store a new session."""
        ...

    async def lock(self, session_id: SessionId) -> Session | None:
        """Load a session and keep others from changing it until this work ends."""
        ...

    async def save(self, session: Session) -> None:
        """Store what the session has become."""
        ...

    async def end(self, user_id: UserId, sessions: Sequence[SessionId], at: datetime) -> Sequence[SessionId]:
        """End those of the given sessions that are this person's and say which; others are left alone."""
        ...

    async def end_in(self, organisation_id: OrganisationId, user_id: UserId, at: datetime) -> Sequence[SessionId]:
        """End every session in which this person speaks for this organisation, and say which."""
        ...


class Members(Protocol):
    """The members of one organisation."""

    async def add(self, membership: Membership) -> None:
        """Raises `AlreadyMember`."""
        ...

    async def get(self, user_id: UserId) -> Membership | None:
        """The person's membership here."""
        ...

    async def has(self, email: Email) -> bool:
        """Whether somebody with this address is a member."""
        ...

    async def count_admins(self) -> int:
        """How many members have the role ADMIN."""
        ...

    async def save(self, membership: Membership) -> None:
        """Store what the membership has become."""
        ...

    async def remove(self, membership: Membership) -> None:
        """Delete the membership; the account stays."""
        ...


class Invites(Protocol):
    """The invites of one organisation."""

    async def add(self, invite: Invite) -> None:
        """Store a new invite."""
        ...

    async def pending(self, email: Email) -> Invite | None:
        """The invite to this address that is neither accepted nor marked expired."""
        ...

    async def with_digest(self, token_digest: bytes) -> Invite | None:
        """The invite whose secret has this digest."""
        ...

    async def save(self, invite: Invite) -> None:
        """Store what the invite has become."""
        ...


class Tenant(Protocol):
    """One organisation, locked: until the work ends no other work can change its seats, roles, plan or log."""

    @property
    def organisation(self) -> Organisation:
        """The organisation as it is now, its counts included."""
        ...

    @property
    def members(self) -> Members:
        """Its members."""
        ...

    @property
    def invites(self) -> Invites:
        """Its invites."""
        ...

    async def record(self, *events: Event) -> list[Activity]:
        """Store what the organisation has become and append the events to its log, each with the next seq."""
        ...


class UnitOfWork(Protocol):
    """One transaction. It starts with no tenant: only people and sessions are in reach."""

    @property
    def users(self) -> Users:
        """All people."""
        ...

    @property
    def sessions(self) -> Sessions:
        """All sessions."""
        ...

    async def affiliations(self, user_id: UserId) -> Sequence[Affiliation]:
        """The organisations a person belongs to, the longest-standing first."""
        ...

    async def create_organisation(self, organisation: Organisation, slugs: Iterable[str]) -> Tenant:
        """Store a new organisation under the first free slug and enter it."""
        ...

    async def tenant(self, organisation_id: OrganisationId) -> Tenant:
        """Enter an organisation and lock it. Raises `NotFound`."""
        ...


class Begin(Protocol):
    """Opens a unit of work: leaving the block commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A new transaction; raises `Unavailable` when there is nowhere to have one."""
        ...


class TenantReads(Protocol):
    """The reads of one organisation, one statement each."""

    async def organisation(self) -> OrganisationView:
        """The organisation itself."""
        ...

    async def members(self, page: PageRequest[UserId]) -> Sequence[MemberView]:
        """Members by the age of their account, the oldest first."""
        ...

    async def activities(self, page: PageRequest[int]) -> Sequence[ActivityView]:
        """The log backwards from, and without, the seq `page.after`."""
        ...

    async def invitation(self, token_digest: bytes) -> Invitation | None:
        """The invite whose secret has this digest, with its circumstances: decide again under the lock."""
        ...


class Reads(Protocol):
    """Reading outside any unit of work."""

    async def actor(self, claims: Claims, at: datetime) -> Actor | None:
        """Who the claims speak for, if their session is alive and they are still a member; role as it is now."""
        ...

    async def user(self, email: Email) -> User | None:
        """The person with this address."""
        ...

    def tenant(self, organisation_id: OrganisationId) -> TenantReads:
        """The reads of this organisation; no statement is run yet."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` unless reads can be served."""
        ...


class Notifier(Protocol):
    """Tells live subscribers what happened."""

    async def publish(self, activities: Sequence[Activity]) -> None:
        """Show committed activities to the organisation's live subscribers."""
        ...

    async def end_sessions(self, sessions: Sequence[SessionId]) -> None:
        """Close the sockets of sessions that have ended."""
        ...


class Passwords(Protocol):
    """Slow hashing, away from the event loop. Raises `Overloaded` when too many wait."""

    async def hash(self, password: str) -> str:
        """A salted hash to store."""
        ...

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is the password. Without `stored` it takes just as long and returns False."""
        ...


class Tokens(Protocol):
    """Makes and reads the three kinds of tokens. Reading raises `NotAuthenticated`, for invites `NotFound`."""

    def access(self, user_id: UserId, organisation_id: OrganisationId, role: Role, session_id: SessionId) -> str:
        """A short-lived token that speaks for a person in one organisation."""
        ...

    def read_access(self, token: str) -> Claims:
        """What the token claims, its signature and times checked."""
        ...

    def refresh(self, session_id: SessionId, generation: int) -> str:
        """The refresh token of one generation: always the same text, so it need not be stored."""
        ...

    def read_refresh(self, token: str) -> tuple[SessionId, int]:
        """Session and generation."""
        ...

    def new_invite(self, organisation_id: OrganisationId) -> tuple[str, bytes]:
        """A fresh secret token, and the digest to store of it."""
        ...

    def read_invite(self, token: str) -> tuple[OrganisationId, bytes]:
        """The organisation it leads to and the digest to look for there."""
        ...
