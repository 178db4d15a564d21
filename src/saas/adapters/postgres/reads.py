"""Reads: one statement and one round trip each, from rows directly into what clients get."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from saas.adapters.postgres import selects
from saas.adapters.postgres.database import Database
from saas.adapters.postgres.people import user_entity
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

_BEFORE_ALL = UUID(int=0)
_AFTER_ALL = 2**63 - 1


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
            row = (await connection.execute(selects.ACTOR, keys)).first()
        if row is None:
            return None
        person = Person(UserId(row.id), row.name, Email(row.email))
        return Actor(person, claims.organisation_id, Role(row.role), claims.session_id)

    async def user(self, email: Email) -> User | None:
        """The person with this address."""
        async with self.database.reading() as connection:
            row = (await connection.execute(selects.USER, {"email": email})).first()
        return user_entity(row) if row else None

    def tenant(self, organisation_id: OrganisationId) -> "PostgresTenantReads":
        """The reads of this organisation; runs no statement yet."""
        return PostgresTenantReads(self.database, organisation_id)

    async def ping(self) -> None:
        """Raises `Unavailable` unless a statement gets an answer."""
        async with self.database.reading() as connection:
            await connection.execute(selects.PING)


@dataclass(frozen=True, slots=True)
class PostgresTenantReads:
    """The reads of one organisation."""

    database: Database
    organisation_id: OrganisationId

    async def organisation(self) -> OrganisationView:
        """The organisation itself. Raises `NotFound`."""
        rows = await self._rows(selects.ORGANISATION)
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
        rows = await self._rows(selects.MEMBERS, after=page.after or _BEFORE_ALL, limit=page.limit)
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
        return [_activity(row) for row in await self._rows(selects.ACTIVITIES, after=after, limit=page.limit)]

    async def position(self) -> int:
        """The last seq of the log."""
        return next((row.last_seq for row in await self._rows(selects.POSITION)), 0)

    async def activities_after(self, seq: int, limit: int) -> Sequence[ActivityView]:
        """The log's entries after `seq`, the oldest first."""
        return [_activity(row) for row in await self._rows(selects.ACTIVITIES_AFTER, after=seq, limit=limit)]

    async def invitation(self, token_digest: bytes) -> Invitation | None:
        """The invite whose secret has this digest, with plan, member count and the invitee's account; locks nothing."""
        for row in await self._rows(selects.INVITATION, digest=token_digest):
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
