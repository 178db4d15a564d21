"""Changing the plan, up or down."""

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.application.upgrade_plan import UpgradePlan
from saas.domain.errors import AdminOnly, AlreadyOnPlan, PlanTooSmall
from saas.domain.events import PlanDowngraded, PlanUpgraded
from saas.domain.plans import Plan
from tests.scene import NOW, admin_of, invite, member_of, organisation


async def test_an_upgrade_is_stored_logged_and_published(
    store: MemoryStore, upgrade_plan: UpgradePlan, notifier: RecordingNotifier
) -> None:
    acme = organisation()
    store.add(acme)
    ada = admin_of(acme)

    view = await upgrade_plan(ada, Plan.PRO)

    [activity] = store.activities
    assert (view.subscription_plan, view.member_limit) == (Plan.PRO, 10)
    assert store.organisations[acme.id].plan is Plan.PRO
    assert activity.event == PlanUpgraded(actor=ada.person, before=Plan.FREE, after=Plan.PRO, at=NOW)
    assert notifier.published == [activity]


async def test_a_downgrade_is_called_one(store: MemoryStore, upgrade_plan: UpgradePlan) -> None:
    acme = organisation(plan=Plan.ENTERPRISE)
    store.add(acme)
    ada = admin_of(acme)

    await upgrade_plan(ada, Plan.FREE)

    [activity] = store.activities
    assert activity.event == PlanDowngraded(actor=ada.person, before=Plan.ENTERPRISE, after=Plan.FREE, at=NOW)


async def test_a_downgrade_that_promised_seats_do_not_fit_leaves_nothing_behind(
    store: MemoryStore, upgrade_plan: UpgradePlan, notifier: RecordingNotifier
) -> None:
    acme = organisation(members=2, plan=Plan.PRO)
    store.add(acme)
    store.add_to(acme, invite("bo@acme.test"), invite("cy@acme.test"))

    with pytest.raises(PlanTooSmall, match="2 are taken by members and 2 promised"):
        await upgrade_plan(admin_of(acme), Plan.FREE)

    assert store.organisations[acme.id].plan is Plan.PRO
    assert not store.activities
    assert not notifier.published


async def test_the_plan_one_is_on_is_refused(store: MemoryStore, upgrade_plan: UpgradePlan) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(AlreadyOnPlan):
        await upgrade_plan(admin_of(acme), Plan.FREE)

    assert not store.activities


async def test_only_admins_change_the_plan(store: MemoryStore, upgrade_plan: UpgradePlan) -> None:
    acme = organisation()
    store.add(acme)

    with pytest.raises(AdminOnly):
        await upgrade_plan(member_of(acme), Plan.PRO)

    assert store.organisations[acme.id].plan is Plan.FREE
