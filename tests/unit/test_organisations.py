"""Plans and their seats: who fits in, and what changes when the plan does."""

import pytest

from saas.domain.errors import AlreadyOnPlan, PlanTooSmall, SeatLimitReached
from saas.domain.events import PlanDowngraded, PlanUpgraded
from saas.domain.plans import Plan
from tests.scene import NOW, organisation, user


@pytest.mark.parametrize(("plan", "seats"), [(Plan.FREE, 3), (Plan.PRO, 10), (Plan.ENTERPRISE, None)])
def test_each_plan_has_its_seats(plan: Plan, seats: int | None) -> None:
    assert plan.seats == seats


@pytest.mark.parametrize(("plan", "seats"), [(Plan.FREE, 3), (Plan.PRO, 10)])
def test_a_plan_holds_as_many_people_as_it_has_seats(plan: Plan, seats: int) -> None:
    assert plan.holds(seats)
    assert not plan.holds(seats + 1)


def test_an_unlimited_plan_holds_any_number_of_people() -> None:
    assert Plan.ENTERPRISE.holds(1_000_000)


def test_plans_are_in_order() -> None:
    assert Plan.ENTERPRISE.is_above(Plan.PRO)
    assert Plan.PRO.is_above(Plan.FREE)
    assert not Plan.FREE.is_above(Plan.PRO)
    assert not Plan.PRO.is_above(Plan.PRO)


def test_every_free_seat_can_be_promised_once() -> None:
    acme = organisation(members=1)
    acme.reserve()
    acme.reserve()

    with pytest.raises(SeatLimitReached, match="All 3 seats of the FREE plan are taken or promised"):
        acme.reserve()

    assert (acme.members, acme.reserved) == (1, 2)


def test_an_unlimited_plan_always_has_a_seat_to_promise() -> None:
    acme = organisation(members=500, plan=Plan.ENTERPRISE)

    acme.reserve()

    assert acme.reserved == 1


def test_an_admitted_person_takes_the_seat_that_was_promised() -> None:
    acme = organisation(members=2, reserved=1)

    acme.admit()

    assert (acme.members, acme.reserved) == (3, 0)


def test_nobody_is_admitted_when_members_have_taken_every_seat() -> None:
    acme = organisation(members=3, reserved=1)

    with pytest.raises(SeatLimitReached):
        acme.admit()

    assert (acme.members, acme.reserved) == (3, 1)


def test_among_promises_that_no_longer_all_fit_the_first_to_come_is_served() -> None:
    acme = organisation(members=2, reserved=4)

    acme.admit()

    with pytest.raises(SeatLimitReached):
        acme.admit()


def test_a_seat_somebody_left_can_be_promised_again() -> None:
    acme = organisation(members=3)

    acme.release()
    acme.reserve()

    assert (acme.members, acme.reserved) == (2, 1)


@pytest.mark.parametrize(
    ("before", "after"), [(Plan.FREE, Plan.PRO), (Plan.PRO, Plan.ENTERPRISE), (Plan.FREE, Plan.ENTERPRISE)]
)
def test_a_larger_plan_is_an_upgrade(before: Plan, after: Plan) -> None:
    acme, ada = organisation(plan=before), user().person

    assert acme.change_plan(after, by=ada, at=NOW) == PlanUpgraded(actor=ada, before=before, after=after, at=NOW)
    assert acme.plan is after


@pytest.mark.parametrize(
    ("before", "after"), [(Plan.PRO, Plan.FREE), (Plan.ENTERPRISE, Plan.PRO), (Plan.ENTERPRISE, Plan.FREE)]
)
def test_a_smaller_plan_is_a_downgrade(before: Plan, after: Plan) -> None:
    acme, ada = organisation(plan=before), user().person

    assert acme.change_plan(after, by=ada, at=NOW) == PlanDowngraded(actor=ada, before=before, after=after, at=NOW)
    assert acme.plan is after


def test_the_plan_one_is_on_is_no_change() -> None:
    with pytest.raises(AlreadyOnPlan, match="already on the PRO plan"):
        organisation(plan=Plan.PRO).change_plan(Plan.PRO, by=user().person, at=NOW)


def test_a_smaller_plan_must_hold_the_promised_seats_too() -> None:
    acme = organisation(members=2, reserved=2, plan=Plan.PRO)

    with pytest.raises(PlanTooSmall, match="FREE plan has 3 seats, but 2 are taken by members and 2 promised"):
        acme.change_plan(Plan.FREE, by=user().person, at=NOW)

    assert acme.plan is Plan.PRO


def test_a_smaller_plan_that_just_fits_is_allowed() -> None:
    acme = organisation(members=2, reserved=1, plan=Plan.PRO)

    acme.change_plan(Plan.FREE, by=user().person, at=NOW)

    assert acme.plan is Plan.FREE
