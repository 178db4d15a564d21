"""Bring the database to a revision: create the two roles if missing, then run alembic as the owner."""

import asyncio
import functools
from pathlib import Path

from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicAsyncConfig, EngineConfig, SQLAlchemyAsyncConfig
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from saas.adapters.postgres.database import READ_SECONDS
from saas.adapters.postgres.driver import DIALECT, connect
from saas.adapters.postgres.tables import OWNER_ROLE, RUNTIME_ROLE

_SCRIPTS = Path(__file__).parents[4] / "migrations"

_LOCK = text("select pg_advisory_xact_lock(hashtext('saas.migrations'))")
_MAY_READ_REVISION = text("select has_table_privilege(to_regclass('alembic_version'), 'select')")
_REVISION = text("select version_num from alembic_version")
_MAY_MIGRATE = text("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")


class MigrationError(Exception):
    """The database could not be brought to the revision; the message says what to do."""


def migrate(url: str, revision: str = "head") -> None:
    """Upgrade, or downgrade when `revision` is "base" or like "-1". Raises `MigrationError`.

    Safe to run from many processes at once: the second waits for the first and finds nothing left to do.
    """
    commands = alembic(url)
    run = commands.downgrade if revision == "base" or revision.startswith("-") else commands.upgrade
    try:
        run(revision)
    except CommandError as error:
        raise MigrationError(f"{error}{_existing_revisions(error)}") from error
    except (OSError, TimeoutError) as error:
        raise MigrationError(f"Cannot reach the database: {str(error) or 'no answer'}. Check DATABASE_URL.") from error
    except SQLAlchemyError as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise MigrationError(f"The database refused the migration: {reason}") from error


def alembic(url: str) -> AlembicCommands:
    """Alembic's commands for the database at `url` and the revisions in `migrations/`. Raises `MigrationError`."""
    if not _SCRIPTS.is_dir():
        message = "The migrations are not here: saas runs from a checkout, installed with `pip install --editable .`"
        raise MigrationError(message)
    config = SQLAlchemyAsyncConfig(
        connection_string=DIALECT,
        engine_config=EngineConfig(
            poolclass=NullPool,
            connect_args={"async_creator_fn": functools.partial(connect, url), "timeout": READ_SECONDS},
        ),
        alembic_config=AlembicAsyncConfig(script_location=str(_SCRIPTS), version_table_name="alembic_version"),
    )
    return AlembicCommands(config)


def _existing_revisions(error: CommandError) -> str:
    """Lists the existing revisions if the requested one does not exist; otherwise returns nothing."""
    if not isinstance(error.__cause__, ResolutionError):
        return ""
    revisions = [script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()]
    return f". There are {', '.join(['base', *reversed(revisions), 'head'])}."


def has_nothing_to_do(connection: Connection, head: object) -> bool:
    """Returns whether our role cannot migrate and the database is at `head` already. Waits for other migrations."""
    connection.execute(_LOCK)
    if connection.scalar(_MAY_MIGRATE) or not connection.scalar(_MAY_READ_REVISION):
        return False
    return bool(connection.scalar(_REVISION) == head)


def become_owner(connection: Connection) -> None:
    """Create the roles where missing, and act as the owner until the transaction ends. Raises `CommandError`.

    Roles belong to the whole server: another database's migration may create them at the same moment.
    """
    if not connection.scalar(_MAY_MIGRATE):
        role = connection.scalar(text("select current_user"))
        message = f"The database role {role!r} may not create roles, which the first migration does; "
        raise CommandError(message + "run `saas migrate` once with a DATABASE_URL whose role may.")
    for name in (OWNER_ROLE, RUNTIME_ROLE):
        connection.execute(
            text(f"""
            do $$ begin
                create role {name} nologin nosuperuser nobypassrls;
            exception when duplicate_object or unique_violation then null;
            end $$
            """)
        )
        connection.execute(text(f"grant {name} to current_user"))
    connection.execute(text(f"grant create, usage on schema public to {OWNER_ROLE}"))
    connection.execute(text(f"grant usage on schema public to {RUNTIME_ROLE}"))
    connection.execute(text(f"set local role {OWNER_ROLE}"))


def current_revision(url: str) -> str:
    """Returns the revision of a database that has been migrated, be it to "base"."""

    async def ask() -> str:
        connection = await connect(url, timeout=READ_SECONDS)
        try:
            return await connection.fetchval(_REVISION.text) or "base"
        finally:
            await connection.close()

    return asyncio.run(ask())
