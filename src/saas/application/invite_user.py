"""Invite somebody into the organisation."""

from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, NewId, Notifier, Tokens
from saas.domain.errors import AlreadyMember
from saas.domain.events import Event
from saas.domain.invites import Invite
from saas.domain.values import InviteId, Role, email_address


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteUserCommand:
    """The address to invite, and the role the person will have."""

    email: str
    role: Role = Role.MEMBER


@dataclass(frozen=True, slots=True)
class InviteUser:
    """Promise a seat to an address for 24 hours."""

    begin: Begin
    tokens: Tokens
    notifier: Notifier
    clock: Clock
    new_id: NewId

    async def __call__(self, actor: Actor, command: InviteUserCommand) -> tuple[Invite, str]:
        """The invite and its secret token, which exists nowhere else.

        Raises `AdminOnly`, `InvalidValue`, `AlreadyMember`, `AlreadyInvited` or `SeatLimitReached`.
        """
        actor.require_admin()
        email = email_address(command.email)
        token, digest = self.tokens.new_invite(actor.organisation_id)
        now = self.clock()
        invite = Invite.issue(InviteId(self.new_id()), email, command.role, digest, at=now)
        async with self.begin() as work:
            tenant = await work.tenant(actor.organisation_id)
            if await tenant.members.has(email):
                raise AlreadyMember
            events: list[Event] = []
            if earlier := await tenant.invites.pending(email):
                events.append(earlier.expire(at=now))
                await tenant.invites.save(earlier)
            tenant.organisation.reserve()
            await tenant.invites.add(invite)
            activities = await tenant.record(*events, invite.sent(by=actor.person))
        await self.notifier.publish(activities)
        return invite, token
