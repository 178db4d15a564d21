"""What members and admins may look at, always in their own organisation."""

import pytest

from saas.adapters.memory import MemoryStore
from saas.application.actor import Actor
from saas.application.broadcast import Broadcast
from saas.application.queries import GetOrganisation, ListActivities, ListUsers
from saas.application.views import OrganisationView, PageRequest
from saas.domain.errors import AdminOnly
from saas.domain.organisations import Organisation
from saas.domain.values import Role
from tests.scene import organisation, sign_in, user


@pytest.fixture
def acme() -> Organisation:
    return organisation("Acme", members=2)


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def bo(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Bo"), acme)


@pytest.fixture
def stranger(store: MemoryStore) -> Actor:
    return sign_in(store, user("Cy"), organisation("Beta"), Role.ADMIN)


async def test_every_member_sees_their_organisation(
    get_organisation: GetOrganisation, acme: Organisation, ada: Actor, bo: Actor, stranger: Actor
) -> None:
    assert await get_organisation(ada) == await get_organisation(bo) == OrganisationView.of(acme)
    assert (await get_organisation(stranger)).name == "Beta"


async def test_an_admin_sees_the_members_of_their_organisation(
    list_users: ListUsers, ada: Actor, bo: Actor, stranger: Actor
) -> None:
    members = await list_users(ada, PageRequest(10))

    assert [(member.name, member.role) for member in members] == [("Ada", Role.ADMIN), ("Bo", Role.MEMBER)]


async def test_only_admins_see_the_members(list_users: ListUsers, bo: Actor) -> None:
    with pytest.raises(AdminOnly):
        await list_users(bo, PageRequest(10))


async def test_every_member_sees_the_feed_of_their_organisation_newest_first(
    list_activities: ListActivities, broadcast: Broadcast, ada: Actor, bo: Actor, stranger: Actor
) -> None:
    for speaker, message in ((ada, "one"), (stranger, "elsewhere"), (ada, "two")):
        await broadcast(speaker, message)

    for reader in (ada, bo):
        assert [entry.message for entry in await list_activities(reader, PageRequest(10))] == ["two", "one"]


async def test_the_feed_continues_after_a_page(
    list_activities: ListActivities, broadcast: Broadcast, ada: Actor
) -> None:
    for number in range(1, 4):
        await broadcast(ada, str(number))

    first = await list_activities(ada, PageRequest(2))
    rest = await list_activities(ada, PageRequest(2, after=first[-1].seq))

    assert [entry.message for entry in (*first, *rest)] == ["3", "2", "1"]
