"""Connections to PostgreSQL: the role that we act as, the time limits, and the translation of its errors."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import sqlalchemy as sa
from advanced_alchemy.config import EngineConfig, SQLAlchemyAsyncConfig
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from saas.adapters.postgres.driver import DIALECT, connect
from saas.adapters.postgres.tables import RUNTIME_ROLE, TENANT_TABLES
from saas.domain.errors import Unavailable

logger = logging.getLogger(__name__)

POOL_SIZE = 8
READ_SECONDS = 2
WORK_SECONDS = 2.5
"""A request reads its actor, then does its work: both limits and closing the connection add up to less than 5 s."""

_UNAVAILABLE_SQLSTATES = ("08", "25006", "40", "53", "55P03", "57", "58")
"""Connection failed, server read-only, rolled back by a conflict, out of resources, lock, operator, system error."""

WARN_SECONDS = 10.0
"""In an outage many statements fail each second; one warning in this time reports them all."""


class Database:
    """Two pools, so that commands that queue for a busy organisation never delay reads.

    Reads run in AUTOCOMMIT, one round trip each; commands run in transactions.
    """

    def __init__(self, url: str, *, assume_runtime_role: bool) -> None:
        self._reads = _engine(url, assume_runtime_role=assume_runtime_role, isolation_level="AUTOCOMMIT")
        self._works = _engine(url, assume_runtime_role=assume_runtime_role, isolation_level="READ COMMITTED")
        self._warned_at = -WARN_SECONDS

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements. Raises `Unavailable` within `READ_SECONDS`."""
        with self._failures_translated():
            async with asyncio.timeout(READ_SECONDS), self._reads.connect() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: leaving the block commits. Raises `Unavailable` within `WORK_SECONDS`."""
        with self._failures_translated():
            async with asyncio.timeout(WORK_SECONDS), self._works.begin() as connection:
                yield connection

    async def require_safe_role(self) -> None:
        """Check that row-level security applies to our role. Raises `UnsafeRoleError`."""
        try:
            async with self.reading() as connection:
                row = (await connection.execute(_ROLE_FACTS, {"tables": list(TENANT_TABLES)})).one()
        except Unavailable as error:
            reason = str(error.__cause__) or "no answer"
            raise UnsafeRoleError(f"Cannot act as the database role {RUNTIME_ROLE!r}: {reason}.") from error
        if row.bypasses or row.owned:
            message = f"The database role {row.role!r} owns tables or bypasses row-level security; "
            raise UnsafeRoleError(message + f"connect as a role that may assume {RUNTIME_ROLE!r}, or as that role.")
        if row.forced != len(TENANT_TABLES):
            raise UnsafeRoleError("Row-level security is not forced on every tenant table; run the migrations.")

    async def close(self) -> None:
        """Close both pools."""
        await self._reads.dispose()
        await self._works.dispose()

    @contextmanager
    def _failures_translated(self) -> Iterator[None]:
        """Raise `Unavailable` for an outage; leave an error that is a bug as it is."""
        try:
            yield
        except (TimeoutError, OSError, sa.exc.TimeoutError) as error:
            self._warn(str(error) or "no answer in time")
            raise Unavailable from error
        except sa.exc.DBAPIError as error:
            sqlstate = getattr(error.orig, "sqlstate", None) or ""
            if error.connection_invalidated or sqlstate.startswith(_UNAVAILABLE_SQLSTATES):
                self._warn(str(error.orig))
                raise Unavailable from error
            raise

    def _warn(self, cause: str) -> None:
        now = time.monotonic()
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            logger.warning("The database cannot be reached, or is too slow (%s); answering 503 meanwhile.", cause)

    @property
    def engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        """The engines for reads and for commands, to observe their statements."""
        return self._reads, self._works


class UnsafeRoleError(Exception):
    """The database would not keep tenants apart for the role that we act as."""


_ROLE_FACTS = sa.text("""
    select current_user::text as role,
           (select rolsuper or rolbypassrls from pg_roles where rolname = current_user) as bypasses,
           exists (select from pg_class where relowner = current_user::regrole) as owned,
           (select count(*) from pg_class where relname = any(:tables) and relnamespace = 'public'::regnamespace
               and relrowsecurity and relforcerowsecurity) as forced
""")


def _engine(url: str, *, assume_runtime_role: bool, isolation_level: str) -> AsyncEngine:
    settings = {
        "application_name": "saas",
        "statement_timeout": f"{WORK_SECONDS}s",
        "lock_timeout": f"{READ_SECONDS}s",
        "idle_in_transaction_session_timeout": "10s",
        "jit": "off",  # every statement here is short; compiling it would take longer than running it
    }
    if assume_runtime_role:
        settings["role"] = RUNTIME_ROLE
    connect_args: dict[str, Any] = {
        "async_creator_fn": functools.partial(connect, url),
        "server_settings": settings,
        "timeout": READ_SECONDS,
    }
    config = SQLAlchemyAsyncConfig(
        connection_string=DIALECT,
        engine_config=EngineConfig(
            connect_args=connect_args,
            isolation_level=isolation_level,  # type: ignore[arg-type]
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=READ_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,  # in error messages, and so in logs: parameters include password hashes and addresses
        ),
    )
    engine = config.get_engine()
    sa.event.listen(engine.sync_engine, "checkout", _replace_if_lost)
    return engine


def _replace_if_lost(connection: Any, *_: object) -> None:  # noqa: ANN401 - SQLAlchemy gives it no public type
    """Replace a connection that was lost while idle, by a restart for example. The check sends nothing."""
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError
