"""What the in-memory store adds to the ports: setting a scene, looking at the outcome, and keeping time of its own."""

import asyncio

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.application.views import PageRequest
from saas.domain.events import MessageBroadcast
from saas.domain.plans import Plan
from saas.domain.values import Role, SessionId
from tests.scene import NOW, invite, membership, organisation, session, user


def test_what_is_put_in_place_is_there(store: MemoryStore) -> None:
    acme, ada, note = organisation(), user(), invite()
    signed_in = session(ada, acme)
    store.add(acme, ada, signed_in)
    store.add_to(acme, membership(ada, Role.ADMIN), note)

    assert store.organisations == {acme.id: acme}
    assert store.users == {ada.id: ada}
    assert store.sessions == {signed_in.id: signed_in}
    assert store.memberships == {(acme.id, ada.id): membership(ada, Role.ADMIN)}
    assert store.invites == {(acme.id, note.id): note}
    assert store.activities == []


def test_an_empty_store_has_nothing_in_it(store: MemoryStore) -> None:
    tables = [store.users, store.sessions, store.organisations, store.memberships, store.invites, store.activities]

    assert not any(tables)


def test_what_is_put_in_place_again_takes_the_place(store: MemoryStore) -> None:
    acme = organisation(plan=Plan.FREE)
    store.add(acme)
    acme.plan = Plan.PRO
    assert store.organisations[acme.id].plan is Plan.FREE

    store.add(acme)

    assert store.organisations[acme.id].plan is Plan.PRO


def test_what_is_looked_at_is_a_copy(store: MemoryStore) -> None:
    acme = organisation(plan=Plan.FREE)
    store.add(acme)

    store.organisations[acme.id].plan = Plan.PRO
    for each in store.organisations.values():
        each.plan = Plan.PRO

    assert store.organisations[acme.id].plan is Plan.FREE


async def test_a_cancelled_block_leaves_nothing_behind_and_lets_the_next_one_in(store: MemoryStore) -> None:
    async def register() -> None:
        async with store.begin() as work:
            await work.users.add(user())
            await asyncio.sleep(3_600)

    registering = asyncio.create_task(register())
    await asyncio.sleep(0)
    registering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await registering

    assert not store.users
    async with store.begin() as work:
        await work.users.add(user())
    assert len(store.users) == 1


async def test_work_that_goes_on_after_its_block_changes_nothing(store: MemoryStore) -> None:
    acme, ada = organisation(), user()
    store.add(acme)
    async with store.begin() as work:
        tenant = await work.tenant(acme.id)

    await work.users.add(ada)
    await tenant.record(MessageBroadcast(actor=ada.person, message="Too late", at=NOW))

    assert not store.users
    assert not store.activities


async def test_members_are_named_as_they_are_called_now(store: MemoryStore) -> None:
    acme, ada = organisation(), user("Ada")
    store.add(acme, ada)
    store.add_to(acme, membership(ada))
    ada.name = "Ada King"
    store.add(ada)

    [member] = await store.reads.tenant(acme.id).members(PageRequest(10))

    assert member.name == "Ada King"


async def test_a_slug_is_needed_that_is_free(store: MemoryStore) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(RuntimeError, match="every slug is taken"):
        async with store.begin() as work:
            await work.create_organisation(organisation(), [acme.slug])


async def test_the_notifier_remembers_in_order(store: MemoryStore) -> None:
    acme, ada, notifier = organisation(), user(), RecordingNotifier()
    store.add(acme)
    async with store.begin() as work:
        tenant = await work.tenant(acme.id)
        activities = await tenant.record(
            *(MessageBroadcast(actor=ada.person, message=message, at=NOW) for message in ("one", "two", "three"))
        )
    ended = [SessionId(new_id()), SessionId(new_id())]

    await notifier.publish(activities[:2])
    await notifier.publish(activities[2:])
    await notifier.end_sessions(ended)

    assert notifier.published == activities == store.activities
    assert notifier.ended == ended
