"""Who may remove whom, and who may have which role."""

from datetime import timedelta

import pytest

from saas.domain.errors import AlreadyInRole, CannotRemoveAdmin, CannotRemoveYourself, LastAdmin
from saas.domain.events import UserRemoved, UserRoleChanged
from saas.domain.values import Person, Role
from tests.scene import NOW, membership, user


def test_an_admin_removes_a_member() -> None:
    ada, bo = user("Ada"), user("Bo")

    removed = membership(bo).remove(by=ada.person, at=NOW)

    assert removed == UserRemoved(actor=ada.person, target=bo.person, at=NOW)


def test_an_admin_has_to_be_demoted_first() -> None:
    with pytest.raises(CannotRemoveAdmin, match="Change their role to MEMBER first"):
        membership(user("Bo"), Role.ADMIN).remove(by=user("Ada").person, at=NOW)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_removes_themselves(role: Role) -> None:
    ada = user("Ada")

    with pytest.raises(CannotRemoveYourself):
        membership(ada, role).remove(by=ada.person, at=NOW)


@pytest.mark.parametrize(("before", "after"), [(Role.MEMBER, Role.ADMIN), (Role.ADMIN, Role.MEMBER)])
def test_a_role_is_changed_to_the_other(before: Role, after: Role) -> None:
    ada, bo = user("Ada"), user("Bo")
    place = membership(bo, before, at=NOW - timedelta(days=1))

    changed = place.change_role(after, by=ada.person, admins=2, at=NOW)

    assert changed == UserRoleChanged(actor=ada.person, target=bo.person, before=before, after=after, at=NOW)
    assert (place.role, place.joined_at, place.updated_at) == (after, NOW - timedelta(days=1), NOW)


def test_the_first_admin_may_make_a_second() -> None:
    place = membership(user("Bo"))

    place.change_role(Role.ADMIN, by=user("Ada").person, admins=1, at=NOW)

    assert place.role is Role.ADMIN


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_not_changed_to_what_it_is(role: Role) -> None:
    with pytest.raises(AlreadyInRole, match=f"{role} already"):
        membership(user("Bo"), role).change_role(role, by=user("Ada").person, admins=1, at=NOW)


def test_the_last_admin_stays_one() -> None:
    ada = user("Ada")
    place = membership(ada, Role.ADMIN)

    with pytest.raises(LastAdmin, match="Change another member's role to ADMIN first"):
        place.change_role(Role.MEMBER, by=ada.person, admins=1, at=NOW + timedelta(days=1))

    assert place == membership(ada, Role.ADMIN)


def test_events_name_a_user_by_what_is_public() -> None:
    ada = user("Ada")

    assert ada.person == Person(ada.id, "Ada", ada.email)
