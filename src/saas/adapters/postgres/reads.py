"""Reads: one statement and one round trip each, from rows straight into what clients see.

Each statement sets its own tenant. A first one-row subquery sets the setting that row-level security compares with;
a second, lateral subquery, which PostgreSQL runs after the first, reads the tables. OFFSET 0 and LIMIT keep the planner
from merging the two. If they ever ran in the other order, the setting would be empty and the read would find nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.people import user_entity
from saas.adapters.postgres.tables import activities, invites, memberships, organisations, sessions, users
from saas.adapters.postgres.tenant import invite_entity
from saas.application.actor import Actor, Claims
from saas.application.views import (
    ActivityView,
    Affiliation,
    Invitation,
    MemberView,
    OrganisationView,
    PageRequest,
    PersonView,
)
from saas.domain.errors import NotFound
from saas.domain.members import User
from saas.domain.plans import Plan
from saas.domain.values import ActivityId, Email, OrganisationId, Person, Role, UserId

AFFILIATIONS_LIMIT = 1_000
_BEFORE_ALL = UUID(int=0)
_AFTER_ALL = 2**63 - 1


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

_ACTOR = _within(
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
_ORGANISATION = _within(_tenant, sa.select(organisations).where(organisations.c.id == _tenant.c.id).limit(1))
_MEMBERS = _within(
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
_ACTIVITIES = _within(
    _tenant,
    _ENTRIES.where(activities.c.seq < sa.bindparam("after", type_=sa.BigInteger)).order_by(activities.c.seq.desc()),
    "found.seq desc",
)
_ACTIVITIES_AFTER = _within(
    _tenant,
    _ENTRIES.where(activities.c.seq > sa.bindparam("after", type_=sa.BigInteger)).order_by(activities.c.seq),
    "found.seq",
)
_POSITION = _within(_tenant, sa.select(organisations.c.last_seq).where(organisations.c.id == _tenant.c.id).limit(1))
_INVITATION = _within(
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
_USER = sa.select(users).where(users.c.email == sa.bindparam("email"))
_PING = sa.text("select 1")


@dataclass(frozen=True, slots=True)
class PostgresReads:
    """Reads outside any unit of work."""

    database: Database

    async def actor(self, claims: Claims, at: datetime) -> Actor | None:
        """Returns the actor with their present role; None when the session is over or they are not a member."""
        keys = {
            "organisation_id": str(claims.organisation_id),
            "user_id": claims.user_id,
            "session_id": claims.session_id,
            "at": at,
        }
        async with self.database.reading() as connection:
            row = (await connection.execute(_ACTOR, keys)).first()
        if row is None:
            return None
        person = Person(UserId(row.id), row.name, Email(row.email))
        return Actor(person, claims.organisation_id, Role(row.role), claims.session_id)

    async def user(self, email: Email) -> User | None:
        """The person with this address."""
        async with self.database.reading() as connection:
            row = (await connection.execute(_USER, {"email": email})).first()
        return user_entity(row) if row else None

    def tenant(self, organisation_id: OrganisationId) -> "PostgresTenantReads":
        """The reads of this organisation; runs no statement yet."""
        return PostgresTenantReads(self.database, organisation_id)

    async def ping(self) -> None:
        """Raises `Unavailable` unless a statement gets an answer."""
        async with self.database.reading() as connection:
            await connection.execute(_PING)


@dataclass(frozen=True, slots=True)
class PostgresTenantReads:
    """The reads of one organisation."""

    database: Database
    organisation_id: OrganisationId

    async def organisation(self) -> OrganisationView:
        """The organisation itself. Raises `NotFound`."""
        rows = await self._rows(_ORGANISATION)
        if not rows:
            raise NotFound("organisation")
        [row] = rows
        plan = Plan(row.plan)
        return OrganisationView(
            id=row.id,
            name=row.name,
            slug=row.slug,
            subscription_plan=plan,
            member_count=row.members,
            member_limit=plan.seats,
            created_at=row.created_at,
        )

    async def members(self, page: PageRequest[UserId]) -> Sequence[MemberView]:
        """Members by the age of their account, the oldest first."""
        rows = await self._rows(_MEMBERS, after=page.after or _BEFORE_ALL, limit=page.limit)
        return [
            MemberView(
                id=user_id,
                email=email,
                name=name,
                role=role,
                organisation_id=organisation_id,
                created_at=joined_at,
                updated_at=updated_at,
            )
            for user_id, email, name, role, organisation_id, joined_at, updated_at in map(tuple, rows)
        ]

    async def activities(self, page: PageRequest[int]) -> Sequence[ActivityView]:
        """The log's entries before the seq `page.after`, the newest first."""
        after = _AFTER_ALL if page.after is None else page.after
        return [_activity(row) for row in await self._rows(_ACTIVITIES, after=after, limit=page.limit)]

    async def position(self) -> int:
        """The last seq of the log."""
        return next((row.last_seq for row in await self._rows(_POSITION)), 0)

    async def activities_after(self, seq: int, limit: int) -> Sequence[ActivityView]:
        """The log's entries after `seq`, the oldest first."""
        return [_activity(row) for row in await self._rows(_ACTIVITIES_AFTER, after=seq, limit=limit)]

    async def invitation(self, token_digest: bytes) -> Invitation | None:
        """The invite whose secret has this digest, with plan, member count and the invitee's account; locks nothing."""
        for row in await self._rows(_INVITATION, digest=token_digest):
            invite, account = invite_entity(row), None
            if row.user_id:
                account = User(
                    id=UserId(row.user_id),
                    email=invite.email,
                    name=row.user_name,
                    password_hash=row.password_hash,
                    created_at=row.user_created_at,
                )
            return Invitation(invite, Plan(row.plan), row.members, account)
        return None

    async def _rows(self, statement: sa.Select[Any], **parameters: object) -> list[sa.Row[Any]]:
        async with self.database.reading() as connection:
            result = await connection.execute(statement, {"organisation_id": str(self.organisation_id), **parameters})
            return list(result)


def affiliation(row: sa.Row[Any]) -> Affiliation:
    """The organisation in a row of `AFFILIATIONS`."""
    return Affiliation(OrganisationId(row.id), row.name, row.slug, Role(row.role), Plan(row.plan))


def _activity(row: sa.Row[Any]) -> ActivityView:
    return ActivityView(
        id=ActivityId(row.id),
        seq=row.seq,
        type=row.type,
        message=row.message,
        metadata=msgspec.Raw(row.payload.encode()),
        actor=PersonView(row.actor_id, row.actor_name, row.actor_email) if row.actor_id else None,
        target=PersonView(row.target_id, row.target_name, row.target_email) if row.target_id else None,
        created_at=row.occurred_at,
    )
