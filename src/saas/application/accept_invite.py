"""Accept an invite: become a member, with a new account or the one the address already has."""

from dataclasses import dataclass

from saas.application.ports import Begin, Clock, NewId, Notifier, Passwords, Reads, Tokens
from saas.application.views import MemberView
from saas.domain.errors import AccountExists, EmailInUse, NotFound
from saas.domain.events import UserJoined
from saas.domain.invites import Invite
from saas.domain.members import Membership, User
from saas.domain.values import UserId, person_or_organisation_name, require_password


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptInviteCommand:
    """The secret from the invite, and the account to use or to open."""

    token: str
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class AcceptInvite:
    """Take the promised seat."""

    begin: Begin
    reads: Reads
    passwords: Passwords
    tokens: Tokens
    notifier: Notifier
    clock: Clock
    new_id: NewId

    async def __call__(self, command: AcceptInviteCommand) -> MemberView:
        """Raises `InvalidValue`, `NotFound`, `InviteExpired`, `AccountExists`, `AlreadyMember`, `SeatLimitReached`."""
        name = person_or_organisation_name(command.name, "name")
        require_password(command.password)
        try:
            return await self._join(command.token, name, command.password)
        except EmailInUse:  # the address got its account meanwhile, perhaps by an invite elsewhere: join with that
            return await self._join(command.token, name, command.password)

    async def _join(self, token: str, name: str, password: str) -> MemberView:
        organisation_id, digest = self.tokens.read_invite(token)
        found = await self.reads.tenant(organisation_id).invitation(digest)
        if found is None:
            raise NotFound("invite")
        found.invite.require_open(self.clock())
        found.plan.require_seats_for(found.members + 1)  # the lock decides, but this costs no hash of a password
        user = found.account
        is_new = user is None
        if user is None:
            user = await self._new_user(found.invite, name, password)
        elif not await self.passwords.matches(password, user.password_hash):
            raise AccountExists

        now = self.clock()
        async with self.begin() as work:
            tenant = await work.tenant(organisation_id)
            invite = await tenant.invites.with_digest(digest)
            if invite is None:
                raise NotFound("invite")
            accepted = invite.accept(by=user.person, at=now)
            tenant.organisation.admit()
            if is_new:
                await work.users.add(user)
            await tenant.members.add(Membership(person=user.person, role=invite.role, joined_at=now, updated_at=now))
            await tenant.invites.save(invite)
            joined = UserJoined(actor=user.person, role=invite.role, at=now)
            activities = await tenant.record(accepted, joined)
        await self.notifier.publish(activities)
        return MemberView(
            id=user.id,
            email=user.email,
            name=user.name,
            role=invite.role,
            organisation_id=organisation_id,
            created_at=now,
            updated_at=now,
        )

    async def _new_user(self, invite: Invite, name: str, password: str) -> User:
        return User(
            id=UserId(self.new_id()),
            email=invite.email,
            name=name,
            password_hash=await self.passwords.hash(password),
            created_at=self.clock(),
        )
