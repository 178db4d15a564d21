"""Which claims have an actor, which every request asks of the store."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from saas.adapters.system import new_id
from saas.application.actor import Actor, Claims
from saas.domain.values import OrganisationId, Role, SessionId
from tests.contract.harness import SECOND, Harness, NewOrganisation, claims_of, join, new_organisation
from tests.scene import membership

Refusal = Callable[[Harness, NewOrganisation], Coroutine[Any, Any, tuple[Claims, datetime]]]


async def _unknown_session(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    return replace(claims_of(acme), session_id=SessionId(new_id())), harness.clock()


async def _session_of_somebody_else(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    bo = await join(harness, acme)
    return replace(claims_of(acme), user_id=bo.id), harness.clock()


async def _ended_session(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    async with harness.begin() as work:
        await work.sessions.end(acme.admin.id, [acme.session.id], harness.clock())
    return claims_of(acme), harness.clock()


async def _expired_session(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    return claims_of(acme), acme.session.expires_at


async def _never_a_member(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    beta = await new_organisation(harness, "Beta")
    return replace(claims_of(acme), organisation_id=beta.id), harness.clock()


async def _no_longer_a_member(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    async with harness.begin() as work:
        await (await work.tenant(acme.id)).members.remove(membership(acme.admin))
    return claims_of(acme), harness.clock()


async def _unknown_organisation(harness: Harness, acme: NewOrganisation) -> tuple[Claims, datetime]:
    return replace(claims_of(acme), organisation_id=OrganisationId(new_id())), harness.clock()


class ActorContract:
    """Which claims have an actor, which every request asks of the store."""

    async def test_the_actor_is_who_the_claims_speak_for(self, harness: Harness) -> None:
        acme = await new_organisation(harness)

        actor = await harness.reads.actor(claims_of(acme), acme.session.expires_at - SECOND)

        assert actor == Actor(acme.admin.person, acme.id, Role.ADMIN, acme.session.id)
        assert type(actor.role) is Role

    async def test_the_actor_has_the_role_of_now(self, harness: Harness) -> None:
        acme = await new_organisation(harness)
        async with harness.begin() as work:
            members = (await work.tenant(acme.id)).members
            await members.remove(membership(acme.admin))
            await members.add(membership(acme.admin, Role.MEMBER))

        actor = await harness.reads.actor(claims_of(acme), harness.clock())

        assert actor
        assert actor.role is Role.MEMBER

    async def test_the_actor_may_speak_for_another_of_their_organisations(self, harness: Harness) -> None:
        acme, beta = await new_organisation(harness), await new_organisation(harness, "Beta")
        async with harness.begin() as work:
            await (await work.tenant(beta.id)).members.add(membership(acme.admin))

        actor = await harness.reads.actor(replace(claims_of(acme), organisation_id=beta.id), harness.clock())

        assert actor == Actor(acme.admin.person, beta.id, Role.MEMBER, acme.session.id)

    @pytest.mark.parametrize(
        "refusal",
        [
            _unknown_session,
            _session_of_somebody_else,
            _ended_session,
            _expired_session,
            _never_a_member,
            _no_longer_a_member,
            _unknown_organisation,
        ],
    )
    async def test_nobody_is_the_actor_with(self, harness: Harness, refusal: Refusal) -> None:
        claims, at = await refusal(harness, await new_organisation(harness))

        assert await harness.reads.actor(claims, at) is None
