"""The SELECT statements of all reads.

Each statement sets its own tenant. A first one-row subquery sets the setting that row-level security compares with;
a second, lateral subquery, which PostgreSQL runs after the first, reads the tables. OFFSET 0 and LIMIT keep the planner
from merging the two. If they ever ran in the other order, the setting would be empty and the read would find nothing.
"""

from typing import Any

import sqlalchemy as sa

from saas.adapters.postgres.tables import activities, invites, memberships, organisations, sessions, users

AFFILIATIONS_LIMIT = 1_000


def _scope(setting: str, parameter: str) -> sa.Subquery:
    """One row with the tenant's (or the person's) id. Evaluating it sets that id for the rest of the statement."""
    setting_id = sa.cast(sa.func.set_config(setting, sa.bindparam(parameter, type_=sa.Text), sa.true()), sa.Uuid)
    return sa.select(setting_id.label("id")).offset(sa.literal_column("0")).subquery("scope")


def _within(scope: sa.Subquery, inner: sa.Select[Any], *order_by: str) -> sa.Select[Any]:
    """What `inner`, which must have a LIMIT, finds once the setting of `scope` is set."""
    found = inner.lateral("found")
    return sa.select(*found.c).select_from(scope.join(found, sa.true())).order_by(*map(sa.text, order_by))


_tenant = _scope("app.organisation_id", "organisation_id")
_person = _scope("app.user_id", "user_id")
_actor_user, _target_user = users.alias("actor"), users.alias("target")

ACTOR = _within(
    _tenant,
    sa.select(memberships.c.role, users.c.id, users.c.name, users.c.email)
    .join_from(memberships, users, users.c.id == memberships.c.user_id)
    .join(sessions, sessions.c.user_id == memberships.c.user_id)
    .where(
        memberships.c.organisation_id == _tenant.c.id,
        memberships.c.user_id == sa.bindparam("user_id", type_=sa.Uuid),
        sessions.c.id == sa.bindparam("session_id", type_=sa.Uuid),
        sessions.c.ended_at.is_(None),
        sessions.c.expires_at > sa.bindparam("at", type_=sa.DateTime(timezone=True)),
    )
    .limit(1),
)
AFFILIATIONS = _within(
    _person,
    sa.select(
        organisations.c.id,
        organisations.c.name,
        organisations.c.slug,
        organisations.c.plan,
        memberships.c.role,
        memberships.c.joined_at,
    )
    .join_from(memberships, organisations, organisations.c.id == memberships.c.organisation_id)
    .where(memberships.c.user_id == _person.c.id)
    .order_by(memberships.c.joined_at, memberships.c.organisation_id)
    .limit(AFFILIATIONS_LIMIT),
    "found.joined_at",
    "found.id",
)
ORGANISATION = _within(_tenant, sa.select(organisations).where(organisations.c.id == _tenant.c.id).limit(1))
MEMBERS = _within(
    _tenant,
    sa.select(
        users.c.id,
        users.c.email,
        users.c.name,
        memberships.c.role,
        memberships.c.organisation_id,
        memberships.c.joined_at,
        memberships.c.updated_at,
    )
    .join_from(memberships, users, users.c.id == memberships.c.user_id)
    .where(
        memberships.c.organisation_id == _tenant.c.id,
        memberships.c.user_id > sa.bindparam("after", type_=sa.Uuid),
    )
    .order_by(memberships.c.user_id)
    .limit(sa.bindparam("limit", type_=sa.Integer)),
    "found.id",
)
_ENTRIES = (
    sa.select(
        activities.c.id,
        activities.c.seq,
        activities.c.type,
        activities.c.message,
        sa.cast(activities.c.payload, sa.Text).label("payload"),
        activities.c.occurred_at,
        _actor_user.c.id.label("actor_id"),
        _actor_user.c.name.label("actor_name"),
        _actor_user.c.email.label("actor_email"),
        _target_user.c.id.label("target_id"),
        _target_user.c.name.label("target_name"),
        _target_user.c.email.label("target_email"),
    )
    .outerjoin_from(activities, _actor_user, _actor_user.c.id == activities.c.actor_id)
    .outerjoin(_target_user, _target_user.c.id == activities.c.target_id)
    .where(activities.c.organisation_id == _tenant.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
ACTIVITIES = _within(
    _tenant,
    _ENTRIES.where(activities.c.seq < sa.bindparam("after", type_=sa.BigInteger)).order_by(activities.c.seq.desc()),
    "found.seq desc",
)
ACTIVITIES_AFTER = _within(
    _tenant,
    _ENTRIES.where(activities.c.seq > sa.bindparam("after", type_=sa.BigInteger)).order_by(activities.c.seq),
    "found.seq",
)
POSITION = _within(_tenant, sa.select(organisations.c.last_seq).where(organisations.c.id == _tenant.c.id).limit(1))
INVITATION = _within(
    _tenant,
    sa.select(
        invites,
        organisations.c.plan,
        organisations.c.members,
        users.c.id.label("user_id"),
        users.c.name.label("user_name"),
        users.c.password_hash,
        users.c.created_at.label("user_created_at"),
    )
    .join_from(invites, organisations, organisations.c.id == invites.c.organisation_id)
    .outerjoin(users, users.c.email == invites.c.email)
    .where(invites.c.organisation_id == _tenant.c.id, invites.c.token_digest == sa.bindparam("digest"))
    .limit(1),
)
USER = sa.select(users).where(users.c.email == sa.bindparam("email"))
PING = sa.text("select 1")
