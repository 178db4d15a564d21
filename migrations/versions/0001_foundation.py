"""Organisations, people, memberships, invites, sessions and the activity log; row-level security separates tenants.

The policies compare with the setting `app.organisation_id`, which is local to a transaction, so that a transaction
pooler is safe. With `app.user_id` a person finds their organisations. With neither set, every tenant table looks empty.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

TENANT_KEYS = {"organisations": "id", "memberships": "organisation_id", "invites": "organisation_id"}
TENANT_KEYS["activities"] = "organisation_id"

GRANTS = {
    "organisations": "select, insert, update",
    "users": "select, insert, update",
    "memberships": "select, insert, update, delete",
    "invites": "select, insert, update",
    "sessions": "select, insert, update, delete",
    "activities": "select, insert",  # the log is only ever appended to
}

ORGANISATION = "(select nullif(current_setting('app.organisation_id', true), '')::uuid)"
PERSON = "(select nullif(current_setting('app.user_id', true), '')::uuid)"

ENTER_ORGANISATION = """
    create function enter_organisation(entered uuid, at timestamptz)
    returns table (
        id uuid, name text, slug text, plan text, members integer, last_seq bigint, created_at timestamptz,
        reserved integer
    )
    language plpgsql volatile as $$
    begin
        perform set_config('app.organisation_id', entered::text, true);
        -- Not FOR UPDATE, for which a sign-in would wait: its session has a foreign key to this row.
        perform 1 from organisations where organisations.id = entered for no key update;
        -- A new statement takes a new snapshot, after the lock was granted.
        return query
            select o.id, o.name, o.slug, o.plan::text, o.members, o.last_seq, o.created_at,
                   (select count(*)::integer from invites i
                     where i.organisation_id = entered and i.status = 'PENDING' and i.expires_at > at)
              from organisations o
             where o.id = entered;
    end
    $$
"""

LOG_POSITIONS = """
    create function log_positions(organisations uuid[])
    returns table (id uuid, last_seq bigint)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
        select o.id, o.last_seq from public.organisations o where o.id = any(log_positions.organisations)
    $$
"""

DATA_DIRECTORY_SINCE = """
    create function data_directory_since()
    returns text
    language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    begin
        if has_function_privilege('pg_catalog.pg_stat_file(text)', 'execute') then
            -- Running, restarting and maintenance do not touch this file, and a copy of it cannot keep its change time.
            return extract(epoch from (pg_catalog.pg_stat_file('PG_VERSION')).change);
        end if;
        return null;
    end
    $$
"""

FUNCTIONS = "enter_organisation(uuid, timestamptz), log_positions(uuid[]), data_directory_since()"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "organisations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("plan", sa.String(16), nullable=False),
        sa.Column("members", sa.Integer, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
        sa.UniqueConstraint("slug", name="uq_organisations_slug"),
        sa.CheckConstraint("plan in ('FREE', 'PRO', 'ENTERPRISE')", name="plan"),
        sa.CheckConstraint("members >= 0", name="members"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.CheckConstraint("email = lower(email)", name="email"),
    )
    op.create_table(
        "memberships",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("joined_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.CheckConstraint("role in ('ADMIN', 'MEMBER')", name="role"),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_table(
        "invites",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_digest", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_invites"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        sa.UniqueConstraint("organisation_id", "token_digest", name="uq_invites_organisation_id"),
        sa.CheckConstraint("role in ('ADMIN', 'MEMBER')", name="role"),
    )
    op.create_index(
        "uq_invites_pending_email",
        "invites",
        ["organisation_id", "email"],
        unique=True,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("rotated_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "activities",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("payload", postgresql.JSON, nullable=False),
        sa.Column("actor_id", sa.Uuid),
        sa.Column("target_id", sa.Uuid),
        sa.Column("occurred_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "seq", name="pk_activities"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["target_id"], ["users.id"]),
        sa.UniqueConstraint("organisation_id", "id", name="uq_activities_organisation_id"),
    )
    for table, key in TENANT_KEYS.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy tenant on {table} using ({key} = {ORGANISATION})")
    op.execute(f"create policy own on memberships for select using (user_id = {PERSON})")
    op.execute(
        "create policy own on organisations for select using "
        f"(id in (select organisation_id from memberships where user_id = {PERSON}))"
    )
    for table, privileges in GRANTS.items():
        op.execute(f"grant {privileges} on {table} to saas_app")
    op.execute("grant select on alembic_version to saas_app")  # to serve as a role that cannot migrate
    op.execute(ENTER_ORGANISATION)
    # How far a log goes says nothing of its content: it is the only thing read for many organisations at once.
    op.execute("create policy positions on organisations for select to saas_owner using (true)")
    op.execute(LOG_POSITIONS)
    op.execute(DATA_DIRECTORY_SINCE)
    _as_superuser("grant execute on function pg_catalog.pg_stat_file(text) to saas_owner")
    op.execute(f"revoke execute on function {FUNCTIONS} from public")
    op.execute(f"grant execute on function {FUNCTIONS} to saas_app")


def downgrade() -> None:
    _as_superuser("revoke execute on function pg_catalog.pg_stat_file(text) from saas_owner")
    op.execute(f"drop function {FUNCTIONS}")
    op.execute("drop policy own on organisations")
    for table in reversed(GRANTS):
        op.drop_table(table)


def _as_superuser(statement: str) -> None:
    """Run the statement as the superuser, or skip it when the session's user is none, as on managed servers."""
    if op.get_bind().scalar(sa.text("select rolsuper from pg_roles where rolname = session_user")):
        op.execute("set local role none")
        op.execute(statement)
        op.execute("set local role saas_owner")
