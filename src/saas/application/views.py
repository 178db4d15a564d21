"""What reads return and clients see: flat structs, filled straight from rows, in camelCase on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import msgspec

from saas.application.payloads import Moment, describe
from saas.domain.errors import NoOrganisation, NotFound
from saas.domain.events import Activity
from saas.domain.invites import Invite
from saas.domain.members import Membership, User
from saas.domain.organisations import Organisation
from saas.domain.plans import Plan
from saas.domain.values import ActivityId, OrganisationId, Person, Role, UserId

Key = TypeVar("Key")

_encoder = msgspec.json.Encoder()


class View(msgspec.Struct, frozen=True, rename="camel"):
    """The base of all views."""


class PersonView(View, frozen=True):
    """Somebody an activity names; they may have left since."""

    id: UserId
    name: str
    email: str

    @classmethod
    def of(cls, person: Person) -> Self:
        """The person as a view."""
        return cls(person.id, person.name, person.email)


class OrganisationView(View, frozen=True):
    """An organisation as its members see it."""

    id: OrganisationId
    name: str
    slug: str
    subscription_plan: Plan
    member_count: int
    member_limit: int | None
    """None is unlimited."""
    created_at: Moment

    @classmethod
    def of(cls, organisation: Organisation) -> Self:
        """The organisation as a view."""
        return cls(
            id=organisation.id,
            name=organisation.name,
            slug=organisation.slug,
            subscription_plan=organisation.plan,
            member_count=organisation.members,
            member_limit=organisation.plan.seats,
            created_at=organisation.created_at,
        )


class MemberView(View, frozen=True):
    """A member as an admin sees them."""

    id: UserId
    email: str
    name: str
    role: Role
    organisation_id: OrganisationId
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, membership: Membership, organisation_id: OrganisationId) -> Self:
        """The membership as a view, the same one that the list of members shows."""
        return cls(
            id=membership.person.id,
            email=membership.person.email,
            name=membership.person.name,
            role=membership.role,
            organisation_id=organisation_id,
            created_at=membership.joined_at,
            updated_at=membership.updated_at,
        )


class ActivityView(View, frozen=True):
    """One entry of the feed; `metadata` is the payload that the live channel sent."""

    id: ActivityId
    seq: int
    type: str
    message: str
    metadata: msgspec.Raw
    actor: PersonView | None
    target: PersonView | None
    created_at: Moment

    @classmethod
    def of(cls, activity: Activity) -> Self:
        """The activity as a view, the same one that reading the log would give."""
        message, payload, actor, target = describe(activity.event)
        return cls(
            id=activity.id,
            seq=activity.seq,
            type=payload.type,
            message=message,
            metadata=msgspec.Raw(_encoder.encode(payload)),
            actor=PersonView.of(actor) if actor else None,
            target=PersonView.of(target) if target else None,
            created_at=activity.event.at,
        )


class Affiliation(View, frozen=True):
    """An organisation a person belongs to."""

    id: OrganisationId
    name: str
    slug: str
    role: Role
    subscription_plan: Plan


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invite with all that accepting it depends on, as it was at some moment."""

    invite: Invite
    plan: Plan
    members: int
    account: User | None
    """Of the invited address."""


def choose(affiliations: Sequence[Affiliation], wanted: OrganisationId | None) -> Affiliation:
    """The organisation to speak for: the wanted one, else the first. Raises `NotFound` or `NoOrganisation`."""
    if not affiliations:
        raise NoOrganisation
    if wanted is None:
        return affiliations[0]
    for affiliation in affiliations:
        if affiliation.id == wanted:
            return affiliation
    raise NotFound("organisation")


@dataclass(frozen=True, slots=True)
class PageRequest(Generic[Key]):
    """At most `limit` items that come after the key `after`."""

    limit: int
    after: Key | None = None
