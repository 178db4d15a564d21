"""Inviting promises a seat to an address for 24 hours."""

import asyncio
from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.tokens import JwtTokens
from saas.application.invite_user import InviteUser, InviteUserCommand
from saas.domain.errors import AdminOnly, AlreadyInvited, AlreadyMember, InvalidValue, NotFound, SeatLimitReached
from saas.domain.events import InviteLapsed, InviteSent
from saas.domain.invites import InviteStatus
from saas.domain.plans import Plan
from saas.domain.values import Role
from tests.scene import NOW, MovableClock, admin_of, invite, member_of, membership, organisation, user

BO = InviteUserCommand(email="bo@acme.test")


async def test_an_address_is_promised_a_seat_for_24_hours(store: MemoryStore, invite_user: InviteUser) -> None:
    acme = organisation()
    store.add(acme)

    note, _ = await invite_user(admin_of(acme), InviteUserCommand(email="Bo@Acme.test", role=Role.ADMIN))

    assert store.invites[acme.id, note.id] == note
    assert (note.email, note.role, note.status) == ("bo@acme.test", Role.ADMIN, InviteStatus.PENDING)
    assert (note.created_at, note.expires_at) == (NOW, NOW + timedelta(hours=24))


async def test_who_is_invited_becomes_a_member_unless_said_otherwise(
    store: MemoryStore, invite_user: InviteUser
) -> None:
    acme = organisation()
    store.add(acme)

    note, _ = await invite_user(admin_of(acme), BO)

    assert note.role is Role.MEMBER


async def test_the_token_leads_to_the_invite_and_is_not_stored(
    store: MemoryStore, invite_user: InviteUser, tokens: JwtTokens
) -> None:
    acme = organisation()
    store.add(acme)

    note, token = await invite_user(admin_of(acme), BO)

    assert tokens.read_invite(token) == (acme.id, note.token_digest)
    assert token not in repr(store.invites)


async def test_an_invite_is_logged_and_published(
    store: MemoryStore, invite_user: InviteUser, notifier: RecordingNotifier
) -> None:
    acme = organisation()
    store.add(acme)
    ada = admin_of(acme)

    note, _ = await invite_user(ada, BO)

    [activity] = store.activities
    assert activity.event == InviteSent(
        actor=ada.person, invite_id=note.id, email=note.email, role=note.role, expires_at=note.expires_at, at=NOW
    )
    assert notifier.published == [activity]


async def test_a_full_plan_refuses_and_leaves_nothing_behind(
    store: MemoryStore, invite_user: InviteUser, notifier: RecordingNotifier
) -> None:
    acme = organisation(members=3, plan=Plan.FREE)
    store.add(acme)

    with pytest.raises(SeatLimitReached, match="FREE"):
        await invite_user(admin_of(acme), BO)

    assert not store.invites
    assert not store.activities
    assert not notifier.published


async def test_promised_seats_count(store: MemoryStore, invite_user: InviteUser) -> None:
    acme = organisation(members=1)
    store.add(acme)
    for name in ("bo", "cy"):
        await invite_user(admin_of(acme), InviteUserCommand(email=f"{name}@acme.test"))

    with pytest.raises(SeatLimitReached):
        await invite_user(admin_of(acme), InviteUserCommand(email="di@acme.test"))


async def test_promised_seats_count_however_many_ask_at_once(store: MemoryStore, invite_user: InviteUser) -> None:
    acme = organisation(members=1)
    store.add(acme)

    outcomes = await asyncio.gather(
        *(invite_user(admin_of(acme), InviteUserCommand(email=f"{n}@acme.test")) for n in range(8)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, SeatLimitReached) for outcome in outcomes) == 6
    assert len(store.invites) == 2


async def test_a_promise_that_expired_is_a_free_seat(
    store: MemoryStore, invite_user: InviteUser, clock: MovableClock
) -> None:
    acme = organisation(members=2)
    store.add(acme)
    await invite_user(admin_of(acme), BO)
    clock.advance(timedelta(hours=24))

    await invite_user(admin_of(acme), InviteUserCommand(email="cy@acme.test"))

    assert len(store.invites) == 2


@pytest.mark.parametrize("email", ["bo@acme.test", "BO@acme.test"])
async def test_a_member_is_not_invited_again(store: MemoryStore, invite_user: InviteUser, email: str) -> None:
    acme, bo = organisation(members=2), user("Bo", "bo@acme.test")
    store.add(acme, bo)
    store.add_to(acme, membership(bo))

    with pytest.raises(AlreadyMember):
        await invite_user(admin_of(acme), InviteUserCommand(email=email))


async def test_a_member_of_another_organisation_may_be_invited(store: MemoryStore, invite_user: InviteUser) -> None:
    acme, beta, bo = organisation("Acme"), organisation("Beta"), user("Bo", "bo@acme.test")
    store.add(acme, beta, bo)
    store.add_to(beta, membership(bo))

    await invite_user(admin_of(acme), BO)

    assert len(store.invites) == 1


@pytest.mark.parametrize("email", ["bo@acme.test", "BO@acme.test"])
async def test_an_open_invite_is_not_doubled(store: MemoryStore, invite_user: InviteUser, email: str) -> None:
    acme = organisation()
    store.add(acme)
    await invite_user(admin_of(acme), BO)

    with pytest.raises(AlreadyInvited):
        await invite_user(admin_of(acme), InviteUserCommand(email=email))

    assert len(store.invites) == len(store.activities) == 1


async def test_invites_of_several_organisations_do_not_block_one_another(
    store: MemoryStore, invite_user: InviteUser
) -> None:
    acme, beta = organisation("Acme"), organisation("Beta")
    store.add(acme, beta)

    await invite_user(admin_of(acme), BO)
    await invite_user(admin_of(beta), BO)

    assert {organisation_id for organisation_id, _ in store.invites} == {acme.id, beta.id}


async def test_an_expired_invite_makes_way_and_its_expiry_is_logged_first(
    store: MemoryStore, invite_user: InviteUser, notifier: RecordingNotifier
) -> None:
    acme, late = organisation(), invite("bo@acme.test", at=NOW - timedelta(hours=24))
    store.add(acme)
    store.add_to(acme, late)

    note, _ = await invite_user(admin_of(acme), BO)

    lapsed, sent = store.activities
    assert lapsed.event == InviteLapsed(invite_id=late.id, email=late.email, at=NOW)
    assert isinstance(sent.event, InviteSent)
    assert (lapsed.seq, sent.seq) == (1, 2)
    assert notifier.published == [lapsed, sent]
    assert store.invites[acme.id, late.id].status is InviteStatus.EXPIRED
    assert store.invites[acme.id, note.id].status is InviteStatus.PENDING


async def test_an_expired_invite_that_cannot_make_way_to_a_full_plan_stays_as_it_was(
    store: MemoryStore, invite_user: InviteUser
) -> None:
    acme, late = organisation(members=3), invite("bo@acme.test", at=NOW - timedelta(hours=24))
    store.add(acme)
    store.add_to(acme, late)

    with pytest.raises(SeatLimitReached):
        await invite_user(admin_of(acme), BO)

    assert store.invites[acme.id, late.id] == late
    assert not store.activities


async def test_only_admins_invite(store: MemoryStore, invite_user: InviteUser) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(AdminOnly):
        await invite_user(member_of(acme), BO)

    assert not store.invites


async def test_something_that_is_no_address_is_refused(store: MemoryStore, invite_user: InviteUser) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(InvalidValue):
        await invite_user(admin_of(acme), InviteUserCommand(email="bo"))


async def test_an_organisation_that_is_gone_is_not_found(invite_user: InviteUser) -> None:
    with pytest.raises(NotFound):
        await invite_user(admin_of(organisation()), BO)
