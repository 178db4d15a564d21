"""An access token is believed for who it names; everything else is asked of the store each time."""

from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore
from saas.adapters.tokens import JwtTokens
from saas.application.actor import Actor
from saas.application.authenticate import Authenticate
from saas.domain.errors import AdminOnly, NotAuthenticated, SessionEnded
from saas.domain.organisations import Organisation
from saas.domain.values import Role
from tests.scene import MovableClock, admin_of, member_of, membership, organisation, sign_in, user


@pytest.fixture
def acme() -> Organisation:
    return organisation()


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def access(tokens: JwtTokens, ada: Actor) -> str:
    return tokens.access(ada.person.id, ada.organisation_id, ada.role, ada.session_id)


async def test_a_good_token_proves_its_actor(authenticate: Authenticate, ada: Actor, access: str) -> None:
    assert await authenticate(access) == ada


async def test_claims_are_what_the_token_says_and_are_proven_on_their_own(
    store: MemoryStore, authenticate: Authenticate, ada: Actor, access: str
) -> None:
    claims = authenticate.claims(access)

    assert (claims.user_id, claims.organisation_id, claims.session_id) == (
        ada.person.id,
        ada.organisation_id,
        ada.session_id,
    )
    assert await authenticate.prove(claims) == ada
    del store.sessions[ada.session_id]
    with pytest.raises(SessionEnded):
        await authenticate.prove(claims)


async def test_a_demotion_acts_on_the_next_request(
    store: MemoryStore, authenticate: Authenticate, acme: Organisation, ada: Actor, access: str
) -> None:
    store.add_to(acme, membership(store.users[ada.person.id], Role.MEMBER))

    assert (await authenticate(access)).role is Role.MEMBER


async def test_a_removal_acts_on_the_next_request(
    store: MemoryStore, authenticate: Authenticate, acme: Organisation, ada: Actor, access: str
) -> None:
    del store.memberships[acme.id, ada.person.id]

    with pytest.raises(SessionEnded):
        await authenticate(access)


async def test_a_token_expires(authenticate: Authenticate, clock: MovableClock, access: str) -> None:
    clock.advance(timedelta(minutes=15))

    with pytest.raises(NotAuthenticated, match="expired"):
        await authenticate(access)


@pytest.mark.parametrize("text", ["", "nonsense", "a.b.c"])
async def test_nonsense_is_refused(authenticate: Authenticate, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        await authenticate(text)


async def test_a_refresh_token_is_no_access_token(authenticate: Authenticate, tokens: JwtTokens, ada: Actor) -> None:
    with pytest.raises(NotAuthenticated):
        await authenticate(tokens.refresh(ada.session_id, 0))


def test_an_admin_may_do_what_only_admins_may(acme: Organisation) -> None:
    admin_of(acme).require_admin()


def test_a_member_may_not(acme: Organisation) -> None:
    with pytest.raises(AdminOnly):
        member_of(acme).require_admin()
