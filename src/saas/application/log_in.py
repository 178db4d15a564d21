"""Log in: exchange e-mail and password for a session."""

from dataclasses import dataclass
from datetime import timedelta

from saas.application.ports import Begin, Clock, NewId, Passwords, Reads, Tokens
from saas.application.signed_in import LoggedIn, logged_in
from saas.application.views import choose
from saas.domain.errors import InvalidValue, WrongCredentials
from saas.domain.sessions import Session
from saas.domain.values import OrganisationId, SessionId, email_address


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInCommand:
    """Credentials, and the organisation to sign in to (None: the one the person joined first)."""

    email: str
    password: str
    organisation_id: OrganisationId | None = None


@dataclass(frozen=True, slots=True)
class LogIn:
    """Start a session in one of the person's organisations."""

    begin: Begin
    reads: Reads
    passwords: Passwords
    tokens: Tokens
    clock: Clock
    new_id: NewId
    idle: timedelta

    async def __call__(self, command: LogInCommand) -> LoggedIn:
        """Raises `WrongCredentials` in the same time whether or not the address is known."""
        try:
            user = await self.reads.user(email_address(command.email))
        except InvalidValue:
            user = None
        matches = await self.passwords.matches(command.password, user.password_hash if user else None)
        if user is None or not matches:
            raise WrongCredentials

        async with self.begin() as work:
            affiliations = await work.affiliations(user.id)
            into = choose(affiliations, command.organisation_id)
            session = Session.start(SessionId(self.new_id()), user.id, into.id, idle=self.idle, at=self.clock())
            await work.sessions.add(session)
        return logged_in(user, session, into, affiliations, self.tokens)
