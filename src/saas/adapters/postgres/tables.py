"""The tables, for SQLAlchemy Core; `migrations/` creates them.

Keys of everything that belongs to an organisation begin with its id, so that no index mixes tenants.
"""

import sqlalchemy as sa
from advanced_alchemy.base import convention

from saas.domain.invites import InviteStatus
from saas.domain.plans import Plan
from saas.domain.values import Role

OWNER_ROLE = "saas_owner"
"""Owns the tables; migrations act as it."""

RUNTIME_ROLE = "saas_app"
"""Owns nothing and cannot bypass row-level security; everything else acts as it."""


def _timestamp() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _text_enum(enum: type[Plan] | type[Role] | type[InviteStatus]) -> sa.Enum:
    return sa.Enum(enum, native_enum=False, length=16, values_callable=lambda members: [each.value for each in members])


metadata = sa.MetaData(naming_convention=convention)

organisations = sa.Table(
    "organisations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("slug", sa.Text, nullable=False, unique=True),
    sa.Column("plan", _text_enum(Plan), nullable=False),
    sa.Column("members", sa.Integer, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("created_at", _timestamp(), nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("created_at", _timestamp(), nullable=False),
)

memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), primary_key=True, index=True),
    sa.Column("role", _text_enum(Role), nullable=False),
    sa.Column("joined_at", _timestamp(), nullable=False),
    sa.Column("updated_at", _timestamp(), nullable=False),
)

invites = sa.Table(
    "invites",
    metadata,
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("role", _text_enum(Role), nullable=False),
    sa.Column("token_digest", sa.LargeBinary, nullable=False),
    sa.Column("status", _text_enum(InviteStatus), nullable=False),
    sa.Column("created_at", _timestamp(), nullable=False),
    sa.Column("expires_at", _timestamp(), nullable=False),
    sa.UniqueConstraint("organisation_id", "token_digest"),
    sa.Index(
        "uq_invites_pending_email",
        "organisation_id",
        "email",
        unique=True,
        postgresql_where=sa.text("status = 'PENDING'"),
    ),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("created_at", _timestamp(), nullable=False),
    sa.Column("rotated_at", _timestamp(), nullable=False),
    sa.Column("expires_at", _timestamp(), nullable=False),
    sa.Column("ended_at", _timestamp()),
)

activities = sa.Table(
    "activities",
    metadata,
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),  # JSON, unlike JSONB, gives back the text as it was written
    sa.Column("actor_id", sa.Uuid, sa.ForeignKey("users.id")),
    sa.Column("target_id", sa.Uuid, sa.ForeignKey("users.id")),
    sa.Column("occurred_at", _timestamp(), nullable=False),
    sa.UniqueConstraint("organisation_id", "id"),
)

TENANT_TABLES = ("organisations", "memberships", "invites", "activities")
"""Every table that belongs to an organisation, and so must be under row-level security."""
