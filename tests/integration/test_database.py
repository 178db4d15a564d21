"""What is said, and to whom, when the database fails, and who we are there."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from saas.adapters.postgres import signals
from saas.adapters.postgres.database import Database
from saas.adapters.postgres.driver import Connection, connect
from saas.adapters.postgres.tables import RUNTIME_ROLE
from saas.adapters.redis_signals import RedisSignals
from saas.application.live import Hint, Signals
from saas.domain.errors import Unavailable
from tests.integration.clients import register
from tests.integration.live.ears import listen
from tests.integration.live.inside import inside
from tests.integration.live.wires import Wire, until

NOWHERE = "postgresql://postgres@127.0.0.1:1/saas"


async def test_no_error_shows_what_was_to_be_stored(database_url: str) -> None:
    database = Database(database_url, assume_runtime_role=True)
    with pytest.raises(sa.exc.DBAPIError) as failure:
        async with database.transaction() as connection:
            await connection.execute(sa.text("select 1 / length(:secret)"), {"secret": ""})
    with pytest.raises(sa.exc.DBAPIError, match="users") as other:
        async with database.transaction() as connection:
            await connection.execute(
                sa.text("insert into users (password_hash) values (:secret)"), {"secret": "s3cret"}
            )
    await database.close()
    assert "parameters hidden" in str(failure.value)
    assert "s3cret" not in str(other.value)


async def test_a_statement_that_the_driver_refuses_is_a_bug_and_no_outage(database_url: str) -> None:
    database = Database(database_url, assume_runtime_role=True)
    with pytest.raises(sa.exc.DBAPIError, match="expects 1 argument"):
        async with database.reading() as connection:
            await connection.execute(sa.text("select $1::integer"))
    await database.close()


async def test_an_outage_is_logged_once_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    database = Database(NOWHERE, assume_runtime_role=True)
    for _ in range(3):
        with pytest.raises(Unavailable):
            async with database.reading():
                pass
    await database.close()
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "127.0.0.1" in warning.getMessage()
    assert "503" in warning.getMessage()


async def test_the_listener_acts_as_the_role_that_serves(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roles: asyncio.Queue[str] = asyncio.Queue()

    async def watched(url: str, **options: object) -> Connection:
        connection = await connect(url, **options)
        roles.put_nowait(await connection.fetchval("select current_user"))
        return connection

    monkeypatch.setattr(signals, "connect", watched)
    database = Database(database_url, assume_runtime_role=True)
    listening = asyncio.create_task(signals.PostgresSignals(database, database_url).run(lambda _: None))
    async with asyncio.timeout(30):
        assert await roles.get() == RUNTIME_ROLE
    listening.cancel()
    await database.close()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_that_nothing_is_listened_to_is_logged_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(NOWHERE, assume_runtime_role=True)
    either: Signals = (
        signals.PostgresSignals(database, NOWHERE) if kind == "postgres" else RedisSignals("redis://127.0.0.1:1/0")
    )
    listening = asyncio.create_task(either.run(lambda _: None))
    await until(lambda: caplog.records)
    await asyncio.sleep(2)  # some more attempts
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await database.close()
    [record] = caplog.records
    assert record.getMessage().startswith("Cannot listen for live events (")
    assert "up to 1.5 s late" in record.getMessage()


async def test_that_it_is_listened_to_again_is_logged_once(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="saas")
    wire = Wire()
    async with wire.laid_to(database_url):
        database = Database(database_url, assume_runtime_role=True)
        heard: list[Hint] = []
        listening = asyncio.create_task(signals.PostgresSignals(database, wire.url).run(heard.append))
        for times in range(1, 3):
            await until(lambda: len(wire.listeners) == 1)
            victims = wire.listeners
            while victims & wire.listeners:
                for victim in victims:
                    victim.cancel()
                await asyncio.sleep(0.05)
            await until(lambda: caplog.text.count("Listening for live events again.") == times)  # noqa: B023 - at once
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await database.close()
    assert caplog.text.count("Cannot listen for live events (") == 2
    assert caplog.text.count("Listening for live events again.") == 2


async def test_an_outage_under_open_sockets_is_one_line_for_the_database_and_one_for_the_listener(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    async with AsyncExitStack() as until_then:
        await until_then.enter_async_context(wire.laid_to(database_url))
        async with inside(tmp_path, wire.url) as (service, port):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                ada = await register(http)
            ear = await listen(port, ada.access_token)
            await until_then.aclose()
            await until(lambda: "The database cannot be reached" in caplog.text)
            await asyncio.sleep(4)  # some more attempts
            assert len(service.registry) == 1
            ear.transport.abort()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("saas.adapters")]
    assert {line.partition(" (")[0] for line in said} == {
        "The database cannot be reached, or is too slow",
        "Cannot listen for live events",
    }
    assert sum(line.startswith("Cannot listen") for line in said) == 1
