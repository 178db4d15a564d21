"""Register: a person and an organisation of their own."""

from dataclasses import dataclass
from datetime import timedelta

from saas.application.ports import Begin, Clock, NewId, Notifier, Passwords, Tokens
from saas.application.signed_in import SignedIn, signed_in
from saas.application.views import Affiliation
from saas.domain.events import OrganisationCreated
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import (
    OrganisationId,
    Role,
    SessionId,
    UserId,
    email_address,
    person_or_organisation_name,
    require_password,
    slugs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterCommand:
    """The person and the organisation to create."""

    name: str
    email: str
    password: str
    organisation_name: str


@dataclass(frozen=True, slots=True)
class RegisterOrganisation:
    """Open an account with its first organisation, on the FREE plan, and sign its admin in."""

    begin: Begin
    passwords: Passwords
    tokens: Tokens
    notifier: Notifier
    clock: Clock
    new_id: NewId
    idle: timedelta

    async def __call__(self, command: RegisterCommand) -> SignedIn:
        """Raises `InvalidValue` or `EmailInUse`."""
        email = email_address(command.email)
        name = person_or_organisation_name(command.name, "name")
        organisation_name = person_or_organisation_name(command.organisation_name, "organisationName")
        require_password(command.password)
        password_hash = await self.passwords.hash(command.password)

        now = self.clock()
        user = User(id=UserId(self.new_id()), email=email, name=name, password_hash=password_hash, created_at=now)
        organisation = Organisation.create(OrganisationId(self.new_id()), organisation_name, at=now)
        session = Session.start(SessionId(self.new_id()), user.id, organisation.id, idle=self.idle, at=now)
        async with self.begin() as work:
            await work.users.add(user)
            tenant = await work.create_organisation(organisation, slugs(organisation_name, organisation.id))
            await tenant.members.add(Membership(person=user.person, role=Role.ADMIN, joined_at=now, updated_at=now))
            activities = await tenant.record(OrganisationCreated(actor=user.person, name=organisation_name, at=now))
            await work.sessions.add(session)
        await self.notifier.publish(activities)
        stored = tenant.organisation
        affiliation = Affiliation(stored.id, stored.name, stored.slug, Role.ADMIN, stored.plan)
        return signed_in(user, session, affiliation, self.tokens)
