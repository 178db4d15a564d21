"""From nothing to the schema and back, by whoever comes first, and with advice for whoever may not."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from saas.adapters.embedded_postgres import embedded_postgres
from saas.adapters.postgres import migrations
from saas.adapters.postgres.database import Database, UnsafeRoleError
from saas.adapters.postgres.driver import DIALECT, connect
from saas.adapters.postgres.follower import PostgresFollower
from saas.adapters.postgres.migrations import MigrationError, migrate
from saas.adapters.postgres.signals import PostgresSignals
from saas.adapters.postgres.tables import OWNER_ROLE, RUNTIME_ROLE, metadata
from saas.adapters.system import utc_now
from saas.application.live import Hint
from saas.domain.values import OrganisationId
from tests.integration.clients import register
from tests.integration.servers import SECRETS, serving

SCHEMA = {
    "tables": """
        select relname, relkind, relowner::regrole::text, relrowsecurity, relforcerowsecurity, relacl::text
          from pg_class where relnamespace = 'public'::regnamespace and relkind <> 'i'""",
    "columns": """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
         where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'""",
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
          from pg_constraint where connamespace = 'public'::regnamespace""",
    "indexes": "select indexdef from pg_indexes where schemaname = 'public'",
    "policies": "select * from pg_policies where schemaname = 'public'",
    "functions": """
        select pg_get_functiondef(oid), proowner::regrole::text, proacl::text
          from pg_proc where pronamespace = 'public'::regnamespace""",
}
"""Everything that a migration makes, as the database's own catalog tells it."""


async def schema(url: str) -> dict[str, set[str]]:
    database = await asyncpg.connect(url)
    found = {what: {repr(tuple(row)) for row in await database.fetch(query)} for what, query in SCHEMA.items()}
    await database.close()
    return found


async def execute(url: str, *statements: str) -> None:
    database = await asyncpg.connect(url)
    for statement in statements:
        await database.execute(statement)
    await database.close()


async def goes_to(url: str, revision: str = "head") -> None:
    await asyncio.to_thread(migrate, url, revision)


def saas_migrate(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "saas", "migrate", *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def test_back_to_nothing_and_up_again_is_the_same_schema(empty_database: str) -> None:
    await goes_to(empty_database)
    first = await schema(empty_database)
    await goes_to(empty_database, "base")
    left = await schema(empty_database)
    await goes_to(empty_database)

    assert await schema(empty_database) == first
    assert {len(first[what]) > 1 for what in SCHEMA} == {True}
    assert {what for what in SCHEMA if left[what]} == {"tables", "columns", "constraints", "indexes"}
    assert not [row for rows in left.values() for row in rows if "alembic_version" not in row]


async def test_going_up_twice_changes_nothing_and_so_does_one_step_back_and_forth(empty_database: str) -> None:
    await goes_to(empty_database)
    first = await schema(empty_database)

    await goes_to(empty_database)
    assert await schema(empty_database) == first

    await goes_to(empty_database, "-1")
    assert await schema(empty_database) != first
    await goes_to(empty_database, "+1")
    assert await schema(empty_database) == first


async def test_a_function_of_somebody_else_is_no_obstacle_and_stays_as_it_is(empty_database: str) -> None:
    theirs = "create function public.theirs() returns integer language sql as 'select 7'"
    await execute(empty_database, theirs, "revoke execute on function public.theirs() from public")
    before = (await schema(empty_database))["functions"]

    await goes_to(empty_database)
    assert before < (await schema(empty_database))["functions"]
    await goes_to(empty_database, "base")
    assert (await schema(empty_database))["functions"] == before


async def test_the_tables_that_the_code_knows_are_the_tables_that_migrations_make(empty_database: str) -> None:
    await goes_to(empty_database)

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    engine = create_async_engine(
        DIALECT, poolclass=NullPool, connect_args={"async_creator_fn": lambda **_: connect(empty_database)}
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        await connection.execute(sa.text("alter table invites drop column role"))
        await connection.execute(sa.text("alter table users alter name type varchar(9)"))
        assert len(await connection.run_sync(differences)) == 2


async def test_many_processes_may_migrate_at_once_and_it_is_done_once(empty_database: str) -> None:
    watcher, database = await asyncpg.connect(empty_database), await asyncpg.connect(empty_database)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with database.transaction():  # which holds them all up until the last of them has come
        await database.execute("lock table pg_namespace in share mode")
        crowd = [saas_migrate(empty_database) for _ in range(4)]
        async with asyncio.timeout(30):
            while await watcher.fetchval(waiting) < len(crowd):  # noqa: ASYNC110 - other processes set no Event
                await asyncio.sleep(0.01)
    outputs = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in crowd))

    assert [process.returncode for process in crowd] == [0] * 4, outputs
    assert await database.fetchval("select count(*) from alembic_version") == 1  # and no table can be made twice
    await asyncio.gather(watcher.close(), database.close())
    alone = await schema(empty_database)
    await goes_to(empty_database, "base")
    await goes_to(empty_database)
    assert await schema(empty_database) == alone


async def test_the_command_goes_to_where_it_is_told_and_refuses_in_one_line_what_it_cannot_do(
    empty_database: str,
) -> None:
    nothing = await schema(empty_database)
    for arguments, code, says in (
        (("+1",), 0, "The database is at 0001"),
        (("-1",), 0, "The database is at base."),
        ((), 0, "The database is at 0001"),
        (("base",), 0, "The database is at base."),
        (("nowhere",), 1, "saas: Can't locate revision identified by 'nowhere'. There are base, 0001, head.\n"),
    ):
        process = saas_migrate(empty_database, *arguments)
        output, _ = await asyncio.to_thread(process.communicate)
        assert process.returncode == code, output
        assert says in output
        assert "Traceback" not in output
    assert (await schema(empty_database))["functions"] == nothing["functions"]


def recipes(repository: Path) -> list[str]:
    """What docs/contributing.md says to write for a new table: into tables.py, and at the end of the migration."""
    page = (repository / "docs" / "contributing.md").read_text()
    _, section = page.split("## Add a table")
    found = re.findall(r"^   ```python\n(.*?)^   ```", section, re.DOTALL | re.MULTILINE)
    return [re.sub("^   ", "", recipe, flags=re.MULTILINE) for recipe in found]


@pytest.fixture
def fork(repository: Path, tmp_path: Path) -> Path:
    """A checkout of one's own, whose tables.py has gained a table as docs/contributing.md says."""
    for folder in ("src", "migrations"):
        shutil.copytree(repository / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(repository / file, tmp_path)
    tables = tmp_path / "src/saas/adapters/postgres/tables.py"
    table, _ = recipes(repository)
    text = tables.read_text().replace("TENANT_TABLES = (", f'{table}\nTENANT_TABLES = ("notes", ')
    tables.write_text(text)
    return tmp_path


async def test_make_migration_writes_what_the_tables_have_gained_and_with_its_fence_it_is_served(
    repository: Path, fork: Path, empty_database: str
) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{fork}/src", "DATABASE_URL": empty_database}

    def run(*command: str) -> str:
        ran = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=fork, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    ready = ("DEV=ready", "--old-file=ready", f"BIN={Path(sys.executable).parent}")  # there is an environment already
    await asyncio.to_thread(run, "make", *ready, "migration", "NAME=add notes")

    [written] = (fork / "migrations/versions").glob("*_add_notes.py")
    migration = written.read_text()
    last = len(list((repository / "migrations/versions").glob("0*.py")))
    assert f'revision = "{last + 1:04}"\ndown_revision = "{last:04}"' in migration
    assert migration.count("create_table") == migration.count("drop_table") == 1
    _, fence = recipes(repository)
    written.write_text(migration.replace("\n\n\ndef downgrade", f"\n{fence}\n\ndef downgrade"))
    await asyncio.to_thread(run, sys.executable, "-m", "ruff", "check", "migrations")

    await asyncio.to_thread(run, sys.executable, "-m", "saas", "migrate")
    there = await schema(empty_database)
    assert any(
        "('notes', b'r', 'saas_owner', True, True, " in row and "saas_app=arwd" in row for row in there["tables"]
    )
    assert any("'notes', 'tenant', " in row for row in there["policies"])
    await asyncio.to_thread(run, sys.executable, "-m", "saas", "migrate", "-1")
    assert "notes" not in str(await schema(empty_database))


@pytest.fixture
def plain_role(cluster: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"plain_{uuid4().hex}"
    asyncio.run(execute(cluster, f"create role {name} login"))
    yield name
    asyncio.run(execute(cluster, f"drop role {name}"))


async def test_a_role_that_may_not_create_roles_is_told_so_and_nothing_is_begun(
    empty_database: str, plain_role: str
) -> None:
    url = empty_database.replace("postgres@", f"{plain_role}@")
    nothing = await schema(empty_database)

    with pytest.raises(MigrationError, match=f"{plain_role}.*may not create roles.*run `saas migrate` once"):
        await goes_to(url)

    assert await schema(empty_database) == nothing


async def test_once_it_is_migrated_a_role_that_was_granted_the_runtime_role_may_serve_it(
    empty_database: str, plain_role: str
) -> None:
    url = empty_database.replace("postgres@", f"{plain_role}@")
    await goes_to(empty_database)
    database = Database(url, assume_runtime_role=True)
    with pytest.raises(UnsafeRoleError, match=f"Cannot act as .*{RUNTIME_ROLE}.*permission denied"):
        await database.require_safe_role()

    await execute(empty_database, f"grant {RUNTIME_ROLE} to {plain_role}")

    await goes_to(url)
    await database.require_safe_role()
    await database.close()
    for elsewhere in ("base", "-1"):
        with pytest.raises(MigrationError, match="may not create roles"):
            await goes_to(url, elsewhere)


async def test_migrated_by_a_role_that_is_no_superuser_the_epoch_leaves_out_what_only_one_may_see(
    cluster: str, plain_role: str
) -> None:
    name = f"managed_{plain_role}"
    url = cluster.replace("postgres@", f"{plain_role}@").replace("/saas?", f"/{name}?")
    await execute(
        cluster,
        f"alter role {plain_role} createrole",
        f"grant {OWNER_ROLE}, {RUNTIME_ROLE} to {plain_role} with admin option",
        f"create database {name} owner {plain_role}",
    )
    await goes_to(url)
    database = Database(url, assume_runtime_role=True)
    epoch = await PostgresFollower(database, utc_now).epoch()
    await database.close()
    owner = await asyncpg.connect(url)
    assert epoch
    assert await owner.fetchval("select data_directory_since()") is None
    await owner.close()
    await execute(cluster, f"drop database {name}", f"drop owned by {plain_role}")


async def test_an_owner_that_is_no_superuser_migrates_and_a_role_that_may_only_serve_serves(tmp_path: Path) -> None:
    """As docs/operations.md has it. On a server of its own, since the owner has to make the two roles itself."""
    with embedded_postgres(tmp_path / "data") as url:
        await execute(url, "create role keeper login createrole", "create database theirs owner keeper")
        owners = url.replace("postgres@/saas?", "keeper@/theirs?")
        for _ in range(2):
            await goes_to(owners)
        await execute(owners, "create role api login password 'p' in role saas_app")

        environ = {"DATABASE_URL": owners.replace("keeper@", "api@"), **SECRETS}
        with serving(tmp_path, environ) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
                ada = await register(http)
                assert [entry["type"] for entry in await ada.feed()] == ["ORGANISATION_CREATED"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("/empty", "/nowhere_empty"), 'database "nowhere_empty.*" does not exist'),
        (("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (("postgres@/", "postgres:secret@127.0.0.1:1/"), "127.0.0.1"),
        (("postgres@/", "postgres:sec/ret@localhost/"), "its URL cannot be read; .*%2F for /"),
        (("postgres@/", "postgres@saas.invalid/"), "must be percent-encoded, such as %40 for @"),
    ],
)
async def test_who_cannot_be_reached_is_named_with_the_reason_and_without_the_password(
    empty_database: str, change: tuple[str, str], reason: str
) -> None:
    url = empty_database.replace(*change)
    if ":1/" in url:
        url = url.partition("?")[0]
    with pytest.raises(MigrationError, match=f"Cannot reach the database: .*{reason}.* Check DATABASE_URL") as refusal:
        await goes_to(url)
    assert "sec" not in str(refusal.value)


def test_a_copy_without_the_migrations_says_how_to_install_one_that_has_them(tmp_path: Path) -> None:
    package = Path(migrations.__file__).parents[2]
    shutil.copytree(package, tmp_path / "site-packages" / "saas")
    process = subprocess.run(
        [sys.executable, "-m", "saas", "migrate"],
        env={"DATABASE_URL": "postgresql://127.0.0.1:1/saas", "PYTHONPATH": str(tmp_path / "site-packages")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 1
    assert process.stderr.startswith("saas: The migrations are not here: saas runs from a checkout")
    assert "pip install --editable ." in process.stderr


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=disable",
        "ssl=prefer",
        "application_name=mine",
        "schema=public",
        "channel_binding=prefer&connect_timeout=3",
    ],
)
async def test_url_parameters_of_other_clients_are_no_obstacle(empty_database: str, parameters: str) -> None:
    url = f"{empty_database}&{parameters}"
    await goes_to(url)
    database = Database(url, assume_runtime_role=True)
    await database.require_safe_role()

    heard: asyncio.Queue[Hint] = asyncio.Queue()
    signals = PostgresSignals(database, url)
    hint = Hint({OrganisationId(uuid4()): 7})
    listening = asyncio.create_task(signals.run(heard.put_nowait))
    async with asyncio.timeout(5):
        while heard.empty():
            await signals.send(hint)
            await asyncio.sleep(0.01)
    listening.cancel()
    await database.close()

    assert heard.get_nowait() == hint
