"""A tenant: one organisation, locked, and no data of any other."""

from dataclasses import replace
from datetime import timedelta

import pytest

from saas.adapters.system import new_id
from saas.application.views import Invitation, MemberView, PageRequest
from saas.domain.errors import AlreadyMember, NotFound
from saas.domain.invites import INVITE_LIFETIME, InviteStatus
from saas.domain.plans import Plan
from saas.domain.values import Email, OrganisationId, Role, UserId
from tests.contract.harness import SECOND, Harness, join, new_organisation, record, said
from tests.scene import invite, membership, organisation


class TenantContract:
    """A tenant: one organisation, locked, and no data of any other."""

    async def test_a_new_organisation_is_entered_as_it_was_stored(self, harness: Harness) -> None:
        acme = organisation(members=1, at=harness.clock())
        async with harness.begin() as work:
            tenant = await work.create_organisation(acme, [acme.slug])
            assert tenant.organisation == acme

        async with harness.begin() as work:
            entered = (await work.tenant(acme.id)).organisation

        assert entered == acme
        assert entered.created_at.utcoffset() == timedelta()
        assert type(entered.plan) is Plan

    async def test_the_first_free_slug_is_taken(self, harness: Harness) -> None:
        name = f"acme-{new_id().hex}"
        taken: list[str] = []
        for _ in range(3):
            async with harness.begin() as work:
                tenant = await work.create_organisation(
                    organisation(), (f"{name}{suffix}" for suffix in ("", "-2", "-3"))
                )
                taken.append(tenant.organisation.slug)

        assert taken == [name, f"{name}-2", f"{name}-3"]

    async def test_the_slug_that_was_taken_is_the_one_to_be_seen(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        twin = organisation()
        async with harness.begin() as work:
            await work.create_organisation(twin, [acme.organisation.slug, twin.slug])

        assert (await harness.reads.tenant(twin.id).organisation()).slug == twin.slug

    async def test_an_unknown_organisation_is_not_found(self, harness: Harness) -> None:
        with pytest.raises(NotFound, match="organisation"):
            async with harness.begin() as work:
                await work.tenant(OrganisationId(new_id()))

    async def test_only_pending_and_unexpired_invites_are_promises(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        now = harness.clock()
        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            await tenant.invites.add(invite("open@x.test", at=now))
            await tenant.invites.add(invite("late@x.test", at=now - SECOND))
            await tenant.invites.add(invite("accepted@x.test", at=now, status=InviteStatus.ACCEPTED))
            await tenant.invites.add(invite("expired@x.test", at=now, status=InviteStatus.EXPIRED))
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).invites.add(invite("open@x.test", at=now))

        async def reserved() -> int:
            async with harness.begin() as work:
                return (await work.tenant(acme.id)).organisation.reserved

        assert await reserved() == 2
        harness.clock.advance(INVITE_LIFETIME - SECOND)
        assert await reserved() == 1
        harness.clock.advance(SECOND)
        assert await reserved() == 0

    async def test_a_member_is_stored_with_everything(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = await join(harness, acme, "Bo", Role.MEMBER)

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            stored = await tenant.members.get(bo.id)
            assert stored == membership(bo, at=harness.clock())
            assert type(stored.role) is Role
            assert await tenant.members.has(bo.email)

    async def test_a_member_is_added_once(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        with pytest.raises(AlreadyMember):
            async with harness.begin() as work:
                await (await work.tenant(acme.id)).members.add(membership(acme.admin))

        async with harness.begin() as work:
            stored = await (await work.tenant(acme.id)).members.get(acme.admin.id)
            assert stored
            assert stored.role is Role.ADMIN

    async def test_a_removed_member_keeps_the_account_and_other_places(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        bo = await join(harness, acme)
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).members.add(membership(bo))

        async with harness.begin() as work:
            await (await work.tenant(acme.id)).members.remove(membership(bo))

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            assert await tenant.members.get(bo.id) is None
            assert not await tenant.members.has(bo.email)
            assert await tenant.members.has(acme.admin.email)
            assert [each.id for each in await work.affiliations(bo.id)] == [beta.id]
        assert await harness.reads.user(bo.email) == bo

    async def test_a_saved_member_has_their_new_role_everywhere_and_nobody_else_has(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        bo, cy = await join(harness, acme), await join(harness, acme, "Cy")
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).members.add(membership(bo))
        place = membership(bo, Role.ADMIN, at=harness.clock())
        place.updated_at = harness.clock() + SECOND
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).members.save(place)

        async with harness.begin() as work:
            members = (await work.tenant(acme.id)).members
            stored = await members.get(bo.id)
            unchanged = await members.get(cy.id)
            assert [each.role for each in await work.affiliations(bo.id)] == [Role.ADMIN, Role.MEMBER]
        assert stored == place
        assert type(stored.role) is Role
        assert unchanged == membership(cy, at=harness.clock())
        shown = await harness.reads.tenant(acme.id).members(PageRequest(10))
        assert MemberView.of(place, acme.id) in shown

    async def test_admins_are_counted_by_their_role_of_now_and_in_this_organisation_only(
        self, harness: Harness
    ) -> None:
        acme = await new_organisation(harness)
        await new_organisation(harness, "Beta")
        bo = await join(harness, acme)

        async with harness.begin() as work:
            members = (await work.tenant(acme.id)).members
            assert await members.count_admins() == 1
            await members.save(membership(bo, Role.ADMIN))
            assert await members.count_admins() == 2
            await members.save(membership(acme.admin, Role.MEMBER))
            assert await members.count_admins() == 1
            await members.remove(membership(bo))
            assert await members.count_admins() == 0

    async def test_somebody_who_left_can_join_again(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = await join(harness, acme)
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).members.remove(membership(bo))

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            await tenant.members.add(membership(bo, Role.ADMIN))
            rejoined = await tenant.members.get(bo.id)

        assert rejoined
        assert rejoined.role is Role.ADMIN

    async def test_members_of_other_organisations_are_not_there(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            assert await tenant.members.get(beta.admin.id) is None
            assert await tenant.members.get(UserId(new_id())) is None
            assert not await tenant.members.has(beta.admin.email)

    async def test_an_invite_is_stored_with_everything_and_found_by_digest_or_address(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        note = invite(f"{new_id().hex}@x.test", role=Role.ADMIN, at=harness.clock())
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).invites.add(note)

        async with harness.begin() as work:
            invites = (await work.tenant(acme.id)).invites
            stored = await invites.with_digest(note.token_digest)
            assert stored == note
            assert type(stored.role) is Role
            assert type(stored.status) is InviteStatus
            assert stored.expires_at.utcoffset() == timedelta()
            assert await invites.pending(note.email) == note
        assert await harness.reads.tenant(acme.id).invitation(note.token_digest) == Invitation(note, Plan.FREE, 1, None)

    async def test_an_invitation_tells_of_the_account_that_the_address_has(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta", plan=Plan.PRO)
        await join(harness, beta)
        note = invite(acme.admin.email, at=harness.clock())
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).invites.add(note)

        invitation = await harness.reads.tenant(beta.id).invitation(note.token_digest)

        assert invitation == Invitation(note, Plan.PRO, 2, acme.admin)
        assert type(invitation.plan) is Plan
        assert type(invitation.invite.role) is Role
        assert await harness.reads.tenant(acme.id).invitation(note.token_digest) is None

    async def test_an_unknown_invite_is_none(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        async with harness.begin() as work:
            invites = (await work.tenant(acme.id)).invites
            assert await invites.with_digest(b"\0" * 32) is None
            assert await invites.pending(Email("nobody@x.test")) is None
        assert await harness.reads.tenant(acme.id).invitation(b"\0" * 32) is None

    async def test_the_pending_invite_may_have_expired_but_is_not_marked_so(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        now = harness.clock()
        late = invite(at=now - timedelta(days=3))
        async with harness.begin() as work:
            invites = (await work.tenant(acme.id)).invites
            await invites.add(invite(at=now, status=InviteStatus.ACCEPTED))
            await invites.add(invite(at=now, status=InviteStatus.EXPIRED))
            assert await invites.pending(late.email) is None
            await invites.add(late)

        async with harness.begin() as work:
            assert await (await work.tenant(acme.id)).invites.pending(late.email) == late

    @pytest.mark.parametrize("status", [InviteStatus.ACCEPTED, InviteStatus.EXPIRED])
    async def test_a_saved_invite_is_what_it_has_become(self, harness: Harness, status: InviteStatus) -> None:
        acme = await new_organisation(harness)
        note = invite(at=harness.clock())
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).invites.add(note)
        note.status = status
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).invites.save(note)

        async with harness.begin() as work:
            invites = (await work.tenant(acme.id)).invites
            assert await invites.with_digest(note.token_digest) == note
            assert await invites.pending(note.email) is None

    async def test_invites_of_other_organisations_are_not_there(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        note = invite(at=harness.clock())
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).invites.add(note)

        async with harness.begin() as work:
            invites = (await work.tenant(acme.id)).invites
            assert await invites.with_digest(note.token_digest) is None
            assert await invites.pending(note.email) is None
        assert await harness.reads.tenant(acme.id).invitation(note.token_digest) is None

    async def test_the_log_counts_from_1_without_gaps_in_each_organisation(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        now = harness.clock()

        first = await record(harness, acme, said(acme.admin, "one", now), said(acme.admin, "two", now))
        await record(harness, beta, said(beta.admin, "elsewhere", now))
        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            second = await tenant.record(said(acme.admin, "three", now))
            third = await tenant.record(said(acme.admin, "four", now))

        activities = [*first, *second, *third]
        assert [activity.seq for activity in activities] == [1, 2, 3, 4]
        assert {activity.organisation_id for activity in activities} == {acme.id}
        assert len({activity.id for activity in activities}) == 4
        assert [activity.event for activity in activities] == [
            said(acme.admin, message, now) for message in ("one", "two", "three", "four")
        ]
        feed = await harness.reads.tenant(acme.id).activities(PageRequest(10))
        assert [(entry.id, entry.seq) for entry in feed] == [(each.id, each.seq) for each in reversed(activities)]

    async def test_recording_stores_what_the_organisation_has_become(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            tenant.organisation.plan = Plan.PRO
            tenant.organisation.members = 4
            assert await tenant.record() == []

        async with harness.begin() as work:
            assert (await work.tenant(acme.id)).organisation == replace(acme.organisation, plan=Plan.PRO, members=4)
        assert not await harness.reads.tenant(acme.id).activities(PageRequest(10))
