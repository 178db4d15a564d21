"""The live channel's reads from PostgreSQL: each log forwards, all positions at once, sessions that are over."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.reads import PostgresTenantReads
from saas.adapters.postgres.tables import sessions
from saas.application.ports import Clock
from saas.domain.values import OrganisationId, SessionId

EPOCH_SECONDS = 1.0

_POSITIONS = sa.text("select id, last_seq from log_positions(:organisations)").bindparams(
    sa.bindparam("organisations", type_=ARRAY(sa.Uuid))
)
_ENDED = sa.select(sessions.c.id).where(
    sessions.c.id == sa.func.any(sa.bindparam("sessions", type_=ARRAY(sa.Uuid))),
    sa.or_(
        sessions.c.ended_at.is_not(None), sessions.c.expires_at <= sa.bindparam("at", type_=sa.DateTime(timezone=True))
    ),
)
_EPOCH = sa.text("""
    select concat_ws('/', (select system_identifier from pg_control_system()),
                          case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end,
                          data_directory_since(),
                          (select oid from pg_database where datname = current_database()),
                          'public.activities'::regclass::oid)
""")


class PostgresFollower:
    """Follows the logs of the organisations that have sockets in this process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._epoch = ""
        self._epoch_read_at = -EPOCH_SECONDS

    def log(self, organisation_id: OrganisationId) -> PostgresTenantReads:
        """The log of one organisation."""
        return PostgresTenantReads(self._database, organisation_id)

    async def positions(self, organisations: Sequence[OrganisationId]) -> Mapping[OrganisationId, int]:
        """How far the logs of these organisations go: the only read across tenants."""
        rows = await self._rows(_POSITIONS, organisations=organisations)
        return {OrganisationId(row.id): row.last_seq for row in rows}

    async def ended(self, sessions: Sequence[SessionId]) -> Sequence[SessionId]:
        """Which of these sessions are over."""
        return [SessionId(row.id) for row in await self._rows(_ENDED, sessions=sessions, at=self._clock())]

    async def epoch(self) -> str:
        """Identifies the server's history and the database in it; read at most once a second.

        A restore to a point in time starts a new timeline, files that were copied back have a newer change time than
        the originals, and a restored dump is another database, or another table in the same database.
        """
        now = time.monotonic()
        if now - self._epoch_read_at >= EPOCH_SECONDS:
            [row] = await self._rows(_EPOCH)
            self._epoch = hashlib.sha256(row[0].encode()).hexdigest()[:16]
            self._epoch_read_at = now
        return self._epoch

    async def _rows(self, statement: sa.Executable, **parameters: object) -> list[sa.Row[Any]]:
        async with self._database.reading() as connection:
            return list(await connection.execute(statement, parameters))
