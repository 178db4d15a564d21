"""One transaction over a snapshot of the tables; classes without a docstring are documented in the ports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from saas.adapters.memory.tables import Tables
from saas.application.ports import Clock, NewId
from saas.application.views import Affiliation
from saas.domain.errors import AlreadyMember, EmailInUse, NotFound
from saas.domain.events import Activity, Event
from saas.domain.invites import Invite, InviteStatus
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import ActivityId, Email, OrganisationId, Role, SessionId, UserId


@dataclass(frozen=True, slots=True)
class _Users:
    _tables: Tables

    async def add(self, user: User) -> None:
        if self._tables.user(user.email):
            raise EmailInUse
        self._tables.users[user.id] = user


@dataclass(frozen=True, slots=True)
class _Sessions:
    _tables: Tables

    async def add(self, session: Session) -> None:
        self._tables.sessions[session.id] = session

    async def lock(self, session_id: SessionId) -> Session | None:
        return self._tables.sessions.get(session_id)

    async def save(self, session: Session) -> None:
        self._tables.sessions[session.id] = session

    async def end(self, user_id: UserId, sessions: Sequence[SessionId], at: datetime) -> Sequence[SessionId]:
        return self._end([each for each in self._alive(user_id) if each.id in sessions], at)

    async def end_in(self, organisation_id: OrganisationId, user_id: UserId, at: datetime) -> Sequence[SessionId]:
        return self._end([each for each in self._alive(user_id) if each.organisation_id == organisation_id], at)

    def _alive(self, user_id: UserId) -> list[Session]:
        return [each for each in self._tables.sessions.values() if each.user_id == user_id and each.ended_at is None]

    def _end(self, sessions: Sequence[Session], at: datetime) -> Sequence[SessionId]:
        for session in sessions:
            session.end(at)
            self._tables.sessions[session.id] = session
        return [session.id for session in sessions]


@dataclass(frozen=True, slots=True)
class _Members:
    _tables: Tables
    _organisation_id: OrganisationId

    async def add(self, membership: Membership) -> None:
        key = self._organisation_id, membership.person.id
        if key in self._tables.memberships:
            raise AlreadyMember
        self._tables.memberships[key] = membership

    async def get(self, user_id: UserId) -> Membership | None:
        return self._tables.membership(self._organisation_id, user_id)

    async def has(self, email: Email) -> bool:
        return any(member.person.email == email for member in self._tables.members(self._organisation_id))

    async def count_admins(self) -> int:
        return sum(member.role is Role.ADMIN for member in self._tables.members(self._organisation_id))

    async def save(self, membership: Membership) -> None:
        self._tables.memberships[self._organisation_id, membership.person.id] = membership

    async def remove(self, membership: Membership) -> None:
        del self._tables.memberships[self._organisation_id, membership.person.id]


@dataclass(frozen=True, slots=True)
class _Invites:
    _tables: Tables
    _organisation_id: OrganisationId

    async def add(self, invite: Invite) -> None:
        self._tables.invites[self._organisation_id, invite.id] = invite

    async def pending(self, email: Email) -> Invite | None:
        invites = self._tables.invites_of(self._organisation_id)
        return next((each for each in invites if each.email == email and each.status is InviteStatus.PENDING), None)

    async def with_digest(self, token_digest: bytes) -> Invite | None:
        return self._tables.invite(self._organisation_id, token_digest)

    async def save(self, invite: Invite) -> None:
        self._tables.invites[self._organisation_id, invite.id] = invite


@dataclass(frozen=True, slots=True)
class _Tenant:
    _tables: Tables
    _new_id: NewId
    organisation: Organisation

    @property
    def members(self) -> _Members:
        return _Members(self._tables, self.organisation.id)

    @property
    def invites(self) -> _Invites:
        return _Invites(self._tables, self.organisation.id)

    async def record(self, *events: Event) -> list[Activity]:
        self._tables.organisations[self.organisation.id] = self.organisation
        logged = len(self._tables.activities_of(self.organisation.id))
        activities = [
            Activity(id=ActivityId(self._new_id()), organisation_id=self.organisation.id, seq=seq, event=event)
            for seq, event in enumerate(events, start=logged + 1)
        ]
        for activity in activities:
            self._tables.activities[activity.organisation_id, activity.seq] = activity
        return activities


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    """Changes its own snapshot of the tables, which the store takes over when the block ends without an exception."""

    tables: Tables
    clock: Clock
    new_id: NewId

    @property
    def users(self) -> _Users:
        """All people."""
        return _Users(self.tables)

    @property
    def sessions(self) -> _Sessions:
        """All sessions."""
        return _Sessions(self.tables)

    async def affiliations(self, user_id: UserId) -> Sequence[Affiliation]:
        """The organisations a person belongs to, in the order of joining."""
        joined = [
            (membership.joined_at, self.tables.organisations[organisation_id], membership.role)
            for (organisation_id, member_id), membership in self.tables.memberships.items()
            if member_id == user_id
        ]
        return [
            Affiliation(organisation.id, organisation.name, organisation.slug, role, organisation.plan)
            for _, organisation, role in sorted(joined, key=lambda each: (each[0], each[1].id))
        ]

    async def create_organisation(self, organisation: Organisation, slugs: Iterable[str]) -> _Tenant:
        """Store a new organisation under the first free slug and enter it."""
        taken = {each.slug for each in self.tables.organisations.values()}
        slug = next((slug for slug in slugs if slug not in taken), None)
        if slug is None:
            raise RuntimeError("every slug is taken, even the one that carries the id")
        stored = replace(organisation, slug=slug)
        self.tables.organisations[stored.id] = stored
        return _Tenant(self.tables, self.new_id, stored)

    async def tenant(self, organisation_id: OrganisationId) -> _Tenant:
        """Enter an organisation and count its reserved seats. Raises `NotFound`."""
        organisation = self.tables.organisations.get(organisation_id)
        if organisation is None:
            raise NotFound("organisation")
        now = self.clock()
        organisation.reserved = sum(
            invite.status is InviteStatus.PENDING and now < invite.expires_at
            for invite in self.tables.invites_of(organisation_id)
        )
        return _Tenant(self.tables, self.new_id, organisation)
