"""An invite promises a seat for 24 hours and is used at most once."""

from datetime import timedelta

import pytest

from saas.domain.errors import AlreadyInvited, InviteExpired, NotFound
from saas.domain.events import InviteAccepted, InviteLapsed, InviteSent
from saas.domain.invites import INVITE_LIFETIME, InviteStatus
from saas.domain.values import Role
from tests.scene import NOW, invite, user

LAST_MOMENT = NOW + INVITE_LIFETIME - timedelta(microseconds=1)
TOO_LATE = NOW + INVITE_LIFETIME


def test_an_invite_lasts_24_hours() -> None:
    assert timedelta(hours=24) == INVITE_LIFETIME


def test_an_invite_goes_out() -> None:
    ada, note = user("Ada").person, invite(role=Role.ADMIN)

    assert note.sent(by=ada) == InviteSent(
        actor=ada, invite_id=note.id, email=note.email, role=Role.ADMIN, expires_at=NOW + INVITE_LIFETIME, at=NOW
    )


def test_an_invite_is_accepted_until_the_last_moment() -> None:
    bo, note = user("Bo").person, invite()

    accepted = note.accept(by=bo, at=LAST_MOMENT)

    assert accepted == InviteAccepted(actor=bo, invite_id=note.id, email=note.email, at=LAST_MOMENT)
    assert note.status is InviteStatus.ACCEPTED


def test_an_invite_is_accepted_once() -> None:
    note = invite()
    note.accept(by=user("Bo").person, at=NOW)

    with pytest.raises(NotFound, match="This invite does not exist or was already used"):
        note.accept(by=user("Bo").person, at=NOW)


def test_a_used_invite_stays_used_after_its_24_hours() -> None:
    with pytest.raises(NotFound):
        invite(status=InviteStatus.ACCEPTED).require_open(TOO_LATE)


def test_an_invite_is_not_accepted_after_24_hours() -> None:
    note = invite()

    with pytest.raises(InviteExpired):
        note.accept(by=user("Bo").person, at=TOO_LATE)

    assert note.status is InviteStatus.PENDING


def test_an_invite_marked_expired_cannot_be_accepted() -> None:
    note = invite(status=InviteStatus.EXPIRED)

    with pytest.raises(InviteExpired):
        note.accept(by=user("Bo").person, at=NOW)


def test_an_expired_invite_is_marked_so() -> None:
    note = invite()

    lapsed = note.expire(at=TOO_LATE)

    assert lapsed == InviteLapsed(invite_id=note.id, email=note.email, at=TOO_LATE)
    assert note.status is InviteStatus.EXPIRED


def test_an_invite_that_is_still_good_is_not_marked_expired() -> None:
    note = invite()

    with pytest.raises(AlreadyInvited):
        note.expire(at=LAST_MOMENT)

    assert note.status is InviteStatus.PENDING
