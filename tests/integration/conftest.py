"""One PostgreSQL and one server for all integration tests; each test makes organisations of its own."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from saas.adapters.embedded_postgres import embedded_postgres
from saas.adapters.postgres.migrations import migrate
from tests.integration.servers import SECRETS, ServerProcess, serving


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder for one test, in which a PostgreSQL may keep its data.

    Not in a folder of pytest's: each run of pytest denies other accounts access to those, even while another run uses
    them, and PostgreSQL runs under another account when the tests run as root.
    """
    with tempfile.TemporaryDirectory(prefix="saas-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The URL of a PostgreSQL server, as its superuser. The server never waits for the disk, which may be slow.

    Tests of what survives a crash of PostgreSQL itself start a server of their own.
    """
    with tempfile.TemporaryDirectory(prefix="saas-tests-") as folder, embedded_postgres(Path(folder)) as url:
        for setting in ("synchronous_commit", "fsync"):
            asyncio.run(_execute(url, f"alter system set {setting} = off"))
        asyncio.run(_execute(url, "select pg_reload_conf()"))
        yield url


@pytest.fixture(scope="session")
def database_url(cluster: str) -> str:
    """The database that all tests share."""
    migrate(cluster)
    return cluster


@pytest.fixture
def empty_database(cluster: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, for this test only."""
    name = f"empty_{abs(hash(request.node.nodeid))}"
    asyncio.run(_execute(cluster, f"create database {name}"))
    yield cluster.replace("/saas?", f"/{name}?")
    asyncio.run(_execute(cluster, f"drop database {name} with (force)"))


@pytest.fixture(scope="session")
def environ(database_url: str) -> dict[str, str]:
    """The environment of a server for tests: the shared database, and no rate limits."""
    return {"DATABASE_URL": database_url, "RATE_LIMIT_GLOBAL": "off", "RATE_LIMIT_AUTH": "off", **SECRETS}


@pytest.fixture(scope="session")
def server(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server that most tests use."""
    with serving(tmp_path_factory.mktemp("server"), environ) as process:
        yield process


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the shared server."""
    limits = httpx.Limits(max_connections=200)
    no_authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading them takes 20 ms in each test, for no use
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits, verify=no_authorities) as client:
        yield client


@pytest.fixture
async def superuser(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that row-level security does not bind, to see and change what no client could."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root directory of the checkout."""
    return Path(__file__).parents[2]
