"""Removing frees a seat; the person keeps their account."""

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.actor import Actor
from saas.application.authenticate import Authenticate
from saas.application.remove_user import RemoveUser
from saas.domain.errors import AdminOnly, CannotRemoveAdmin, CannotRemoveYourself, NotFound, SessionEnded
from saas.domain.events import UserRemoved
from saas.domain.organisations import Organisation
from saas.domain.values import Role, UserId
from tests.scene import NOW, organisation, session, sign_in, user


@pytest.fixture
def acme() -> Organisation:
    return organisation(members=2)


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def bo(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Bo"), acme)


async def test_a_member_leaves_and_the_seat_is_free(
    store: MemoryStore, remove_user: RemoveUser, acme: Organisation, ada: Actor, bo: Actor
) -> None:
    await remove_user(ada, bo.person.id)

    assert [place.person for place in store.memberships.values()] == [ada.person]
    assert store.organisations[acme.id].members == 1
    assert bo.person.id in store.users


async def test_a_removal_is_logged_and_published(
    store: MemoryStore, remove_user: RemoveUser, notifier: RecordingNotifier, ada: Actor, bo: Actor
) -> None:
    await remove_user(ada, bo.person.id)

    [activity] = store.activities
    assert activity.event == UserRemoved(actor=ada.person, target=bo.person, at=NOW)
    assert notifier.published == [activity]


async def test_the_removed_persons_token_stops_working_at_once(
    remove_user: RemoveUser, authenticate: Authenticate, tokens: JwtTokens, ada: Actor, bo: Actor
) -> None:
    access = tokens.access(bo.person.id, bo.organisation_id, bo.role, bo.session_id)
    await authenticate(access)

    await remove_user(ada, bo.person.id)

    with pytest.raises(SessionEnded):
        await authenticate(access)


async def test_only_sessions_in_this_organisation_end(
    store: MemoryStore, remove_user: RemoveUser, ada: Actor, bo: Actor
) -> None:
    elsewhere = session(store.users[bo.person.id], organisation("Beta"))
    store.add(elsewhere)

    await remove_user(ada, bo.person.id)

    assert store.sessions[bo.session_id].ended_at == NOW
    assert store.sessions[elsewhere.id].ended_at is None
    assert store.sessions[ada.session_id].ended_at is None


async def test_the_ended_sessions_are_announced_after_the_removal(
    store: MemoryStore, remove_user: RemoveUser, notifier: RecordingNotifier, ada: Actor, bo: Actor
) -> None:
    acme = store.organisations[ada.organisation_id]
    phone = session(store.users[bo.person.id], acme)
    elsewhere = session(store.users[bo.person.id], organisation("Beta"))
    long_gone = session(store.users[bo.person.id], acme, ended_at=NOW)
    store.add(phone, elsewhere, long_gone)

    await remove_user(ada, bo.person.id)

    assert set(notifier.ended) == {bo.session_id, phone.id}


async def test_a_person_is_removed_once(
    store: MemoryStore, remove_user: RemoveUser, acme: Organisation, ada: Actor, bo: Actor
) -> None:
    await remove_user(ada, bo.person.id)

    with pytest.raises(NotFound, match="no member with this id"):
        await remove_user(ada, bo.person.id)

    assert store.organisations[acme.id].members == 1
    assert len(store.activities) == 1


async def test_a_member_of_another_organisation_is_not_found_just_as_nobody_is(
    store: MemoryStore, remove_user: RemoveUser, ada: Actor
) -> None:
    stranger = sign_in(store, user("Cy"), organisation("Beta"))

    for user_id in (stranger.person.id, UserId(new_id())):
        with pytest.raises(NotFound, match="no member with this id"):
            await remove_user(ada, user_id)

    assert (stranger.organisation_id, stranger.person.id) in store.memberships


async def test_an_admin_is_not_removed(
    store: MemoryStore, remove_user: RemoveUser, notifier: RecordingNotifier, acme: Organisation, ada: Actor
) -> None:
    cy = sign_in(store, user("Cy"), acme, Role.ADMIN)

    with pytest.raises(CannotRemoveAdmin):
        await remove_user(ada, cy.person.id)

    assert (acme.id, cy.person.id) in store.memberships
    assert store.sessions[cy.session_id].ended_at is None
    assert not store.activities
    assert not notifier.published


async def test_nobody_removes_themselves(store: MemoryStore, remove_user: RemoveUser, ada: Actor) -> None:
    with pytest.raises(CannotRemoveYourself):
        await remove_user(ada, ada.person.id)

    assert len(store.memberships) == 1


async def test_only_admins_remove(store: MemoryStore, remove_user: RemoveUser, ada: Actor, bo: Actor) -> None:
    for target in (ada, bo):
        with pytest.raises(AdminOnly):
            await remove_user(bo, target.person.id)

    assert len(store.memberships) == 2
