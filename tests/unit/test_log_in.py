"""Logging in exchanges e-mail and password for a session in one organisation."""

from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore
from saas.adapters.system import new_id
from saas.application.authenticate import Authenticate
from saas.application.log_in import LogIn, LogInCommand
from saas.domain.errors import NoOrganisation, NotFound, WrongCredentials
from saas.domain.members import User
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.values import OrganisationId, Role
from tests.scene import IDLE, NOW, PASSWORD, membership, organisation, user
from tests.unit.fakes import PlainPasswords


@pytest.fixture
def ada(store: MemoryStore) -> User:
    """A member of Beta, and later of Acme, where she is an admin."""
    ada = user("Ada", "ada@acme.test")
    store.add(ada)
    return ada


@pytest.fixture
def acme(store: MemoryStore, ada: User) -> Organisation:
    acme = organisation("Acme", plan=Plan.PRO)
    store.add(acme)
    store.add_to(acme, membership(ada, Role.ADMIN, at=NOW + timedelta(days=1)))
    return acme


@pytest.fixture
def beta(store: MemoryStore, ada: User) -> Organisation:
    beta = organisation("Beta")
    store.add(beta)
    store.add_to(beta, membership(ada, Role.MEMBER, at=NOW))
    return beta


@pytest.mark.parametrize("email", ["ada@acme.test", "ADA@acme.TEST", " ada@acme.test"])
async def test_the_right_password_starts_a_session(
    store: MemoryStore, log_in: LogIn, authenticate: Authenticate, acme: Organisation, email: str
) -> None:
    signed_in = await log_in(LogInCommand(email=email, password=PASSWORD))

    [ada], [session] = store.users.values(), store.sessions.values()
    actor = await authenticate(signed_in.access_token)
    assert (session.user_id, session.organisation_id, session.expires_at) == (ada.id, acme.id, NOW + IDLE)
    assert (actor.person, actor.organisation_id, actor.role) == (ada.person, acme.id, Role.ADMIN)
    assert signed_in.user.role is Role.ADMIN
    assert signed_in.organisation.subscription_plan is Plan.PRO


async def test_two_logins_at_the_same_moment_are_two_sessions(
    store: MemoryStore, log_in: LogIn, acme: Organisation
) -> None:
    first = await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD))
    second = await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD))

    assert len(store.sessions) == 2
    assert first.access_token != second.access_token
    assert first.refresh_token != second.refresh_token


async def test_without_a_wish_one_enters_where_one_has_been_longest(
    log_in: LogIn, acme: Organisation, beta: Organisation
) -> None:
    signed_in = await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD))

    assert signed_in.organisation.id == beta.id
    assert [(choice.id, choice.role) for choice in signed_in.organisations] == [
        (beta.id, Role.MEMBER),
        (acme.id, Role.ADMIN),
    ]


async def test_one_enters_the_organisation_one_names(
    store: MemoryStore, log_in: LogIn, acme: Organisation, beta: Organisation
) -> None:
    signed_in = await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD, organisation_id=acme.id))

    assert signed_in.organisation.id == acme.id
    assert signed_in.user.role is Role.ADMIN
    assert [session.organisation_id for session in store.sessions.values()] == [acme.id]


async def test_a_foreign_organisation_is_not_found_just_as_one_that_does_not_exist(
    store: MemoryStore, log_in: LogIn, acme: Organisation
) -> None:
    foreign = organisation("Foreign")
    store.add(foreign)
    refusals = []
    for wanted in (foreign.id, OrganisationId(new_id())):
        with pytest.raises(NotFound) as refusal:
            await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD, organisation_id=wanted))
        refusals.append(str(refusal.value))

    assert refusals[0] == refusals[1]
    assert not store.sessions


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@acme.test", "wrong password"), ("nobody@acme.test", PASSWORD), ("no address", PASSWORD), ("", "")],
)
@pytest.mark.usefixtures("acme")
async def test_nobody_can_tell_an_unknown_address_from_a_wrong_password(
    store: MemoryStore, log_in: LogIn, passwords: PlainPasswords, email: str, password: str
) -> None:
    with pytest.raises(WrongCredentials, match="E-mail or password is wrong"):
        await log_in(LogInCommand(email=email, password=password))

    assert len(passwords.compared) == 1
    assert not store.sessions


async def test_who_belongs_nowhere_is_told_so_once_the_password_is_right(
    store: MemoryStore, log_in: LogIn, ada: User
) -> None:
    with pytest.raises(NoOrganisation):
        await log_in(LogInCommand(email="ada@acme.test", password=PASSWORD))
    with pytest.raises(WrongCredentials):
        await log_in(LogInCommand(email="ada@acme.test", password="wrong password"))

    assert not store.sessions
