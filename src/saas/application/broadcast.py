"""Broadcast a message to the organisation."""

from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, Notifier
from saas.domain.events import Activity, MessageBroadcast
from saas.domain.values import broadcast_message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An admin says something to everyone in the organisation."""

    begin: Begin
    notifier: Notifier
    clock: Clock

    async def __call__(self, actor: Actor, message: str) -> Activity:
        """Raises `AdminOnly` or `InvalidValue`."""
        actor.require_admin()
        said = MessageBroadcast(actor=actor.person, message=broadcast_message(message), at=self.clock())
        async with self.begin() as work:
            tenant = await work.tenant(actor.organisation_id)
            [activity] = await tenant.record(said)
        await self.notifier.publish([activity])
        return activity
