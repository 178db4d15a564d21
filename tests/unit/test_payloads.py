"""The public shape of every event, to the letter: logs and clients keep them for years."""

from typing import get_args
from uuid import UUID

import msgspec
import pytest

from saas.application.payloads import describe
from saas.application.views import ActivityView, OrganisationView, PersonView
from saas.domain.events import (
    Activity,
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
from saas.domain.values import ActivityId, Email, InviteId, OrganisationId, Person, Role, UserId
from tests.scene import NOW, organisation

ADA_ID, BO_ID = "018f0000-0000-7000-8000-00000000000a", "018f0000-0000-7000-8000-00000000000b"
INVITE_ID = "018f0000-0000-7000-8000-00000000000c"
MOMENT = "2026-01-15T12:30:45.123456Z"
ADA = Person(UserId(UUID(ADA_ID)), "Ada", Email("ada@acme.test"))
BO = Person(UserId(UUID(BO_ID)), "Bo", Email("bo@acme.test"))
NOTE = InviteId(UUID(INVITE_ID))

SHAPES: list[tuple[Event, str, str, dict[str, str]]] = [
    (
        UserJoined(actor=BO, role=Role.MEMBER, at=NOW),
        "USER_JOINED",
        "Bo joined as MEMBER",
        {"userId": BO_ID, "name": "Bo", "email": "bo@acme.test", "role": "MEMBER"},
    ),
    (
        UserRemoved(actor=ADA, target=BO, at=NOW),
        "USER_REMOVED",
        "Ada removed Bo",
        {"userId": BO_ID, "removedBy": ADA_ID},
    ),
    (
        UserRoleChanged(actor=ADA, target=BO, before=Role.MEMBER, after=Role.ADMIN, at=NOW),
        "USER_ROLE_CHANGED",
        "Ada made Bo an ADMIN",
        {"userId": BO_ID, "from": "MEMBER", "to": "ADMIN", "changedBy": ADA_ID},
    ),
    (
        UserRoleChanged(actor=ADA, target=BO, before=Role.ADMIN, after=Role.MEMBER, at=NOW),
        "USER_ROLE_CHANGED",
        "Ada made Bo a MEMBER",
        {"userId": BO_ID, "from": "ADMIN", "to": "MEMBER", "changedBy": ADA_ID},
    ),
    (
        PlanUpgraded(actor=ADA, before=Plan.FREE, after=Plan.PRO, at=NOW),
        "PLAN_UPGRADED",
        "Ada upgraded the plan from FREE to PRO",
        {"from": "FREE", "to": "PRO", "upgradedAt": MOMENT},
    ),
    (
        PlanDowngraded(actor=ADA, before=Plan.PRO, after=Plan.FREE, at=NOW),
        "PLAN_DOWNGRADED",
        "Ada downgraded the plan from PRO to FREE",
        {"from": "PRO", "to": "FREE", "downgradedAt": MOMENT},
    ),
    (
        MessageBroadcast(actor=ADA, message="Lunch at 1", at=NOW),
        "BROADCAST_MESSAGE",
        "Lunch at 1",
        {"message": "Lunch at 1", "sentBy": ADA_ID, "sentAt": MOMENT},
    ),
    (
        OrganisationCreated(actor=ADA, name="Acme", at=NOW),
        "ORGANISATION_CREATED",
        "Ada created Acme",
        {"name": "Acme", "createdBy": ADA_ID},
    ),
    (
        InviteSent(actor=ADA, invite_id=NOTE, email=BO.email, role=Role.ADMIN, expires_at=NOW, at=NOW),
        "INVITE_SENT",
        "Ada invited bo@acme.test as ADMIN",
        {"inviteId": INVITE_ID, "email": "bo@acme.test", "role": "ADMIN", "expiresAt": MOMENT},
    ),
    (
        InviteAccepted(actor=BO, invite_id=NOTE, email=BO.email, at=NOW),
        "INVITE_ACCEPTED",
        "Bo accepted the invite to bo@acme.test",
        {"inviteId": INVITE_ID, "email": "bo@acme.test", "userId": BO_ID},
    ),
    (
        InviteLapsed(invite_id=NOTE, email=BO.email, at=NOW),
        "INVITE_EXPIRED",
        "The invite to bo@acme.test expired",
        {"inviteId": INVITE_ID, "email": "bo@acme.test"},
    ),
]


def on_the_wire(struct: msgspec.Struct) -> dict[str, object]:
    decoded: dict[str, object] = msgspec.json.decode(msgspec.json.encode(struct))
    return decoded


def activity(event: Event) -> Activity:
    return Activity(id=ActivityId(UUID(int=1)), organisation_id=OrganisationId(UUID(int=2)), seq=7, event=event)


def test_every_event_is_here() -> None:
    assert {type(event) for event, *_ in SHAPES} == set(get_args(Event))


@pytest.mark.parametrize(("event", "type_", "message", "payload"), SHAPES, ids=[shape[1] for shape in SHAPES])
def test_an_event_has_exactly_this_shape(event: Event, type_: str, message: str, payload: dict[str, str]) -> None:
    described = describe(event)

    assert described.payload.type == type_
    assert described.message == message
    assert on_the_wire(described.payload) == payload
    assert list(on_the_wire(described.payload)) == list(payload)


@pytest.mark.parametrize("event", [shape[0] for shape in SHAPES], ids=[shape[1] for shape in SHAPES])
def test_an_event_names_who_did_it_and_to_whom(event: Event) -> None:
    described = describe(event)

    assert described.actor == getattr(event, "actor", None)
    assert described.target == getattr(event, "target", None)


def test_an_activity_is_listed_with_the_payload_that_was_sent() -> None:
    view = ActivityView.of(activity(UserRemoved(actor=ADA, target=BO, at=NOW)))

    assert on_the_wire(view) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "seq": 7,
        "type": "USER_REMOVED",
        "message": "Ada removed Bo",
        "metadata": {"userId": BO_ID, "removedBy": ADA_ID},
        "actor": {"id": ADA_ID, "name": "Ada", "email": "ada@acme.test"},
        "target": {"id": BO_ID, "name": "Bo", "email": "bo@acme.test"},
        "createdAt": MOMENT,
    }


def test_an_activity_that_nobody_did_has_neither_actor_nor_target() -> None:
    view = ActivityView.of(activity(InviteLapsed(invite_id=NOTE, email=BO.email, at=NOW)))

    assert view.actor is None
    assert view.target is None


def test_a_person_is_shown_without_anything_private() -> None:
    assert on_the_wire(PersonView.of(ADA)) == {"id": ADA_ID, "name": "Ada", "email": "ada@acme.test"}


def test_an_organisation_is_shown_with_its_limit() -> None:
    acme = organisation(members=2, plan=Plan.PRO)

    assert on_the_wire(OrganisationView.of(acme)) == {
        "id": str(acme.id),
        "name": "Acme",
        "slug": acme.slug,
        "subscriptionPlan": "PRO",
        "memberCount": 2,
        "memberLimit": 10,
        "createdAt": MOMENT,
    }


def test_an_unlimited_organisation_has_no_limit_to_show() -> None:
    assert on_the_wire(OrganisationView.of(organisation(plan=Plan.ENTERPRISE)))["memberLimit"] is None
