"""A unit of work commits all or nothing, and stores only what was saved."""

import asyncio
from dataclasses import replace

import pytest

from saas.application.views import PageRequest
from saas.domain.errors import NotFound
from saas.domain.events import OrganisationCreated, UserJoined
from saas.domain.invites import InviteStatus
from saas.domain.plans import Plan
from saas.domain.values import Role
from tests.contract.harness import Harness, claims_of, new_organisation, rolled_back, said
from tests.scene import invite, membership, organisation, session, user


class UnitOfWorkContract:
    """It commits all or nothing, and stores only what was saved."""

    async def test_what_a_block_wrote_is_there_after_it(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        assert await harness.reads.user(acme.admin.email) == acme.admin
        assert (await harness.reads.tenant(acme.id).organisation()).name == "Acme"

    async def test_an_exception_leaves_nothing_behind(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo, beta, note = user("Bo"), organisation("Beta"), invite()
        started = session(bo, beta)

        async with rolled_back(harness) as work:
            await work.users.add(bo)
            tenant = await work.create_organisation(beta, [beta.slug])
            await tenant.members.add(membership(bo))
            await tenant.invites.add(note)
            await tenant.record(OrganisationCreated(actor=bo.person, name="Beta", at=harness.clock()))
            await work.sessions.add(started)
            await work.sessions.end(acme.admin.id, [acme.session.id], harness.clock())

        assert await harness.reads.user(bo.email) is None
        with pytest.raises(NotFound):
            await harness.reads.tenant(beta.id).organisation()
        assert not await harness.reads.tenant(beta.id).members(PageRequest(10))
        assert not await harness.reads.tenant(beta.id).activities(PageRequest(10))
        assert await harness.reads.tenant(beta.id).invitation(note.token_digest) is None
        assert await harness.reads.actor(claims_of(acme), harness.clock()) is not None
        async with harness.begin() as work:
            assert await work.sessions.lock(started.id) is None

    async def test_what_was_rolled_back_can_be_done_again(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = user("Bo")
        async with rolled_back(harness) as work:
            await work.users.add(bo)
            tenant = await work.tenant(acme.id)
            await tenant.members.add(membership(bo))
            await tenant.record(UserJoined(actor=bo.person, role=Role.MEMBER, at=harness.clock()))

        async with harness.begin() as work:
            await work.users.add(bo)
            tenant = await work.tenant(acme.id)
            await tenant.members.add(membership(bo))
            [activity] = await tenant.record(UserJoined(actor=bo.person, role=Role.MEMBER, at=harness.clock()))

        assert activity.seq == 1

    async def test_reads_do_not_see_into_an_open_block(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = user("Bo")

        async with harness.begin() as work:
            await work.users.add(bo)
            tenant = await work.tenant(acme.id)
            tenant.organisation.plan = Plan.PRO
            await tenant.record(said(acme.admin, "Hello", harness.clock()))
            assert await harness.reads.user(bo.email) is None
            assert (await harness.reads.tenant(acme.id).organisation()).subscription_plan is Plan.FREE
            assert not await harness.reads.tenant(acme.id).activities(PageRequest(10))

    async def test_a_block_sees_what_it_has_done_itself(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo, note = user("Bo", at=harness.clock()), invite(at=harness.clock())

        async with harness.begin() as work:
            await work.users.add(bo)
            tenant = await work.tenant(acme.id)
            await tenant.members.add(membership(bo))
            await tenant.invites.add(note)
            assert await tenant.members.has(bo.email)
            assert await tenant.invites.with_digest(note.token_digest) == note
            assert [each.id for each in await work.affiliations(bo.id)] == [acme.id]

    async def test_changing_what_was_handed_out_changes_nothing_until_it_is_saved(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        note = invite(at=harness.clock())
        async with harness.begin() as work:
            await (await work.tenant(acme.id)).invites.add(note)

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            tenant.organisation.plan = Plan.ENTERPRISE
            loaded = await tenant.invites.with_digest(note.token_digest)
            locked = await work.sessions.lock(acme.session.id)
            member = await tenant.members.get(acme.admin.id)
            assert loaded
            assert locked
            assert member
            loaded.status = InviteStatus.ACCEPTED
            locked.generation = 7
            member.role = Role.MEMBER

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            assert tenant.organisation.plan is Plan.FREE
            assert await tenant.invites.with_digest(note.token_digest) == note
            assert await work.sessions.lock(acme.session.id) == acme.session
            assert await tenant.members.get(acme.admin.id) == membership(acme.admin, Role.ADMIN, at=harness.clock())

    async def test_changing_what_was_handed_in_changes_nothing_afterwards(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        note, started = invite(at=harness.clock()), session(acme.admin, acme.organisation, at=harness.clock())
        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            await tenant.invites.add(note)
            await tenant.record()
            await work.sessions.add(started)
            tenant.organisation.plan = Plan.PRO
            note.status = InviteStatus.EXPIRED
            started.generation = 7

        async with harness.begin() as work:
            tenant = await work.tenant(acme.id)
            assert tenant.organisation.plan is Plan.FREE
            stored = await tenant.invites.with_digest(note.token_digest)
            assert stored == replace(note, status=InviteStatus.PENDING)
            assert await work.sessions.lock(started.id) == replace(started, generation=0)

    async def test_work_in_one_organisation_happens_one_after_the_other(self, harness: Harness) -> None:
        acme = await new_organisation(harness, plan=Plan.ENTERPRISE)

        async def admit(number: int) -> None:
            async with harness.begin() as work:
                tenant = await work.tenant(acme.id)
                seen = tenant.organisation.members
                await asyncio.sleep(0.001)
                tenant.organisation.members = seen + 1
                await tenant.record(said(acme.admin, str(number), harness.clock()))

        await asyncio.gather(*map(admit, range(5)))

        feed = await harness.reads.tenant(acme.id).activities(PageRequest(10))
        assert [entry.seq for entry in feed] == [5, 4, 3, 2, 1]
        assert (await harness.reads.tenant(acme.id).organisation()).member_count == 6

    async def test_work_on_one_session_happens_one_after_the_other(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        async def use() -> None:
            async with harness.begin() as work:
                locked = await work.sessions.lock(acme.session.id)
                assert locked
                await asyncio.sleep(0.001)
                locked.generation += 1
                await work.sessions.save(locked)

        await asyncio.gather(*(use() for _ in range(5)))

        async with harness.begin() as work:
            assert await work.sessions.lock(acme.session.id) == replace(acme.session, generation=5)
