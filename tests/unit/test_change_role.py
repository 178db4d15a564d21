"""Changing a role: by an admin, to the other role, and never of the last admin."""

from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.actor import Actor
from saas.application.authenticate import Authenticate
from saas.application.change_role import ChangeRole
from saas.application.queries import ListUsers
from saas.application.remove_user import RemoveUser
from saas.application.views import PageRequest
from saas.domain.errors import AdminOnly, AlreadyInRole, LastAdmin, NotFound
from saas.domain.events import UserRoleChanged
from saas.domain.organisations import Organisation
from saas.domain.values import Role, UserId
from tests.scene import NOW, MovableClock, organisation, sign_in, user


@pytest.fixture
def acme() -> Organisation:
    return organisation(members=2)


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def bo(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Bo"), acme)


def role_of(store: MemoryStore, who: Actor) -> Role:
    return store.memberships[who.organisation_id, who.person.id].role


async def test_a_change_is_stored_logged_and_published(
    store: MemoryStore, change_role: ChangeRole, notifier: RecordingNotifier, ada: Actor, bo: Actor
) -> None:
    await change_role(ada, bo.person.id, Role.ADMIN)

    [activity] = store.activities
    assert role_of(store, bo) is Role.ADMIN
    assert activity.event == UserRoleChanged(
        actor=ada.person, target=bo.person, before=Role.MEMBER, after=Role.ADMIN, at=NOW
    )
    assert notifier.published == [activity]


async def test_the_reply_is_the_member_as_the_list_shows_them(
    change_role: ChangeRole, list_users: ListUsers, clock: MovableClock, ada: Actor, bo: Actor
) -> None:
    clock.advance(timedelta(hours=1))

    member = await change_role(ada, bo.person.id, Role.ADMIN)

    assert (member.created_at, member.updated_at) == (NOW, clock())
    assert member in await list_users(ada, PageRequest(10))


async def test_a_new_role_acts_on_the_next_request_and_the_session_goes_on(
    change_role: ChangeRole, authenticate: Authenticate, tokens: JwtTokens, ada: Actor, bo: Actor
) -> None:
    access = tokens.access(bo.person.id, bo.organisation_id, bo.role, bo.session_id)

    for role in (Role.ADMIN, Role.MEMBER):
        await change_role(ada, bo.person.id, role)
        assert (await authenticate(access)).role is role


async def test_an_admin_may_step_down_when_another_remains(
    store: MemoryStore, change_role: ChangeRole, acme: Organisation, ada: Actor
) -> None:
    cy = sign_in(store, user("Cy"), acme, Role.ADMIN)

    await change_role(ada, ada.person.id, Role.MEMBER)

    assert (role_of(store, ada), role_of(store, cy)) == (Role.MEMBER, Role.ADMIN)


async def test_an_admin_can_be_removed_once_they_are_a_member(
    store: MemoryStore, change_role: ChangeRole, remove_user: RemoveUser, acme: Organisation, ada: Actor
) -> None:
    cy = sign_in(store, user("Cy"), acme, Role.ADMIN)

    await change_role(ada, cy.person.id, Role.MEMBER)
    await remove_user(ada, cy.person.id)

    assert (acme.id, cy.person.id) not in store.memberships


async def test_what_is_refused_leaves_nothing_behind(
    store: MemoryStore, change_role: ChangeRole, notifier: RecordingNotifier, ada: Actor, bo: Actor
) -> None:
    sign_in(store, user("Cy"), organisation("Beta"), Role.ADMIN)
    before = dict(store.memberships)

    with pytest.raises(LastAdmin):
        await change_role(ada, ada.person.id, Role.MEMBER)
    for who in (ada, bo):
        with pytest.raises(AlreadyInRole):
            await change_role(ada, who.person.id, who.role)

    assert dict(store.memberships) == before
    assert not store.activities
    assert not notifier.published


async def test_an_admin_demoted_a_moment_ago_does_not_demote_the_last_one(
    store: MemoryStore, change_role: ChangeRole, acme: Organisation, ada: Actor
) -> None:
    cy = sign_in(store, user("Cy"), acme, Role.ADMIN)
    await change_role(ada, cy.person.id, Role.MEMBER)

    with pytest.raises(LastAdmin):
        await change_role(cy, ada.person.id, Role.MEMBER)

    assert role_of(store, ada) is Role.ADMIN


async def test_a_member_of_another_organisation_is_not_found_just_as_nobody_is(
    store: MemoryStore, change_role: ChangeRole, ada: Actor
) -> None:
    stranger = sign_in(store, user("Cy"), organisation("Beta"))

    for user_id in (stranger.person.id, UserId(new_id())):
        with pytest.raises(NotFound, match="no member with this id"):
            await change_role(ada, user_id, Role.ADMIN)

    assert role_of(store, stranger) is Role.MEMBER


async def test_only_admins_change_roles(store: MemoryStore, change_role: ChangeRole, ada: Actor, bo: Actor) -> None:
    for target, role in ((ada, Role.MEMBER), (bo, Role.ADMIN)):
        with pytest.raises(AdminOnly):
            await change_role(bo, target.person.id, role)

    assert (role_of(store, ada), role_of(store, bo)) == (Role.ADMIN, Role.MEMBER)
