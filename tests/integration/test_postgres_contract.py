"""The Postgres adapter keeps the promises of the ports, on a real server and as the runtime role."""

from collections.abc import AsyncIterator

import pytest

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.reads import PostgresReads
from saas.adapters.postgres.unit_of_work import PostgresBegin
from saas.adapters.system import new_id
from tests.contract import Harness, PortsContract
from tests.scene import MovableClock


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[Harness]:
    clock = MovableClock()
    database = Database(database_url, assume_runtime_role=True)
    yield Harness(PostgresBegin(database, clock, new_id), PostgresReads(database), clock)
    await database.close()


class TestPostgres(PortsContract):
    """All of it."""
