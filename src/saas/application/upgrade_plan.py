"""Change the organisation's plan."""

from dataclasses import dataclass

from saas.application.actor import Actor
from saas.application.ports import Begin, Clock, Notifier
from saas.application.views import OrganisationView
from saas.domain.plans import Plan


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """Move to another plan, up or down; no payment is involved."""

    begin: Begin
    notifier: Notifier
    clock: Clock

    async def __call__(self, actor: Actor, plan: Plan) -> OrganisationView:
        """Raises `AdminOnly`, `AlreadyOnPlan` or `PlanTooSmall`."""
        actor.require_admin()
        async with self.begin() as work:
            tenant = await work.tenant(actor.organisation_id)
            changed = tenant.organisation.change_plan(plan, by=actor.person, at=self.clock())
            activities = await tenant.record(changed)
        await self.notifier.publish(activities)
        return OrganisationView.of(tenant.organisation)
