"""What reads return, page by page."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from saas.adapters.system import new_id
from saas.application.views import ActivityView, MemberView, OrganisationView, PageRequest, PersonView
from saas.domain.errors import NotFound
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
from saas.domain.values import OrganisationId, Role
from tests.contract.harness import Harness, join, new_organisation, plain, record, said
from tests.scene import invite, membership, user


class ReadsContract:
    """What reads return, page by page, and only of one organisation."""

    async def test_an_organisation_is_shown_with_everything(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        await join(harness, acme)

        view = await harness.reads.tenant(acme.id).organisation()

        assert view == OrganisationView(
            id=acme.id,
            name="Acme",
            slug=acme.organisation.slug,
            subscription_plan=Plan.FREE,
            member_count=2,
            member_limit=3,
            created_at=harness.clock(),
        )
        assert isinstance(view.id, UUID)
        assert type(view.subscription_plan) is Plan
        assert view.created_at.utcoffset() == timedelta()

    async def test_an_unlimited_plan_has_no_member_limit(self, harness: Harness) -> None:
        acme = await new_organisation(harness, plan=Plan.ENTERPRISE)

        assert (await harness.reads.tenant(acme.id).organisation()).member_limit is None

    async def test_an_unknown_organisation_has_nothing_to_show(self, harness: Harness) -> None:
        nowhere = harness.reads.tenant(OrganisationId(new_id()))

        with pytest.raises(NotFound, match="organisation"):
            await nowhere.organisation()
        assert not await nowhere.members(PageRequest(10))
        assert not await nowhere.activities(PageRequest(10))

    async def test_members_are_shown_with_everything(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        [view] = await harness.reads.tenant(acme.id).members(PageRequest(10))

        assert view == MemberView(
            id=acme.admin.id,
            email=acme.admin.email,
            name="Ada",
            role=Role.ADMIN,
            organisation_id=acme.id,
            created_at=harness.clock(),
            updated_at=harness.clock(),
        )
        assert isinstance(view.id, UUID)
        assert isinstance(view.organisation_id, UUID)
        assert type(view.role) is Role
        assert view.created_at.utcoffset() == timedelta()

    async def test_members_come_a_page_at_a_time_by_the_age_of_their_account(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        cy, bo = user("Cy"), user("Bo")
        for late_comer in (bo, cy):
            async with harness.begin() as work:
                await work.users.add(late_comer)
                await (await work.tenant(acme.id)).members.add(membership(late_comer))
        reads = harness.reads.tenant(acme.id)

        first = await reads.members(PageRequest(2))
        second = await reads.members(PageRequest(2, after=first[-1].id))

        assert [view.id for view in first] == [acme.admin.id, cy.id]
        assert [view.id for view in second] == [bo.id]
        assert not await reads.members(PageRequest(2, after=bo.id))

    async def test_activities_come_a_page_at_a_time_newest_first(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        await record(harness, acme, *(said(acme.admin, str(number), harness.clock()) for number in range(1, 6)))
        reads = harness.reads.tenant(acme.id)

        assert [entry.seq for entry in await reads.activities(PageRequest(2))] == [5, 4]
        assert [entry.seq for entry in await reads.activities(PageRequest(2, after=4))] == [3, 2]
        assert [entry.seq for entry in await reads.activities(PageRequest(2, after=2))] == [1]
        assert not await reads.activities(PageRequest(2, after=1))

    async def test_every_kind_of_activity_is_shown_as_it_was_recorded(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = await join(harness, acme)
        at, note = harness.clock(), invite(at=harness.clock())
        ada = acme.admin.person
        events: list[Event] = [
            OrganisationCreated(actor=ada, name="Acme", at=at),
            InviteSent(
                actor=ada, invite_id=note.id, email=note.email, role=note.role, expires_at=note.expires_at, at=at
            ),
            InviteLapsed(invite_id=note.id, email=note.email, at=at),
            InviteAccepted(actor=bo.person, invite_id=note.id, email=note.email, at=at),
            UserJoined(actor=bo.person, role=Role.MEMBER, at=at),
            PlanUpgraded(actor=ada, before=Plan.FREE, after=Plan.PRO, at=at),
            PlanDowngraded(actor=ada, before=Plan.PRO, after=Plan.FREE, at=at),
            MessageBroadcast(actor=ada, message='Zoë said: "東京 🎉"\n', at=at),
            UserRoleChanged(actor=ada, target=bo.person, before=Role.MEMBER, after=Role.ADMIN, at=at),
            UserRemoved(actor=ada, target=bo.person, at=at),
        ]
        recorded = await record(harness, acme, *events)

        feed = await harness.reads.tenant(acme.id).activities(PageRequest(20))

        assert [plain(entry) for entry in feed] == [plain(ActivityView.of(each)) for each in reversed(recorded)]
        for entry in feed:
            assert isinstance(entry.id, UUID)
            assert isinstance(entry.metadata, msgspec.Raw)
            assert entry.created_at == at
            assert entry.created_at.tzinfo
            assert entry.created_at.utcoffset() == timedelta()

    async def test_people_who_left_keep_their_names_in_the_feed(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = await join(harness, acme)
        await record(harness, acme, said(bo, "Good-bye", harness.clock()))
        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            await tenant.members.remove(membership(bo))
            await tenant.record(UserRemoved(actor=acme.admin.person, target=bo.person, at=harness.clock()))

        removed, good_bye = await harness.reads.tenant(acme.id).activities(PageRequest(10))

        assert removed.actor == PersonView.of(acme.admin.person)
        assert removed.target == PersonView.of(bo.person)
        assert good_bye.actor == PersonView.of(bo.person)
        assert good_bye.target is None

    async def test_an_organisation_shows_only_what_is_its_own(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        await record(harness, acme, said(acme.admin, "ours", harness.clock()))
        await record(harness, beta, said(beta.admin, "theirs", harness.clock()))
        reads = harness.reads.tenant(acme.id)

        assert [view.id for view in await reads.members(PageRequest(10))] == [acme.admin.id]
        assert [view.message for view in await reads.activities(PageRequest(10))] == ["ours"]

    async def test_moments_keep_their_microseconds(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        at = datetime(2031, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)
        await record(harness, acme, said(acme.admin, "Precisely", at))

        [entry] = await harness.reads.tenant(acme.id).activities(PageRequest(1))

        assert entry.created_at == at
        assert plain(entry)["createdAt"] == "2031-05-06T07:08:09.123457Z"
        assert plain(entry)["metadata"]["sentAt"] == "2031-05-06T07:08:09.123457Z"

    async def test_a_store_that_is_there_answers_a_ping(self, harness: Harness) -> None:
        await harness.reads.ping()
