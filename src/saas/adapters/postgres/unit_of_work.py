"""One transaction, which enters one organisation at a time."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from saas.adapters.postgres.database import Database
from saas.adapters.postgres.people import PostgresSessions, PostgresUsers
from saas.adapters.postgres.reads import affiliation
from saas.adapters.postgres.selects import AFFILIATIONS
from saas.adapters.postgres.tables import organisations
from saas.adapters.postgres.tenant import PostgresInvites, PostgresMembers
from saas.application.ports import Clock, NewId
from saas.application.views import ActivityView, Affiliation
from saas.domain.errors import NotFound
from saas.domain.events import Activity, Event
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.values import ActivityId, OrganisationId, UserId

_SET_TENANT = sa.select(
    sa.func.set_config("app.organisation_id", sa.bindparam("organisation_id", type_=sa.Text), sa.true())
)

_ENTER = sa.text("select * from enter_organisation(:organisation_id, :at)")
"""Sets the tenant, locks its row, and only then counts: the snapshot of the locking statement could be stale."""

_ADD_ORGANISATION = insert(organisations).on_conflict_do_nothing(index_elements=["slug"]).returning(organisations.c.id)

_RECORD = sa.text("""
    with organisation as (
        update organisations set plan = :plan, members = :members, last_seq = :last_seq where id = :organisation_id
    )
    insert into activities
           (organisation_id, seq, id, type, message, payload, actor_id, target_id, occurred_at)
    select :organisation_id, seq, id, type, message, payload::json, actor_id, target_id, occurred_at
      from unnest(
               cast(:seqs as bigint[]), cast(:ids as uuid[]), cast(:types as text[]), cast(:messages as text[]),
               cast(:payloads as text[]), cast(:actors as uuid[]), cast(:targets as uuid[]),
               cast(:times as timestamptz[])
           ) as entry (seq, id, type, message, payload, actor_id, target_id, occurred_at)
""")
"""Stores the organisation and its new log entries in one statement."""


@dataclass(frozen=True, slots=True)
class PostgresBegin:
    """Opens units of work."""

    database: Database
    clock: Clock
    new_id: NewId

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["PostgresUnitOfWork"]:
        """A transaction: leaving the block commits, an exception rolls back. Raises `Unavailable`."""
        async with self.database.transaction() as connection:
            yield PostgresUnitOfWork(connection, self.clock, self.new_id)


class PostgresUnitOfWork:
    """One transaction. Until it enters a tenant, every table of tenants looks empty."""

    def __init__(self, connection: AsyncConnection, clock: Clock, new_id: NewId) -> None:
        self._connection = connection
        self._clock = clock
        self._new_id = new_id
        self.users = PostgresUsers(connection)
        self.sessions = PostgresSessions(connection)

    async def affiliations(self, user_id: UserId) -> Sequence[Affiliation]:
        """The organisations a person belongs to, in the order of joining."""
        return [affiliation(row) for row in await self._connection.execute(AFFILIATIONS, {"user_id": str(user_id)})]

    async def create_organisation(self, organisation: Organisation, slugs: Iterable[str]) -> "PostgresTenant":
        """Store a new organisation under the first free slug and enter it."""
        await self._connection.execute(_SET_TENANT, {"organisation_id": str(organisation.id)})
        for slug in slugs:
            row = {
                "id": organisation.id,
                "name": organisation.name,
                "slug": slug,
                "plan": organisation.plan,
                "members": organisation.members,
                "last_seq": 0,
                "created_at": organisation.created_at,
            }
            if (await self._connection.execute(_ADD_ORGANISATION, row)).first() is not None:
                return PostgresTenant(self._connection, replace(organisation, slug=slug), 0, self._new_id)
        raise RuntimeError("every slug is taken, even the one that carries the id")

    async def tenant(self, organisation_id: OrganisationId) -> "PostgresTenant":
        """Enter an organisation and lock it, in one round trip. Raises `NotFound`."""
        keys = {"organisation_id": organisation_id, "at": self._clock()}
        row = (await self._connection.execute(_ENTER, keys)).first()
        if row is None:
            raise NotFound("organisation")
        return PostgresTenant(self._connection, _organisation(row), row.last_seq, self._new_id)


class PostgresTenant:
    """One organisation, its row locked until the transaction ends."""

    def __init__(self, connection: AsyncConnection, organisation: Organisation, last_seq: int, new_id: NewId) -> None:
        self._connection = connection
        self._last_seq = last_seq
        self._new_id = new_id
        self.organisation = organisation
        self.members = PostgresMembers(connection, organisation.id)
        self.invites = PostgresInvites(connection, organisation.id)

    async def record(self, *events: Event) -> list[Activity]:
        """Store the changed organisation and append the events to its log, each with the next seq."""
        recorded = [
            Activity(
                id=ActivityId(self._new_id()), organisation_id=self.organisation.id, seq=self._last_seq + i, event=event
            )
            for i, event in enumerate(events, start=1)
        ]
        self._last_seq += len(events)
        views = [ActivityView.of(activity) for activity in recorded]
        await self._connection.execute(
            _RECORD,
            {
                "organisation_id": self.organisation.id,
                "plan": self.organisation.plan,
                "members": self.organisation.members,
                "last_seq": self._last_seq,
                "seqs": [view.seq for view in views],
                "ids": [view.id for view in views],
                "types": [view.type for view in views],
                "messages": [view.message for view in views],
                "payloads": [bytes(view.metadata).decode() for view in views],
                "actors": [view.actor.id if view.actor else None for view in views],
                "targets": [view.target.id if view.target else None for view in views],
                "times": [view.created_at for view in views],
            },
        )
        return recorded


def _organisation(row: sa.Row[Any]) -> Organisation:
    return Organisation(
        id=OrganisationId(row.id),
        name=row.name,
        slug=row.slug,
        plan=Plan(row.plan),
        members=row.members,
        reserved=row.reserved,
        created_at=row.created_at,
    )
