"""Accepting takes the promised seat, with a new account or the one the address already has."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.accept_invite import AcceptInvite, AcceptInviteCommand
from saas.application.invite_user import InviteUser, InviteUserCommand
from saas.application.log_in import LogIn, LogInCommand
from saas.application.views import PageRequest
from saas.domain.errors import AccountExists, AlreadyMember, InvalidValue, InviteExpired, NotFound, SeatLimitReached
from saas.domain.events import InviteAccepted, InviteSent, UserJoined
from saas.domain.invites import InviteStatus
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.values import OrganisationId, Role
from tests.scene import NOW, PASSWORD, MovableClock, admin_of, membership, organisation, user
from tests.unit.fakes import PlainPasswords

Invited = Callable[[str], Awaitable[AcceptInviteCommand]]


@pytest.fixture
def acme(store: MemoryStore) -> Organisation:
    acme = organisation(members=1)
    store.add(acme)
    return acme


@pytest.fixture
def invited(acme: Organisation, invite_user: InviteUser) -> Invited:
    """Invites an address and gives what its owner would answer."""

    async def invited(email: str) -> AcceptInviteCommand:
        _, token = await invite_user(admin_of(acme), InviteUserCommand(email=email, role=Role.MEMBER))
        return AcceptInviteCommand(token=token, name="Bo", password=PASSWORD)

    return invited


async def test_a_new_person_gets_an_account_and_the_seat(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    view = await accept_invite(await invited("bo@acme.test"))

    [bo] = store.users.values()
    [note] = store.invites.values()
    assert (bo.name, bo.email, bo.password_hash) == ("Bo", "bo@acme.test", f"plain:{PASSWORD}")
    assert store.memberships[acme.id, bo.id] == membership(bo, Role.MEMBER)
    assert store.organisations[acme.id].members == 2
    assert note.status is InviteStatus.ACCEPTED
    assert [view] == await store.reads.tenant(acme.id).members(PageRequest(10))


async def test_the_new_member_can_log_in(accept_invite: AcceptInvite, log_in: LogIn, invited: Invited) -> None:
    await accept_invite(await invited("bo@acme.test"))

    signed_in = await log_in(LogInCommand(email="bo@acme.test", password=PASSWORD))

    assert signed_in.user.role is Role.MEMBER


async def test_the_invite_says_the_role(
    store: MemoryStore, accept_invite: AcceptInvite, invite_user: InviteUser, acme: Organisation
) -> None:
    _, token = await invite_user(admin_of(acme), InviteUserCommand(email="bo@acme.test", role=Role.ADMIN))

    view = await accept_invite(AcceptInviteCommand(token=token, name="Bo", password=PASSWORD))

    assert view.role is Role.ADMIN
    assert store.memberships[acme.id, view.id].role is Role.ADMIN


async def test_accepting_and_joining_are_logged_and_published(
    store: MemoryStore, accept_invite: AcceptInvite, notifier: RecordingNotifier, invited: Invited
) -> None:
    await accept_invite(await invited("bo@acme.test"))

    [bo], [note] = store.users.values(), store.invites.values()
    sent, accepted, joined = store.activities
    assert isinstance(sent.event, InviteSent)
    assert accepted.event == InviteAccepted(actor=bo.person, invite_id=note.id, email=note.email, at=NOW)
    assert joined.event == UserJoined(actor=bo.person, role=Role.MEMBER, at=NOW)
    assert notifier.published == [sent, accepted, joined]


async def test_somebody_with_an_account_joins_with_its_password_and_keeps_its_name(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    zoe = user("Zoë", "zoe@acme.test")
    store.add(zoe)

    view = await accept_invite(await invited("zoe@acme.test"))

    assert (view.id, view.name) == (zoe.id, "Zoë")
    assert list(store.users.values()) == [zoe]
    assert store.memberships[acme.id, zoe.id] == membership(zoe)


async def test_somebody_with_an_account_must_know_its_password(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    store.add(user("Zoë", "zoe@acme.test", password="another password"))
    command = await invited("zoe@acme.test")

    with pytest.raises(AccountExists, match="that account's password"):
        await accept_invite(command)

    assert not store.memberships
    assert [note.status for note in store.invites.values()] == [InviteStatus.PENDING]


async def test_an_invite_is_accepted_once(accept_invite: AcceptInvite, invited: Invited) -> None:
    command = await invited("bo@acme.test")
    await accept_invite(command)

    with pytest.raises(NotFound, match="This invite does not exist or was already used"):
        await accept_invite(command)


async def test_an_invite_is_accepted_once_however_many_try_at_once(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    command = await invited("bo@acme.test")

    outcomes = await asyncio.gather(*(accept_invite(command) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 4
    assert len(store.users) == len(store.memberships) == 1
    assert store.organisations[acme.id].members == 2


async def test_an_invite_expires_after_24_hours(
    store: MemoryStore, accept_invite: AcceptInvite, clock: MovableClock, invited: Invited
) -> None:
    command = await invited("bo@acme.test")
    clock.advance(timedelta(hours=24))

    with pytest.raises(InviteExpired):
        await accept_invite(command)

    assert not store.users


async def test_an_expired_invite_asks_for_no_password_and_so_tells_nothing_about_accounts(
    store: MemoryStore, accept_invite: AcceptInvite, passwords: PlainPasswords, clock: MovableClock, invited: Invited
) -> None:
    store.add(user("Bo", "bo@acme.test", password="another password"))
    command = await invited("bo@acme.test")
    clock.advance(timedelta(hours=24))

    with pytest.raises(InviteExpired):
        await accept_invite(command)

    assert not passwords.compared


async def test_an_invite_that_made_way_for_another_has_expired(
    accept_invite: AcceptInvite, clock: MovableClock, invited: Invited
) -> None:
    first = await invited("bo@acme.test")
    clock.advance(timedelta(hours=24))
    second = await invited("bo@acme.test")

    with pytest.raises(InviteExpired):
        await accept_invite(first)
    await accept_invite(second)


async def test_a_plan_that_has_shrunk_since_refuses_and_leaves_nothing_behind(
    store: MemoryStore,
    accept_invite: AcceptInvite,
    notifier: RecordingNotifier,
    acme: Organisation,
    invited: Invited,
) -> None:
    command = await invited("bo@acme.test")
    full = store.organisations[acme.id]
    full.members = 3
    store.add(full)

    with pytest.raises(SeatLimitReached):
        await accept_invite(command)

    assert not store.users
    assert not store.memberships
    assert len(store.activities) == len(notifier.published) == 1
    assert [note.status for note in store.invites.values()] == [InviteStatus.PENDING]


async def test_a_full_organisation_refuses_before_it_costs_a_hash(
    store: MemoryStore, accept_invite: AcceptInvite, passwords: PlainPasswords, acme: Organisation, invited: Invited
) -> None:
    store.add(user("Bo", "bo@acme.test"))
    commands = [await invited(email) for email in ("bo@acme.test", "cy@acme.test")]
    full = store.organisations[acme.id]
    full.members = 3
    store.add(full)

    for command in commands:
        with pytest.raises(SeatLimitReached):
            await accept_invite(command)

    assert not passwords.hashed
    assert not passwords.compared


async def test_seats_are_never_oversold(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    pro = store.organisations[acme.id]
    pro.plan = Plan.PRO
    store.add(pro)
    commands = [await invited(f"{number}@acme.test") for number in range(8)]
    free = store.organisations[acme.id]
    free.plan = Plan.FREE
    store.add(free)

    outcomes = await asyncio.gather(*map(accept_invite, commands), return_exceptions=True)

    assert sum(isinstance(outcome, SeatLimitReached) for outcome in outcomes) == 6
    assert store.organisations[acme.id].members == 3
    assert len(store.memberships) == len(store.users) == 2


async def test_somebody_who_became_a_member_meanwhile_is_not_added_twice(
    store: MemoryStore, accept_invite: AcceptInvite, acme: Organisation, invited: Invited
) -> None:
    bo = user("Bo", "bo@acme.test")
    command = await invited("bo@acme.test")
    store.add(bo)
    store.add_to(acme, membership(bo))

    with pytest.raises(AlreadyMember):
        await accept_invite(command)

    assert store.organisations[acme.id].members == 1


async def test_an_unknown_token_is_not_found(
    accept_invite: AcceptInvite, tokens: JwtTokens, acme: Organisation
) -> None:
    strangers = [tokens.new_invite(acme.id)[0], tokens.new_invite(OrganisationId(new_id()))[0], "nonsense", ""]
    for token in strangers:
        with pytest.raises(NotFound, match="This invite does not exist or was already used"):
            await accept_invite(AcceptInviteCommand(token=token, name="Bo", password=PASSWORD))


@pytest.mark.parametrize(("name", "password", "field"), [(" ", PASSWORD, "name"), ("Bo", "short", "password")])
async def test_a_value_that_breaks_a_rule_is_named(
    accept_invite: AcceptInvite, invited: Invited, name: str, password: str, field: str
) -> None:
    command = await invited("bo@acme.test")

    with pytest.raises(InvalidValue) as refusal:
        await accept_invite(AcceptInviteCommand(token=command.token, name=name, password=password))

    assert refusal.value.field == field
