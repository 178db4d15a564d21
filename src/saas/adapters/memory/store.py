"""MemoryStore: runs one unit of work at a time and stores what it commits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from saas.adapters.memory.reads import MemoryReads
from saas.adapters.memory.tables import Table, Tables
from saas.adapters.memory.unit_of_work import MemoryUnitOfWork
from saas.application.ports import Clock, NewId
from saas.domain.events import Activity
from saas.domain.invites import Invite
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import InviteId, OrganisationId, SessionId, UserId


class MemoryStore:
    """A database for tests: `begin` and `reads` are the ports, the rest sets up data and inspects results.

    It fulfils the ports, rollback and copies included, but checks no foreign keys, and it locks everything where
    Postgres locks a row: a unit of work waits until the one before it has ended.
    """

    def __init__(self, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id
        self._tables = Tables()
        self._lock = asyncio.Lock()
        self.reads = MemoryReads(lambda: self._tables)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        """A new transaction: leaving the block commits, an exception rolls back."""
        async with self._lock:
            work = MemoryUnitOfWork(self._tables.snapshot(), self._clock, self._new_id)
            yield work
            # A snapshot again, so that using the work after the block changes nothing here.
            self._tables = work.tables.snapshot()

    def add(self, *rows: User | Organisation | Session) -> None:
        """Store rows, in place of those with the same id, without a unit of work."""
        for row in rows:
            match row:
                case User():
                    self._tables.users[row.id] = row
                case Organisation():
                    self._tables.organisations[row.id] = row
                case Session():
                    self._tables.sessions[row.id] = row

    def add_to(self, organisation: Organisation, *rows: Membership | Invite) -> None:
        """Store rows that belong to an organisation; does not change the organisation's own count of members."""
        for row in rows:
            match row:
                case Membership():
                    self._tables.memberships[organisation.id, row.person.id] = row
                case Invite():
                    self._tables.invites[organisation.id, row.id] = row

    @property
    def users(self) -> Table[UserId, User]:
        """All users."""
        return self._tables.users

    @property
    def sessions(self) -> Table[SessionId, Session]:
        """All sessions, ended ones included."""
        return self._tables.sessions

    @property
    def organisations(self) -> Table[OrganisationId, Organisation]:
        """All organisations."""
        return self._tables.organisations

    @property
    def memberships(self) -> Table[tuple[OrganisationId, UserId], Membership]:
        """All memberships."""
        return self._tables.memberships

    @property
    def invites(self) -> Table[tuple[OrganisationId, InviteId], Invite]:
        """All invites, used and expired ones included."""
        return self._tables.invites

    @property
    def activities(self) -> list[Activity]:
        """The activities of all organisations, in the order they were recorded."""
        return list(self._tables.activities.values())
