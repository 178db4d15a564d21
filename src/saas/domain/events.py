"""What can happen in an organisation. Event is a closed union: mypy fails until a new one has a payload."""

from dataclasses import dataclass
from datetime import datetime

from saas.domain.plans import Plan
from saas.domain.values import ActivityId, Email, InviteId, OrganisationId, Person, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationCreated:
    """A person registered and got an organisation of their own."""

    actor: Person
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserJoined:
    """A person became a member."""

    actor: Person
    role: Role
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRemoved:
    """An admin removed a member."""

    actor: Person
    target: Person
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRoleChanged:
    """An admin changed the role of a member, who may be the admin themselves."""

    actor: Person
    target: Person
    before: Role
    after: Role
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanUpgraded:
    """The organisation moved to a larger plan."""

    actor: Person
    before: Plan
    after: Plan
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDowngraded:
    """The organisation moved to a smaller plan."""

    actor: Person
    before: Plan
    after: Plan
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBroadcast:
    """An admin said something to everyone."""

    actor: Person
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteSent:
    """A seat was promised to an address."""

    actor: Person
    invite_id: InviteId
    email: Email
    role: Role
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteAccepted:
    """The invited person used their invite; `UserJoined` follows."""

    actor: Person
    invite_id: InviteId
    email: Email
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteLapsed:
    """An invite expired unused. It has no actor."""

    invite_id: InviteId
    email: Email
    at: datetime


Event = (
    OrganisationCreated
    | UserJoined
    | UserRemoved
    | UserRoleChanged
    | PlanUpgraded
    | PlanDowngraded
    | MessageBroadcast
    | InviteSent
    | InviteAccepted
    | InviteLapsed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An event with its place in the organisation's log.

    `seq` counts 1, 2, 3, ... within the organisation, without gaps, in the order of commits.
    """

    id: ActivityId
    organisation_id: OrganisationId
    seq: int
    event: Event
