"""How alembic runs here: online, in one transaction, as the owner of the tables, one migration process at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from saas.adapters.postgres.migrations import become_owner, has_nothing_to_do
from saas.adapters.postgres.tables import metadata


def _run(connection: Connection) -> None:
    head = context.get_head_revision()
    is_going_to_head = not context.config.attributes.get("compares") and context.get_revision_argument() == head
    if is_going_to_head and has_nothing_to_do(connection, head):
        return
    become_owner(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        version_table=context.config.version_table_name,  # type: ignore[attr-defined]
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = context.config.engine  # type: ignore[attr-defined]
    async with engine.begin() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


asyncio.run(_main())
