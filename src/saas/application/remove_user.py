"""Remove a member from the organisation."""

from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, Notifier
from saas.domain.errors import NotFound
from saas.domain.values import UserId


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Free a seat; the person keeps their account and their name in the feed."""

    begin: Begin
    notifier: Notifier
    clock: Clock

    async def __call__(self, actor: Actor, user_id: UserId) -> None:
        """Raises `AdminOnly`, `NotFound`, `CannotRemoveYourself` or `CannotRemoveAdmin`."""
        actor.require_admin()
        now = self.clock()
        async with self.begin() as work:
            tenant = await work.tenant(actor.organisation_id)
            membership = await tenant.members.get(user_id)
            if membership is None:
                raise NotFound("user")
            removed = membership.remove(by=actor.person, at=now)
            tenant.organisation.release()
            await tenant.members.remove(membership)
            ended = await work.sessions.end_in(actor.organisation_id, user_id, now)
            activities = await tenant.record(removed)
        await self.notifier.publish(activities)
        await self.notifier.end_sessions(ended)  # a socket may have been opened with one before it moved here
