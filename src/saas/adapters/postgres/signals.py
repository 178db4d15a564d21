"""Hints between processes over LISTEN and NOTIFY, on one channel and one dedicated connection."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import asyncpg
import msgspec
import sqlalchemy as sa

from saas.adapters.postgres.database import READ_SECONDS, Database
from saas.adapters.postgres.driver import connect
from saas.adapters.postgres.tables import RUNTIME_ROLE
from saas.application.live import Hint
from saas.domain.values import OrganisationId, SessionId

logger = logging.getLogger(__name__)

CHANNEL = "saas_hints"
APPLICATION_NAME = "saas-listener"
MAX_IDS = 60
"""Of each kind in one notification, which may have 8,000 bytes: an id takes 39, a position at most 62."""

HEARTBEAT_SECONDS = 1.0
RECONNECT_SECONDS = 0.5

INTERRUPTED = "Cannot listen for live events (%s); retrying. Live events may be up to 1.5 s late until this recovers."

_decoder = msgspec.json.Decoder(tuple[list[tuple[OrganisationId, int]], list[SessionId]])

_NOTIFY = sa.text("select pg_notify(:channel, :payload)")


class PostgresSignals:
    """Sends through the pool of reads; listens on a separate connection, and reconnects when that one falls silent."""

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url
        self._is_interrupted = False

    async def send(self, hint: Hint) -> None:
        """Notify every process that listens, this one included. Raises `Unavailable`."""
        async with self._database.reading() as connection:
            for payload in _payloads(hint):
                await connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})

    async def run(self, on_hint: Callable[[Hint], None]) -> None:
        """Pass every hint that arrives to `on_hint`, until cancelled."""
        while True:
            try:
                await self._listen(on_hint)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._interrupted(error)
            await asyncio.sleep(RECONNECT_SECONDS)

    def follow(self, organisation_id: OrganisationId) -> None:
        """Nothing to do: there is one channel for everything."""

    def unfollow(self, organisation_id: OrganisationId) -> None:
        """Nothing to do: there is one channel for everything."""

    async def _listen(self, on_hint: Callable[[Hint], None]) -> None:
        settings = {"application_name": APPLICATION_NAME, "role": RUNTIME_ROLE}
        connection = await connect(self._url, timeout=READ_SECONDS, server_settings=settings)
        try:
            await connection.add_listener(CHANNEL, lambda *call: on_hint(_hint(call[3])))
            self._resumed()
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                await connection.execute("select 1", timeout=READ_SECONDS)
        finally:
            connection.terminate()

    def _interrupted(self, error: Exception) -> None:
        if not self._is_interrupted:
            logger.warning(INTERRUPTED, str(error) or type(error).__name__)
            self._is_interrupted = True

    def _resumed(self) -> None:
        if self._is_interrupted:
            logger.info("Listening for live events again.")
            self._is_interrupted = False


def _payloads(hint: Hint) -> Iterator[str]:
    positions, ended = list(hint.positions.items()), list(hint.ended)
    while positions or ended:
        yield msgspec.json.encode((positions[:MAX_IDS], ended[:MAX_IDS])).decode()
        positions, ended = positions[MAX_IDS:], ended[MAX_IDS:]


def _hint(payload: str) -> Hint:
    positions, ended = _decoder.decode(payload)
    return Hint(dict(positions), frozenset(ended))
