"""The second fence: what the database itself refuses to the role that serves, whatever statement comes along."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from saas.adapters.postgres.database import Database, UnsafeRoleError
from saas.adapters.postgres.migrations import migrate
from saas.adapters.postgres.reads import PostgresReads
from saas.adapters.postgres.tables import RUNTIME_ROLE, TENANT_TABLES
from saas.adapters.postgres.unit_of_work import PostgresBegin
from saas.adapters.system import new_id, utc_now
from saas.domain.values import OrganisationId
from tests.integration.clients import join, register
from tests.integration.servers import ServerProcess, serving

OF_PEOPLE = {"sessions": "a person signs in, switches organisations and logs out; found by its id or its person only"}
"""Tables that know an organisation and are not its own."""

INDEXES_ACROSS_TENANTS = {
    "uq_organisations_slug": "slugs are unique among all organisations",
    "ix_memberships_user_id": "a person asks where they belong",
}


def key_of(table: str) -> str:
    """Where a table of tenants keeps whose row it is."""
    return "id" if table == "organisations" else "organisation_id"


@dataclass
class Tenants:
    """Two organisations with something in every table, and a connection as the role that serves."""

    ours: UUID
    theirs: UUID
    our_admin: UUID
    db: asyncpg.Connection

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """A transaction in our organisation, undone at the end."""
        transaction = self.db.transaction()
        await transaction.start()
        await self.db.execute("select set_config('app.organisation_id', $1, true)", str(self.ours))
        try:
            yield
        finally:
            await transaction.rollback()

    async def owners(self, table: str) -> set[UUID]:
        """Whose rows are seen."""
        return {row[0] for row in await self.db.fetch(f"select {key_of(table)} from {table}")}  # noqa: S608 - our names


@pytest.fixture(scope="module")
async def tenants(server: ServerProcess, database_url: str) -> AsyncIterator[Tenants]:
    async with httpx.AsyncClient(base_url=server.url) as http:
        admins = [await register(http), await register(http)]
        for admin in admins:
            await join(admin)
            await admin.invite()
    db = await asyncpg.connect(database_url)
    await db.execute(f"set role {RUNTIME_ROLE}")
    ours, theirs = (UUID(admin.organisation["id"]) for admin in admins)
    yield Tenants(ours, theirs, UUID(admins[0].id), db)
    await db.close()


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_with_no_tenant_every_table_looks_empty(tenants: Tenants, table: str) -> None:
    assert await tenants.owners(table) == set()


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_with_a_tenant_only_its_rows_are_seen(tenants: Tenants, table: str) -> None:
    async with tenants.entered():
        assert await tenants.owners(table) == {tenants.ours}


@pytest.mark.parametrize(
    "open_door", ["set_config('app.organisation_id', $1::text, true)", "enter_organisation($1, now())"]
)
@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_the_tenant_does_not_outlive_the_transaction(tenants: Tenants, open_door: str, ending: str) -> None:
    await tenants.db.execute("begin")
    argument = str(tenants.ours) if "text" in open_door else tenants.ours
    await tenants.db.fetch(f"select {open_door}", argument)
    assert await tenants.owners("memberships") == {tenants.ours}
    await tenants.db.execute(ending)

    for table in TENANT_TABLES:
        assert await tenants.owners(table) == set()


async def test_the_tenant_of_a_unit_of_work_or_a_read_is_gone_for_whoever_gets_the_connection_next(
    tenants: Tenants, database_url: str
) -> None:
    database = Database(database_url, assume_runtime_role=True)
    organisation_id = OrganisationId(tenants.ours)
    async with PostgresBegin(database, utc_now, new_id)() as work:
        await work.tenant(organisation_id)
    await PostgresReads(database).tenant(organisation_id).organisation()

    for engine in database.engines:
        async with engine.connect() as connection:
            assert (await connection.scalars(sa.text("select name from organisations"))).all() == []
    await database.close()


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_no_row_can_be_written_into_another_organisation(tenants: Tenants, table: str) -> None:
    changed = f"jsonb_populate_record(t, jsonb_build_object('{key_of(table)}', $1::uuid))"
    for target in (tenants.theirs, uuid4()):
        async with tenants.entered():
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await tenants.db.execute(f"insert into {table} select ({changed}).* from {table} t", target)  # noqa: S608


@pytest.mark.parametrize("table", ["organisations", "memberships", "invites"])
async def test_no_row_of_another_organisation_can_be_changed_taken_or_given_away(tenants: Tenants, table: str) -> None:
    key = key_of(table)
    async with tenants.entered():
        touch = f"update {table} set {key} = {key} where {key} = $1"  # noqa: S608
        assert await tenants.db.execute(touch, tenants.ours) != "UPDATE 0"
        assert await tenants.db.execute(touch, tenants.theirs) == "UPDATE 0"
        assert (
            await tenants.db.execute("delete from memberships where organisation_id = $1", tenants.theirs) == "DELETE 0"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await tenants.db.execute(f"update {table} set {key} = $1", tenants.theirs)  # noqa: S608


@pytest.mark.parametrize(
    "statement",
    [
        "update activities set message = 'It was not like that'",
        "delete from activities",
        "truncate activities",
        "delete from organisations",
        "delete from users",
        "alter table activities no force row level security",
        "drop policy tenant on activities",
        "create table escape ()",
    ],
)
async def test_the_log_is_only_appended_to_and_the_fences_stay_where_they_are(tenants: Tenants, statement: str) -> None:
    async with tenants.entered():
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tenants.db.execute(statement)


async def test_the_role_that_serves_owns_nothing_and_is_bound_by_every_policy(superuser: asyncpg.Connection) -> None:
    role = await superuser.fetchrow("select * from pg_roles where rolname = $1", RUNTIME_ROLE)
    powers = {"rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication", "rolcanlogin"}
    assert not any(role[power] for power in powers)
    assert await superuser.fetch("select 1 from pg_auth_members where member = $1", role["oid"]) == []
    owned = "select classid from pg_shdepend where refobjid = $1 and deptype = 'o'"
    assert await superuser.fetch(owned, role["oid"]) == []


async def test_a_person_sees_where_they_belong_and_not_who_else_does(tenants: Tenants) -> None:
    async with tenants.db.transaction():
        await tenants.db.execute("select set_config('app.user_id', $1, true)", str(tenants.our_admin))

        assert await tenants.owners("organisations") == {tenants.ours}
        assert [row[0] for row in await tenants.db.fetch("select user_id from memberships")] == [tenants.our_admin]
        assert await tenants.owners("invites") == await tenants.owners("activities") == set()
        assert await tenants.db.execute("update memberships set role = 'ADMIN'") == "UPDATE 0"


async def test_log_positions_tells_how_far_the_logs_go_that_are_named_and_nothing_else(tenants: Tenants) -> None:
    rows = await tenants.db.fetch("select * from log_positions($1)", [tenants.ours, tenants.theirs, uuid4()])

    assert {tuple(row.items()) for row in rows} == {
        (("id", each), ("last_seq", 5)) for each in (tenants.ours, tenants.theirs)
    }
    assert await tenants.db.fetch("select * from log_positions('{}')") == []
    assert await tenants.db.fetch("select * from log_positions(null)") == []
    for table in TENANT_TABLES:
        assert await tenants.owners(table) == set()


async def test_a_function_that_acts_as_the_owner_reads_no_table_of_its_callers(tenants: Tenants) -> None:
    transaction = tenants.db.transaction()
    await transaction.start()
    await tenants.db.execute("""
        create function pg_temp.who() returns bigint language sql as $$
            select case current_user when 'saas_owner' then 666 else 0 end $$;
        create temp view organisations as
            select current_setting('app.any')::uuid as id, pg_temp.who() as last_seq;
        grant select on organisations to public;
    """)
    await tenants.db.execute("select set_config('app.any', $1, true)", str(tenants.ours))
    assert await tenants.db.fetchval("select last_seq from organisations") == 0

    rows = await tenants.db.fetch("select * from log_positions($1)", [tenants.ours])
    await transaction.rollback()

    assert [tuple(row) for row in rows] == [(tenants.ours, 5)]


async def test_every_function_that_acts_as_the_owner_says_where_it_looks(superuser: asyncpg.Connection) -> None:
    functions = await superuser.fetch(
        "select proname, proconfig from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
    )

    assert {name for name, _ in functions} == {"log_positions", "data_directory_since"}
    assert {tuple(config) for _, config in functions} == {("search_path=pg_catalog, public, pg_temp",)}


async def test_row_level_security_is_forced_on_every_table_that_knows_an_organisation(
    superuser: asyncpg.Connection,
) -> None:
    tables = await superuser.fetch("""
        select c.relname, c.relrowsecurity and c.relforcerowsecurity as forced
          from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attname = 'organisation_id'
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and (a.attname is not null or c.relname = 'organisations')
    """)

    assert {name for name, forced in tables if forced} == set(TENANT_TABLES)
    assert {name for name, forced in tables if not forced} == set(OF_PEOPLE)


async def test_every_index_of_a_tenants_table_begins_with_the_tenant(superuser: asyncpg.Connection) -> None:
    indexes = await superuser.fetch(
        """
        select t.relname, i.relname, a.attname
          from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
          join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
         where t.relname = any($1)
        """,
        TENANT_TABLES,
    )

    mixed = {name for table, name, first in indexes if first != key_of(table)}
    assert mixed == set(INDEXES_ACROSS_TENANTS)
    assert {table for table, *_ in indexes} == set(TENANT_TABLES)


async def test_no_foreign_key_can_point_into_another_organisation(superuser: asyncpg.Connection) -> None:
    keys = await superuser.fetch("""
        select k.conrelid::regclass::text, k.confrelid::regclass::text, k.conname,
               (select array_agg(a.attname || '->' || b.attname order by n)
                  from unnest(k.conkey, k.confkey) with ordinality as pair (own, other, n)
                  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = own
                  join pg_attribute b on b.attrelid = k.confrelid and b.attnum = other) as columns
          from pg_constraint k where k.contype = 'f' and k.connamespace = 'public'::regnamespace
    """)

    assert len(keys) > 5
    for table, target, name, columns in keys:
        if target in TENANT_TABLES:
            key = key_of(target)
            assert columns[0] == f"organisation_id->{key}", f"{name} of {table} could point anywhere"


async def test_the_role_that_bypasses_the_fence_is_told_from_the_one_that_does_not(database_url: str) -> None:
    bound, unbound = (Database(database_url, assume_runtime_role=assume) for assume in (True, False))

    await bound.require_safe_role()
    with pytest.raises(UnsafeRoleError, match="'postgres' owns tables or bypasses"):
        await unbound.require_safe_role()

    await asyncio.gather(bound.close(), unbound.close())


async def test_a_database_whose_fence_has_a_hole_is_not_served(
    empty_database: str, environ: dict[str, str], tmp_path: Path
) -> None:
    await asyncio.to_thread(migrate, empty_database)
    owner = await asyncpg.connect(empty_database)
    database = Database(empty_database, assume_runtime_role=True)
    await database.require_safe_role()
    for table, what in itertools.product(TENANT_TABLES, [("disable", "enable"), ("no force", "force")]):
        await owner.execute(f"alter table {table} {what[0]} row level security")
        with pytest.raises(UnsafeRoleError, match="not forced on every tenant table"):
            await database.require_safe_role()
        await owner.execute(f"alter table {table} {what[1]} row level security")
    await database.require_safe_role()
    await database.close()

    await owner.execute("alter table invites disable row level security")
    refusal = serving(tmp_path, {**environ, "DATABASE_URL": empty_database})
    with pytest.raises(AssertionError, match=r"did not start(?s:.*)Row-level security is not forced on every tenant"):
        await asyncio.to_thread(refusal.__enter__)
    await owner.close()
