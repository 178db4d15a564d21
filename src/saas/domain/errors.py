"""Everything the rules can refuse, as one small tree: each error has a kind, a stable code and says what to do."""

from enum import Enum, auto
from typing import ClassVar


class Kind(Enum):
    """What sort of refusal it is; the outside decides how each kind is shown."""

    REFUSED = auto()
    INVALID = auto()
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    CONFLICT = auto()
    GONE = auto()
    UNAVAILABLE = auto()


class SaasError(Exception):
    """A refusal that is part of the product; `str(error)` is safe to show to whoever asked."""

    kind: ClassVar[Kind]
    code: ClassVar[str]


class InvalidValue(SaasError):
    """A value breaks a rule; `field` names it as the client does."""

    kind = Kind.INVALID
    code = "invalid_value"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAuthenticated(SaasError):
    """No token, or one that is malformed, expired or revoked."""

    kind = Kind.UNAUTHENTICATED
    code = "not_authenticated"


class WrongCredentials(SaasError):
    """Unknown e-mail or wrong password: on purpose nobody can tell which."""

    kind = Kind.UNAUTHENTICATED
    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("E-mail or password is wrong. Check both and try again.")


class SessionEnded(SaasError):
    """The session was logged out, expired, or ended because an old refresh token came back."""

    kind = Kind.UNAUTHENTICATED
    code = "session_ended"

    def __init__(self) -> None:
        super().__init__("This session has ended. Log in again.")


class NoOrganisation(SaasError):
    """The credentials are right, but the person belongs nowhere any more."""

    kind = Kind.FORBIDDEN
    code = "no_organisation"

    def __init__(self) -> None:
        super().__init__("You do not belong to any organisation. Ask an admin of yours for an invite.")


class AdminOnly(SaasError):
    """The role does not allow it."""

    kind = Kind.FORBIDDEN
    code = "admin_only"

    def __init__(self) -> None:
        super().__init__("Only an admin of the organisation may do this. Ask one of your admins.")


class SeatLimitReached(SaasError):
    """Every seat of the plan is taken by a member or promised to an unexpired invite."""

    kind = Kind.FORBIDDEN
    code = "seat_limit_reached"

    def __init__(self, plan: str, seats: int) -> None:
        super().__init__(
            f"All {seats} seats of the {plan} plan are taken or promised. "
            "Upgrade the plan, remove a member or wait for an invite to expire."
        )


class CannotRemoveAdmin(SaasError):
    """Admins are demoted before they are removed."""

    kind = Kind.FORBIDDEN
    code = "cannot_remove_admin"

    def __init__(self) -> None:
        super().__init__("An admin cannot be removed. Change their role to MEMBER first, then remove them.")


class CannotRemoveYourself(SaasError):
    """Removing is something one member does to another."""

    kind = Kind.REFUSED
    code = "cannot_remove_yourself"

    def __init__(self) -> None:
        super().__init__(
            "You cannot remove yourself. Change your own role to MEMBER, then ask another admin to remove you."
        )


class AlreadyInRole(SaasError):
    """The member has this role already."""

    kind = Kind.REFUSED
    code = "already_in_role"

    def __init__(self, role: str) -> None:
        super().__init__(f"This member's role is {role} already. There is nothing to change.")


class LastAdmin(SaasError):
    """The change would leave the organisation without an admin."""

    kind = Kind.CONFLICT
    code = "last_admin"

    def __init__(self) -> None:
        super().__init__(
            "This is the only admin of the organisation. Change another member's role to ADMIN first, "
            "or invite somebody as ADMIN."
        )


class AlreadyOnPlan(SaasError):
    """The organisation has this plan already."""

    kind = Kind.REFUSED
    code = "already_on_plan"

    def __init__(self, plan: str) -> None:
        super().__init__(f"The organisation is already on the {plan} plan. Choose another, or leave it as it is.")


class PlanTooSmall(SaasError):
    """The smaller plan does not hold the seats in use."""

    kind = Kind.CONFLICT
    code = "plan_too_small"

    def __init__(self, plan: str, seats: int, members: int, reserved: int) -> None:
        super().__init__(
            f"The {plan} plan has {seats} seats, but {members} are taken by members and {reserved} promised to "
            "open invites. Remove members, or wait for invites to expire, until they fit."
        )


class EmailInUse(SaasError):
    """Somebody has registered with this e-mail, in whatever letter case."""

    kind = Kind.CONFLICT
    code = "email_in_use"

    def __init__(self) -> None:
        super().__init__("This e-mail is already registered. Log in instead.")


class AlreadyMember(SaasError):
    """The person belongs to the organisation already."""

    kind = Kind.CONFLICT
    code = "already_member"

    def __init__(self) -> None:
        super().__init__("This person is already a member of the organisation and needs no invite.")


class AlreadyInvited(SaasError):
    """An unexpired invite to this address is open."""

    kind = Kind.CONFLICT
    code = "already_invited"

    def __init__(self) -> None:
        super().__init__("This address already has an open invite. Wait until it is accepted or expires.")


class AccountExists(SaasError):
    """The invited person has an account and gave a password that is not its password."""

    kind = Kind.CONFLICT
    code = "account_exists"

    def __init__(self) -> None:
        super().__init__("This e-mail has an account already. Accept the invite with that account's password.")


class InviteExpired(SaasError):
    """The invite was good once."""

    kind = Kind.GONE
    code = "invite_expired"

    def __init__(self) -> None:
        super().__init__("This invite has expired. Ask an admin of the organisation for a new one.")


class NotFound(SaasError):
    """It is not there, or it is another organisation's: on purpose nobody can tell which."""

    kind = Kind.NOT_FOUND
    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(_NOT_FOUND[what])


_NOT_FOUND = {
    "invite": "This invite does not exist or was already used. Ask an admin of the organisation for a new one.",
    "organisation": "You belong to no organisation with this id. Log in again to see which ones you may choose.",
    "user": "The organisation has no member with this id. The members are listed at GET /api/users.",
}


class Overloaded(SaasError):
    """A bounded queue is full; trying again shortly is likely to work."""

    kind = Kind.UNAVAILABLE
    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("The service is busy right now. Try again in a few seconds.")


class Unavailable(SaasError):
    """Something the service depends on is down or too slow."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"

    def __init__(self) -> None:
        super().__init__("The service cannot reach something it depends on. Try again in a few seconds.")
