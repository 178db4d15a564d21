"""Subscription plans and how many people each of them holds."""

from enum import StrEnum

from saas.domain.errors import SeatLimitReached


class Plan(StrEnum):
    """Subscription plans, smallest first."""

    FREE = "FREE"
    PRO = "PRO"
    ENTERPRISE = "ENTERPRISE"

    @property
    def seats(self) -> int | None:
        """How many people the plan holds; None is unlimited."""
        return _SEATS[self]

    def holds(self, people: int) -> bool:
        """Whether so many people fit."""
        return self.seats is None or people <= self.seats

    def require_seats_for(self, people: int) -> None:
        """Raises `SeatLimitReached` unless so many people fit."""
        if self.seats is not None and not self.holds(people):
            raise SeatLimitReached(self, self.seats)

    def is_above(self, other: "Plan") -> bool:
        """Whether going from `other` to this plan is an upgrade."""
        order = list(Plan)
        return order.index(self) > order.index(other)


_SEATS = {Plan.FREE: 3, Plan.PRO: 10, Plan.ENTERPRISE: None}
