"""Reads of committed data; they neither wait for a unit of work nor see its changes before it commits."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from saas.adapters.memory.tables import Tables
from saas.application.actor import Actor, Claims
from saas.application.views import ActivityView, Invitation, MemberView, OrganisationView, PageRequest
from saas.domain.errors import NotFound, SessionEnded
from saas.domain.members import User
from saas.domain.values import Email, OrganisationId, UserId


@dataclass(frozen=True, slots=True)
class _TenantReads:
    _committed: Callable[[], Tables]
    _organisation_id: OrganisationId

    async def organisation(self) -> OrganisationView:
        organisation = self._committed().organisations.get(self._organisation_id)
        if organisation is None:
            raise NotFound("organisation")
        return OrganisationView.of(organisation)

    async def members(self, page: PageRequest[UserId]) -> Sequence[MemberView]:
        members = sorted(self._committed().members(self._organisation_id), key=lambda member: member.person.id)
        return [
            MemberView.of(member, self._organisation_id)
            for member in members
            if page.after is None or member.person.id > page.after
        ][: page.limit]

    async def activities(self, page: PageRequest[int]) -> Sequence[ActivityView]:
        return [
            ActivityView.of(activity)
            for activity in reversed(self._committed().activities_of(self._organisation_id))
            if page.after is None or activity.seq < page.after
        ][: page.limit]

    async def invitation(self, token_digest: bytes) -> Invitation | None:
        tables = self._committed()
        invite = tables.invite(self._organisation_id, token_digest)
        if invite is None:
            return None
        organisation = tables.organisations[self._organisation_id]
        return Invitation(invite, organisation.plan, organisation.members, tables.user(invite.email))


@dataclass(frozen=True, slots=True)
class MemoryReads:
    """The reads of the store, outside any unit of work."""

    committed: Callable[[], Tables]

    async def actor(self, claims: Claims, at: datetime) -> Actor | None:
        """Returns the actor with their present role; None when the session is over or they are not a member."""
        tables = self.committed()
        session = tables.sessions.get(claims.session_id)
        membership = tables.membership(claims.organisation_id, claims.user_id)
        if session is None or membership is None or session.user_id != claims.user_id:
            return None
        with suppress(SessionEnded):
            session.require_alive(at)
            return Actor(membership.person, claims.organisation_id, membership.role, session.id)
        return None

    async def user(self, email: Email) -> User | None:
        """The person with this address."""
        return self.committed().user(email)

    def tenant(self, organisation_id: OrganisationId) -> _TenantReads:
        """The reads of this organisation."""
        return _TenantReads(self.committed, organisation_id)

    async def ping(self) -> None:
        """Does nothing: memory is always available."""
