"""Users, sessions, and people's organisations."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from saas.adapters.system import new_id
from saas.application.views import Affiliation
from saas.domain.errors import EmailInUse
from saas.domain.plans import Plan
from saas.domain.values import Email, Role, SessionId, UserId
from tests.contract.harness import SECOND, Harness, join, new_organisation
from tests.scene import membership, session, user


class PeopleContract:
    """Users, sessions, and people's organisations."""

    async def test_a_person_is_stored_with_everything(self, harness: Harness) -> None:
        ada = user("Ada Lovelace-東京", at=harness.clock())
        async with harness.begin() as work:
            await work.users.add(ada)

        stored = await harness.reads.user(ada.email)

        assert stored == ada
        assert stored.created_at.utcoffset() == timedelta()

    async def test_an_unknown_address_is_nobody(self, harness: Harness) -> None:
        assert await harness.reads.user(Email(f"{new_id().hex}@acme.test")) is None

    async def test_an_address_is_taken_once(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        with pytest.raises(EmailInUse):
            async with harness.begin() as work:
                await work.users.add(user("Impostor", acme.admin.email))

        assert await harness.reads.user(acme.admin.email) == acme.admin

    async def test_an_address_is_taken_once_by_registrations_at_the_same_time(self, harness: Harness) -> None:
        email = f"{new_id().hex}@acme.test"

        async def register(name: str) -> str:
            async with harness.begin() as work:
                await work.users.add(user(name, email))
                await asyncio.sleep(0.001)
            return name

        outcomes = await asyncio.gather(*map(register, ("Ada", "Bo", "Cy")), return_exceptions=True)

        [winner] = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert sum(isinstance(outcome, EmailInUse) for outcome in outcomes) == 2
        stored = await harness.reads.user(Email(email))
        assert stored
        assert stored.name == winner

    async def test_a_session_is_stored_with_everything(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        async with harness.begin() as work:
            stored = await work.sessions.lock(acme.session.id)

        assert stored == acme.session
        assert stored.created_at.utcoffset() == timedelta()

    async def test_an_unknown_session_is_none(self, harness: Harness) -> None:
        async with harness.begin() as work:
            assert await work.sessions.lock(SessionId(new_id())) is None

    async def test_a_saved_session_is_what_it_has_become(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        at = harness.clock() + SECOND
        async with harness.begin() as work:
            locked = await work.sessions.lock(acme.session.id)
            assert locked
            locked.rotate(0, idle=timedelta(days=2), at=at)
            locked.organisation_id = beta.id
            await work.sessions.save(locked)
        changed = replace(
            acme.session, organisation_id=beta.id, generation=1, rotated_at=at, expires_at=at + timedelta(days=2)
        )

        async with harness.begin() as work:
            stored = await work.sessions.lock(acme.session.id)
            assert stored == changed
            stored.end(at)
            await work.sessions.save(stored)

        async with harness.begin() as work:
            assert await work.sessions.lock(acme.session.id) == replace(changed, ended_at=at)

    async def test_ending_sessions_leaves_those_of_others_alone(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        bo = await join(harness, acme)
        theirs, kept = session(bo, acme.organisation), session(acme.admin, acme.organisation)
        now = harness.clock()
        async with harness.begin() as work:
            await work.sessions.add(theirs)
            await work.sessions.add(kept)

        async with harness.begin() as work:
            asked = [acme.session.id, theirs.id, SessionId(new_id())]
            assert list(await work.sessions.end(acme.admin.id, asked, now)) == [acme.session.id]

        async with harness.begin() as work:
            assert await work.sessions.lock(acme.session.id) == replace(acme.session, ended_at=now)
            assert await work.sessions.lock(theirs.id) == theirs
            assert await work.sessions.lock(kept.id) == kept

    async def test_ending_a_session_again_keeps_when_it_ended(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        first = harness.clock()
        async with harness.begin() as work:
            await work.sessions.end(acme.admin.id, [acme.session.id], first)

        async with harness.begin() as work:
            assert not await work.sessions.end(acme.admin.id, [acme.session.id], first + SECOND)
            assert not await work.sessions.end_in(acme.id, acme.admin.id, first + SECOND)
            assert await work.sessions.lock(acme.session.id) == replace(acme.session, ended_at=first)

    async def test_ending_no_sessions_is_allowed(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        async with harness.begin() as work:
            assert not await work.sessions.end(acme.admin.id, [], harness.clock())

    async def test_ending_sessions_in_an_organisation_leaves_other_places_and_people_alone(
        self, harness: Harness
    ) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        now = harness.clock()
        here, there = session(beta.admin, acme.organisation), session(acme.admin, beta.organisation)
        async with harness.begin() as work:
            await work.sessions.add(here)
            await work.sessions.add(there)

        async with harness.begin() as work:
            assert list(await work.sessions.end_in(acme.id, acme.admin.id, now)) == [acme.session.id]

        async with harness.begin() as work:
            assert await work.sessions.lock(acme.session.id) == replace(acme.session, ended_at=now)
            assert await work.sessions.lock(here.id) == here
            assert await work.sessions.lock(there.id) == there

    async def test_affiliations_are_in_the_order_of_joining(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta", plan=Plan.PRO)
        cy = user("Cy")
        now = harness.clock()
        async with harness.begin() as work:
            await work.users.add(cy)
            await (await work.tenant(acme.id)).members.add(membership(cy, Role.MEMBER, at=now + SECOND))
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).members.add(membership(cy, Role.ADMIN, at=now))

        async with harness.begin() as work:
            affiliations = await work.affiliations(cy.id)

        assert list(affiliations) == [
            Affiliation(beta.id, "Beta", beta.organisation.slug, Role.ADMIN, Plan.PRO),
            Affiliation(acme.id, "Acme", acme.organisation.slug, Role.MEMBER, Plan.FREE),
        ]
        assert all(type(each.role) is Role and type(each.subscription_plan) is Plan for each in affiliations)

    async def test_somebody_who_belongs_nowhere_has_no_affiliations(self, harness: Harness) -> None:
        await new_organisation(harness)
        async with harness.begin() as work:
            assert not await work.affiliations(UserId(new_id()))
