"""Who may remove whom."""

import pytest

from saas.domain.errors import CannotRemoveAdmin, CannotRemoveYourself
from saas.domain.events import UserRemoved
from saas.domain.values import Person, Role
from tests.scene import NOW, membership, user


def test_an_admin_removes_a_member() -> None:
    ada, bo = user("Ada"), user("Bo")

    removed = membership(bo).remove(by=ada.person, at=NOW)

    assert removed == UserRemoved(actor=ada.person, target=bo.person, at=NOW)


def test_an_admin_has_to_be_demoted_first() -> None:
    with pytest.raises(CannotRemoveAdmin, match="Demote them"):
        membership(user("Bo"), Role.ADMIN).remove(by=user("Ada").person, at=NOW)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_removes_themselves(role: Role) -> None:
    ada = user("Ada")

    with pytest.raises(CannotRemoveYourself):
        membership(ada, role).remove(by=ada.person, at=NOW)


def test_events_name_a_user_by_what_is_public() -> None:
    ada = user("Ada")

    assert ada.person == Person(ada.id, "Ada", ada.email)
