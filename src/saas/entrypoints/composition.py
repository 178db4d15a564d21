"""The composition root: the only module that names Postgres and says which adapter implements which port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from saas.adapters.passwords import Argon2Passwords
from saas.adapters.postgres import migrations
from saas.adapters.postgres.database import Database
from saas.adapters.postgres.follower import PostgresFollower
from saas.adapters.postgres.reads import PostgresReads
from saas.adapters.postgres.signals import PostgresSignals
from saas.adapters.postgres.unit_of_work import PostgresBegin
from saas.adapters.redis_signals import RedisSignals
from saas.adapters.system import new_id, utc_now
from saas.adapters.tokens import JwtTokens
from saas.adapters.websocket.entrance import Entrance
from saas.adapters.websocket.notifier import LiveNotifier
from saas.adapters.websocket.registry import Registry
from saas.application.accept_invite import AcceptInvite
from saas.application.authenticate import Authenticate
from saas.application.broadcast import Broadcast
from saas.application.change_role import ChangeRole
from saas.application.invite_user import InviteUser
from saas.application.live import Signals
from saas.application.log_in import LogIn
from saas.application.ports import Begin, Clock, NewId, Notifier, Passwords, Reads, Tokens
from saas.application.queries import GetOrganisation, ListActivities, ListUsers
from saas.application.register import RegisterOrganisation
from saas.application.remove_user import RemoveUser
from saas.application.sessions import LogOut, RefreshSession
from saas.application.upgrade_plan import UpgradePlan
from saas.entrypoints.settings import Settings

MigrationError = migrations.MigrationError


@dataclass(frozen=True, slots=True)
class UseCases:
    """All use cases of the application."""

    authenticate: Authenticate
    register: RegisterOrganisation
    log_in: LogIn
    refresh_session: RefreshSession
    log_out: LogOut
    get_organisation: GetOrganisation
    upgrade_plan: UpgradePlan
    broadcast: Broadcast
    list_users: ListUsers
    invite_user: InviteUser
    accept_invite: AcceptInvite
    change_role: ChangeRole
    remove_user: RemoveUser
    list_activities: ListActivities


def wire(
    *,
    begin: Begin,
    reads: Reads,
    passwords: Passwords,
    tokens: Tokens,
    notifier: Notifier,
    clock: Clock,
    new_id: NewId,
    idle: timedelta,
) -> UseCases:
    """Build every use case from ports. Production and tests both call this, with different adapters."""
    return UseCases(
        authenticate=Authenticate(tokens, reads, clock),
        register=RegisterOrganisation(begin, passwords, tokens, notifier, clock, new_id, idle),
        log_in=LogIn(begin, reads, passwords, tokens, clock, new_id, idle),
        refresh_session=RefreshSession(begin, tokens, notifier, clock, idle),
        log_out=LogOut(begin, tokens, notifier, clock),
        get_organisation=GetOrganisation(reads),
        upgrade_plan=UpgradePlan(begin, notifier, clock),
        broadcast=Broadcast(begin, notifier, clock),
        list_users=ListUsers(reads),
        invite_user=InviteUser(begin, tokens, notifier, clock, new_id),
        accept_invite=AcceptInvite(begin, reads, passwords, tokens, notifier, clock, new_id),
        change_role=ChangeRole(begin, notifier, clock),
        remove_user=RemoveUser(begin, notifier, clock),
        list_activities=ListActivities(reads),
    )


class Service:
    """One process of the service: the use cases, the live channel, and the adapters they use."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database_url is not None, "the command line starts the embedded server"  # noqa: S101
        self.draining = False
        self._database = Database(settings.database_url, assume_runtime_role=True)
        self._passwords = Argon2Passwords()
        tokens = JwtTokens(settings.access_secret, settings.refresh_secret, settings.access_lifetime, utc_now)
        follower = PostgresFollower(self._database, utc_now)
        signals: Signals = (
            RedisSignals(settings.signals_url)
            if settings.signals_url
            else PostgresSignals(self._database, settings.database_url)
        )
        self.registry = Registry(follower, signals)
        self.entrance = Entrance(self.registry, follower)
        self.reads = PostgresReads(self._database)
        self.notifier = LiveNotifier(self.registry, follower, signals, utc_now)
        self.use_cases = wire(
            begin=PostgresBegin(self._database, utc_now, new_id),
            reads=self.reads,
            passwords=self._passwords,
            tokens=tokens,
            notifier=self.notifier,
            clock=utc_now,
            new_id=new_id,
            idle=settings.refresh_lifetime,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while in the block. Raises `UnsafeRoleError` or `Unavailable` when it cannot start safely."""
        try:
            await self._database.require_safe_role()
            async with self.notifier.running():
                yield
        finally:
            self._passwords.close()
            await self._database.close()


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring the database to this revision. Raises `MigrationError`."""
    assert settings.database_url is not None, "the command line starts the embedded server"  # noqa: S101
    migrations.migrate(settings.database_url, revision)


def current_revision(settings: Settings) -> str:
    """The revision of a database that has been migrated."""
    assert settings.database_url is not None, "as above"  # noqa: S101
    return migrations.current_revision(settings.database_url)
