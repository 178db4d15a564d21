"""Organisation: its seats and its plan."""

from dataclasses import dataclass
from datetime import datetime

from saas.domain.errors import AlreadyOnPlan, PlanTooSmall
from saas.domain.events import PlanDowngraded, PlanUpgraded
from saas.domain.plans import Plan
from saas.domain.values import OrganisationId, Person


@dataclass(slots=True, kw_only=True)
class Organisation:
    """One tenant, with the counts its seat rules need; to be decided on only while its row is locked."""

    id: OrganisationId
    name: str
    slug: str
    plan: Plan
    members: int
    reserved: int
    """Seats promised by unexpired invites."""
    created_at: datetime

    @classmethod
    def create(cls, organisation_id: OrganisationId, name: str, *, at: datetime) -> "Organisation":
        """A new organisation on the FREE plan with its first member; its slug is chosen when it is stored."""
        return cls(id=organisation_id, name=name, slug="", plan=Plan.FREE, members=1, reserved=0, created_at=at)

    def reserve(self) -> None:
        """Promise a seat to an invite. Raises `SeatLimitReached`."""
        self.plan.require_seats_for(self.members + self.reserved + 1)
        self.reserved += 1

    def admit(self) -> None:
        """The holder of an invite takes a seat; the plan may have shrunk since the invite went out.

        Only members count here: the promise being redeemed is one of the reserved seats, and among
        promises that no longer all fit the first to come is served. Raises `SeatLimitReached`.
        """
        self.plan.require_seats_for(self.members + 1)
        self.members += 1
        self.reserved -= 1

    def release(self) -> None:
        """A member leaves and the seat is free again."""
        self.members -= 1

    def change_plan(self, plan: Plan, *, by: Person, at: datetime) -> PlanUpgraded | PlanDowngraded:
        """Move to another plan. Raises `AlreadyOnPlan`, or `PlanTooSmall` naming what blocks a smaller one."""
        before = self.plan
        if plan is before:
            raise AlreadyOnPlan(plan)
        if plan.seats is not None and not plan.holds(self.members + self.reserved):
            raise PlanTooSmall(plan, plan.seats, self.members, self.reserved)
        self.plan = plan
        change = PlanUpgraded if plan.is_above(before) else PlanDowngraded
        return change(actor=by, before=before, after=plan, at=at)
