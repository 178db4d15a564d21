"""An admin says something to everyone."""

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.application.broadcast import Broadcast
from saas.domain.errors import AdminOnly, InvalidValue, NotFound
from saas.domain.events import MessageBroadcast
from tests.scene import NOW, admin_of, member_of, organisation


async def test_a_message_is_logged_and_published_as_it_was_written(
    store: MemoryStore, broadcast: Broadcast, notifier: RecordingNotifier
) -> None:
    acme = organisation()
    store.add(acme)
    ada = admin_of(acme)

    activity = await broadcast(ada, " Lunch\nat 1 🎉 ")

    assert activity.event == MessageBroadcast(actor=ada.person, message=" Lunch\nat 1 🎉 ", at=NOW)
    assert store.activities == notifier.published == [activity]


async def test_messages_are_counted_in_each_organisation(store: MemoryStore, broadcast: Broadcast) -> None:
    acme, beta = organisation("Acme"), organisation("Beta")
    store.add(acme, beta)

    seqs = [(await broadcast(admin_of(where), "Hello")).seq for where in (acme, acme, beta, acme)]

    assert seqs == [1, 2, 1, 3]


@pytest.mark.parametrize("message", ["", " \n", "x" * 4_001])
async def test_an_empty_or_too_long_message_is_refused(
    store: MemoryStore, broadcast: Broadcast, notifier: RecordingNotifier, message: str
) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(InvalidValue):
        await broadcast(admin_of(acme), message)

    assert not store.activities
    assert not notifier.published


async def test_only_admins_broadcast(store: MemoryStore, broadcast: Broadcast) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(AdminOnly):
        await broadcast(member_of(acme), "Hello")

    assert not store.activities


async def test_an_organisation_that_is_gone_is_not_found(broadcast: Broadcast, notifier: RecordingNotifier) -> None:
    with pytest.raises(NotFound):
        await broadcast(admin_of(organisation()), "Hello")

    assert not notifier.published
