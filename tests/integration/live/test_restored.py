"""The database is restored to an older state under a running process: seq goes back, and no cursor is believed."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.follower import PostgresFollower
from saas.adapters.postgres.migrations import migrate
from saas.adapters.system import utc_now
from tests.integration.clients import Person, register
from tests.integration.live.ears import listen
from tests.integration.live.storms import served, write
from tests.integration.servers import SECRETS

RESTORED = "restored"


@asynccontextmanager
async def shut(superuser: asyncpg.Connection, name: str) -> AsyncIterator[None]:
    """Nobody is connected to the database meanwhile."""
    await superuser.execute(f"alter database {name} with allow_connections false")
    await superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
    while await superuser.fetchval("select count(*) from pg_stat_activity where datname = $1", name):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield


async def broadcast(person: Person) -> int:
    """As soon as the database can be reached again; the seq."""
    async with asyncio.timeout(30):
        while True:
            reply = await person.ask("POST", "/api/organisations/broadcast", {"message": "Hear!"})
            if reply.status_code == 201:
                return int(reply.json()["data"]["seq"])
            await asyncio.sleep(0.05)


async def test_sockets_are_parted_from_and_old_cursors_get_a_resync(
    environ: dict[str, str], cluster: str, tmp_path: Path
) -> None:
    superuser = await asyncpg.connect(cluster.replace("/saas?", "/postgres?"))
    await superuser.execute(f"create database {RESTORED}")
    url = cluster.replace("/saas?", f"/{RESTORED}?")
    await asyncio.to_thread(migrate, url)
    async with (
        served(tmp_path, {**environ, "DATABASE_URL": url}) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30) as http,
    ):
        ada = await register(http)
        async with shut(superuser, RESTORED):
            await superuser.execute(f"create database backup template {RESTORED}")
            await superuser.execute(f"alter database {RESTORED} with allow_connections true")
        for _ in range(10):
            await broadcast(ada)
        ear = await listen(server.port, ada.access_token)
        last = await broadcast(ada)
        await ear.reached(last)

        async with shut(superuser, RESTORED):
            await superuser.execute(f"alter database {RESTORED} rename to given_up")
            await superuser.execute(f"alter database backup rename to {RESTORED}")
        assert await broadcast(ada) < last
        assert await ear.closed() == 1012
        assert ear.activities[-1].seq == last

        for _ in range(20):  # until the new log is longer than the old one was
            newest = await broadcast(ada)
        cursor = f"&after={last}&epoch={ear.frames[0].payload['epoch']}"
        ear = await listen(server.port, ada.access_token, cursor)
        await ear.reached(await broadcast(ada))
        resync, *others = ear.frames[1:]
        assert (resync.type, resync.payload["reason"]) == ("RESYNC", "another_epoch")
        assert [frame.seq for frame in others] == [newest + 1]
    await superuser.execute("drop database given_up with (force)")
    await superuser.execute(f"drop database {RESTORED} with (force)")
    await superuser.close()


def copied(place: Path, elsewhere: Path) -> None:
    """With all that a backup keeps: owners, modes and times."""
    subprocess.run(["cp", "-a", place, elsewhere], check=True)  # noqa: S603, S607 - our own command


async def test_a_data_directory_that_is_copied_back_is_another_epoch_and_one_that_is_only_restarted_is_not(
    tmp_path: Path,
) -> None:
    environ = {"RATE_LIMIT_GLOBAL": "off", "RATE_LIMIT_AUTH": "off", **SECRETS}
    place, backup = tmp_path / "data" / "postgres", tmp_path / "backup"
    async with served(tmp_path, environ) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            token = (await register(http)).access_token
        first = await listen(server.port, token)
    await asyncio.to_thread(copied, place, backup)

    async with served(tmp_path, environ) as server:
        last = (await write(server.port, [token] * 10))[-1].seq
        ear = await listen(server.port, token, "&after=1")
        await ear.reached(last)
    epoch = ear.frames[0].payload["epoch"]
    assert epoch == first.frames[0].payload["epoch"]

    await asyncio.to_thread(shutil.rmtree, place)
    await asyncio.to_thread(copied, backup, place)
    async with served(tmp_path, environ) as server:
        newest = (await write(server.port, [token] * 20))[-1].seq  # the new log is longer than the old one was
        ear = await listen(server.port, token, f"&after={last}&epoch={epoch}")
        await ear.reached((await write(server.port, [token]))[-1].seq)
        resync, *others = ear.frames[1:]
        assert (resync.type, resync.payload["reason"]) == ("RESYNC", "another_epoch")
        assert [frame.seq for frame in others] == [newest + 1]


async def test_a_dump_that_is_reloaded_into_the_same_database_is_another_epoch(empty_database: str) -> None:
    async def epoch() -> str:
        database = Database(empty_database, assume_runtime_role=True)
        try:
            return await PostgresFollower(database, utc_now).epoch()
        finally:
            await database.close()

    await asyncio.to_thread(migrate, empty_database)
    before = await epoch()
    owner = await asyncpg.connect(empty_database)
    await owner.execute("vacuum full")
    await owner.close()
    assert await epoch() == before
    await asyncio.to_thread(migrate, empty_database, "base")
    await asyncio.to_thread(migrate, empty_database)
    assert await epoch() != before
