"""Change the role of a member."""

from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, Notifier
from saas.application.views import MemberView
from saas.domain.errors import NotFound
from saas.domain.values import Role, UserId


@dataclass(frozen=True, slots=True)
class ChangeRole:
    """Make a member an admin or an admin a member; an organisation keeps at least one admin."""

    begin: Begin
    notifier: Notifier
    clock: Clock

    async def __call__(self, actor: Actor, user_id: UserId, role: Role) -> MemberView:
        """Raises `AdminOnly`, `NotFound`, `AlreadyInRole` or `LastAdmin`."""
        actor.require_admin()
        async with self.begin() as work:
            tenant = await work.tenant(actor.organisation_id)
            membership = await tenant.members.get(user_id)
            if membership is None:
                raise NotFound("user")
            admins = await tenant.members.count_admins()
            changed = membership.change_role(role, by=actor.person, admins=admins, at=self.clock())
            await tenant.members.save(membership)
            activities = await tenant.record(changed)
        await self.notifier.publish(activities)
        return MemberView.of(membership, actor.organisation_id)
