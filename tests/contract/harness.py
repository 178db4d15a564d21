"""What a suite is given, and helpers that set up the data of its tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from saas.application.actor import Claims
from saas.application.ports import Begin, Reads, UnitOfWork
from saas.application.views import ActivityView
from saas.domain.events import Activity, Event, MessageBroadcast
from saas.domain.members import User
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.sessions import Session
from saas.domain.values import OrganisationId, Role
from tests.scene import MovableClock, membership, organisation, session, user

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Harness:
    """An adapter under test. Both its ports must take the time from `clock`."""

    begin: Begin
    reads: Reads
    clock: MovableClock


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """An organisation in the store, with the admin and the session it began with."""

    organisation: Organisation
    admin: User
    session: Session

    @property
    def id(self) -> OrganisationId:
        return self.organisation.id


class _Interrupted(Exception):
    pass


@asynccontextmanager
async def rolled_back(harness: Harness) -> AsyncIterator[UnitOfWork]:
    """A unit of work that fails at the end of its block."""
    try:
        async with harness.begin() as work:
            yield work
            raise _Interrupted  # noqa: TRY301  # the block itself has to fail
    except _Interrupted:
        return
    pytest.fail("The unit of work swallowed an exception.")


async def new_organisation(harness: Harness, name: str = "Acme", *, plan: Plan = Plan.FREE) -> NewOrganisation:
    """Store an organisation with one admin and an empty log."""
    now = harness.clock()
    ada = user("Ada", at=now)
    acme = organisation(name, plan=plan, at=now)
    signed_in = session(ada, acme, at=now)
    async with harness.begin() as work:
        await work.users.add(ada)
        tenant = await work.create_organisation(acme, [acme.slug])
        await tenant.members.add(membership(ada, Role.ADMIN, at=now))
        await work.sessions.add(signed_in)
    return NewOrganisation(acme, ada, signed_in)


async def join(harness: Harness, acme: NewOrganisation, name: str = "Bo", role: Role = Role.MEMBER) -> User:
    """Store a new person who is a member of the organisation."""
    bo = user(name, at=harness.clock())
    async with harness.begin() as work:
        await work.users.add(bo)
        tenant = await work.tenant(acme.id)
        tenant.organisation.members += 1
        await tenant.members.add(membership(bo, role, at=harness.clock()))
        await tenant.record()
    return bo


async def record(harness: Harness, acme: NewOrganisation, *events: Event) -> list[Activity]:
    """Append the events to the organisation's log."""
    async with harness.begin() as work:
        tenant = await work.tenant(acme.id)
        return await tenant.record(*events)


def said(by: User, message: str, at: datetime) -> MessageBroadcast:
    return MessageBroadcast(actor=by.person, message=message, at=at)


def claims_of(acme: NewOrganisation) -> Claims:
    return Claims(acme.admin.id, acme.id, acme.session.id, acme.session.expires_at)


def plain(view: ActivityView) -> dict[str, Any]:
    """Returns the view as a client reads it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view))
    return decoded
