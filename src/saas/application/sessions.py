"""Keep a session going, or end it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, Notifier, Tokens
from saas.application.signed_in import TokenPair
from saas.application.views import choose
from saas.domain.errors import NotAuthenticated, SessionEnded
from saas.domain.values import OrganisationId


@dataclass(frozen=True, slots=True)
class RefreshSession:
    """Exchange a refresh token for the next pair, in the same organisation or another of the person's."""

    begin: Begin
    tokens: Tokens
    notifier: Notifier
    clock: Clock
    idle: timedelta

    async def __call__(self, refresh_token: str, organisation_id: OrganisationId | None = None) -> TokenPair:
        """Raises `NotAuthenticated`, `SessionEnded`, or `NotFound` for an organisation that is not the person's."""
        session_id, generation = self.tokens.read_refresh(refresh_token)
        now = self.clock()
        async with self.begin() as work:
            session = await work.sessions.lock(session_id)
            if session is None:
                raise SessionEnded
            pair = None
            if session.rotate(generation, idle=self.idle, at=now):
                into = choose(await work.affiliations(session.user_id), organisation_id or session.organisation_id)
                session.organisation_id = into.id
                pair = TokenPair.issue(session, into.role, self.tokens)
            await work.sessions.save(session)
        if pair is None:  # a replay; its ending was committed, so that it survives the 401
            await self.notifier.end_sessions([session.id])
            raise SessionEnded
        return pair


@dataclass(frozen=True, slots=True)
class LogOut:
    """End the bearer's session, and with it its access tokens and open sockets."""

    begin: Begin
    tokens: Tokens
    notifier: Notifier
    clock: Clock

    async def __call__(self, actor: Actor, refresh_token: str | None = None) -> None:
        """A refresh token of another of the person's sessions ends that one too; anybody else's is ignored."""
        sessions = {actor.session_id}
        if refresh_token is not None:
            with suppress(NotAuthenticated):
                sessions.add(self.tokens.read_refresh(refresh_token)[0])
        async with self.begin() as work:
            ended = await work.sessions.end(actor.person.id, sorted(sessions), self.clock())
        await self.notifier.end_sessions(ended)
