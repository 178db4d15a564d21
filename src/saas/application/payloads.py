"""What an event looks like outside: its wire type, its payload and a sentence.

The one mapping for log, feed and socket. The first four payloads have the seed's exact keys.
"""

from datetime import datetime
from typing import Annotated, ClassVar, NamedTuple, assert_never

import msgspec

from saas.domain.events import (
    Event,
    InviteAccepted,
    InviteLapsed,
    InviteSent,
    MessageBroadcast,
    OrganisationCreated,
    PlanDowngraded,
    PlanUpgraded,
    UserJoined,
    UserRemoved,
    UserRoleChanged,
)
from saas.domain.plans import Plan
from saas.domain.values import InviteId, Person, Role, UserId

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339, with its zone, which is UTC in all that we write."""


class Payload(msgspec.Struct, frozen=True, rename="camel"):
    """The base of all payloads."""


class UserJoinedPayload(Payload, frozen=True):
    """A person became a member."""

    type: ClassVar[str] = "USER_JOINED"

    user_id: UserId
    name: str
    email: str
    role: Role


class UserRemovedPayload(Payload, frozen=True):
    """An admin removed a member."""

    type: ClassVar[str] = "USER_REMOVED"

    user_id: UserId
    removed_by: UserId


class UserRoleChangedPayload(
    msgspec.Struct,
    frozen=True,
    rename={"user_id": "userId", "before": "from", "after": "to", "changed_by": "changedBy"},
):
    """An admin changed the role of a member, who may be the admin themselves."""

    type: ClassVar[str] = "USER_ROLE_CHANGED"

    user_id: UserId
    before: Role
    after: Role
    changed_by: UserId


class PlanUpgradedPayload(msgspec.Struct, frozen=True, rename={"before": "from", "after": "to", "at": "upgradedAt"}):
    """The organisation moved to a larger plan."""

    type: ClassVar[str] = "PLAN_UPGRADED"

    before: Plan
    after: Plan
    at: Moment


class BroadcastMessagePayload(Payload, frozen=True):
    """An admin said something to everyone."""

    type: ClassVar[str] = "BROADCAST_MESSAGE"

    message: str
    sent_by: UserId
    sent_at: Moment


class PlanDowngradedPayload(
    msgspec.Struct, frozen=True, rename={"before": "from", "after": "to", "at": "downgradedAt"}
):
    """The organisation moved to a smaller plan."""

    type: ClassVar[str] = "PLAN_DOWNGRADED"

    before: Plan
    after: Plan
    at: Moment


class OrganisationCreatedPayload(Payload, frozen=True):
    """Somebody registered the organisation."""

    type: ClassVar[str] = "ORGANISATION_CREATED"

    name: str
    created_by: UserId


class InviteSentPayload(Payload, frozen=True):
    """A seat was promised to an address."""

    type: ClassVar[str] = "INVITE_SENT"

    invite_id: InviteId
    email: str
    role: Role
    expires_at: Moment


class InviteAcceptedPayload(Payload, frozen=True):
    """The invited person used their invite; `USER_JOINED` follows."""

    type: ClassVar[str] = "INVITE_ACCEPTED"

    invite_id: InviteId
    email: str
    user_id: UserId


class InviteExpiredPayload(Payload, frozen=True):
    """An invite went unused."""

    type: ClassVar[str] = "INVITE_EXPIRED"

    invite_id: InviteId
    email: str


AnyPayload = (
    UserJoinedPayload
    | UserRemovedPayload
    | UserRoleChangedPayload
    | PlanUpgradedPayload
    | PlanDowngradedPayload
    | BroadcastMessagePayload
    | OrganisationCreatedPayload
    | InviteSentPayload
    | InviteAcceptedPayload
    | InviteExpiredPayload
)


class Description(NamedTuple):
    """An event in words and in its public shape; its wire type is `payload.type`."""

    message: str
    payload: AnyPayload
    actor: Person | None
    target: Person | None = None


def describe(event: Event) -> Description:  # noqa: C901, PLR0911  # one case and return for each event is the point
    """The public shape of an event, which is what is stored, listed and sent."""
    match event:
        case UserJoined(actor=who, role=role):
            return Description(
                f"{who.name} joined as {role}", UserJoinedPayload(who.id, who.name, who.email, role), who
            )
        case UserRemoved(actor=by, target=who):
            return Description(f"{by.name} removed {who.name}", UserRemovedPayload(who.id, by.id), by, who)
        case UserRoleChanged(actor=by, target=who, before=before, after=after):
            sentence = f"{by.name} made {who.name} {'an' if after is Role.ADMIN else 'a'} {after}"
            return Description(sentence, UserRoleChangedPayload(who.id, before, after, by.id), by, who)
        case PlanUpgraded(actor=by, before=before, after=after, at=at):
            sentence = f"{by.name} upgraded the plan from {before} to {after}"
            return Description(sentence, PlanUpgradedPayload(before, after, at), by)
        case PlanDowngraded(actor=by, before=before, after=after, at=at):
            sentence = f"{by.name} downgraded the plan from {before} to {after}"
            return Description(sentence, PlanDowngradedPayload(before, after, at), by)
        case MessageBroadcast(actor=by, message=message, at=at):
            return Description(message, BroadcastMessagePayload(message, by.id, at), by)
        case OrganisationCreated(actor=by, name=name):
            return Description(f"{by.name} created {name}", OrganisationCreatedPayload(name, by.id), by)
        case InviteSent(actor=by, invite_id=invite_id, email=email, role=role, expires_at=expires_at):
            sentence = f"{by.name} invited {email} as {role}"
            return Description(sentence, InviteSentPayload(invite_id, email, role, expires_at), by)
        case InviteAccepted(actor=who, invite_id=invite_id, email=email):
            sentence = f"{who.name} accepted the invite to {email}"
            return Description(sentence, InviteAcceptedPayload(invite_id, email, who.id), who)
        case InviteLapsed(invite_id=invite_id, email=email):
            return Description(f"The invite to {email} expired", InviteExpiredPayload(invite_id, email), None)
    assert_never(event)
