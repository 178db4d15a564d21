"""Questions that change nothing: each is one statement, shaped by SQL into what the client sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Reads
from saas.application.views import ActivityView, MemberView, OrganisationView, PageRequest
from saas.domain.values import UserId


@dataclass(frozen=True, slots=True)
class GetOrganisation:
    """The actor's organisation."""

    reads: Reads

    async def __call__(self, actor: Actor) -> OrganisationView:
        """Open to every member."""
        return await self.reads.tenant(actor.organisation_id).organisation()


@dataclass(frozen=True, slots=True)
class ListUsers:
    """The members of the actor's organisation, a page at a time."""

    reads: Reads

    async def __call__(self, actor: Actor, page: PageRequest[UserId]) -> Sequence[MemberView]:
        """Raises `AdminOnly`."""
        actor.require_admin()
        return await self.reads.tenant(actor.organisation_id).members(page)


@dataclass(frozen=True, slots=True)
class ListActivities:
    """The feed of the actor's organisation, newest first, a page at a time."""

    reads: Reads

    async def __call__(self, actor: Actor, page: PageRequest[int]) -> Sequence[ActivityView]:
        """Open to every member."""
        return await self.reads.tenant(actor.organisation_id).activities(page)
