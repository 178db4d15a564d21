"""Refreshing exchanges a refresh token for the next pair, once."""

from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.actor import Actor
from saas.application.authenticate import Authenticate
from saas.application.sessions import RefreshSession
from saas.domain.errors import NoOrganisation, NotAuthenticated, NotFound, SessionEnded
from saas.domain.organisations import Organisation
from saas.domain.sessions import Session
from saas.domain.values import OrganisationId, Role, SessionId
from tests.scene import IDLE, NOW, MovableClock, membership, organisation, sign_in, user

DAY = timedelta(days=1)


@pytest.fixture
def acme() -> Organisation:
    return organisation("Acme")


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def token(tokens: JwtTokens, ada: Actor) -> str:
    """The refresh token ada signed in with."""
    return tokens.refresh(ada.session_id, 0)


def only_session(store: MemoryStore) -> Session:
    [session] = store.sessions.values()
    return session


async def test_the_next_pair_works(
    refresh_session: RefreshSession, authenticate: Authenticate, ada: Actor, token: str
) -> None:
    pair = await refresh_session(token)

    assert await authenticate(pair.access_token) == ada
    assert (await refresh_session(pair.refresh_token)).refresh_token not in {token, pair.refresh_token}


async def test_using_a_session_makes_its_idle_time_start_again(
    store: MemoryStore, refresh_session: RefreshSession, clock: MovableClock, token: str
) -> None:
    clock.advance(DAY)

    await refresh_session(token)

    assert only_session(store).expires_at == NOW + DAY + IDLE


async def test_a_reply_that_got_lost_can_be_had_again_for_10_seconds(
    refresh_session: RefreshSession, clock: MovableClock, token: str
) -> None:
    pair = await refresh_session(token)
    clock.advance(timedelta(seconds=10))

    again = await refresh_session(token)

    assert again.refresh_token == pair.refresh_token
    await refresh_session(pair.refresh_token)


async def test_a_replay_after_10_seconds_ends_the_session_and_the_ending_survives_the_refusal(
    store: MemoryStore, refresh_session: RefreshSession, clock: MovableClock, token: str
) -> None:
    pair = await refresh_session(token)
    clock.advance(timedelta(seconds=11))

    with pytest.raises(SessionEnded):
        await refresh_session(token)

    assert only_session(store).ended_at == clock()
    with pytest.raises(SessionEnded):
        await refresh_session(pair.refresh_token)


async def test_a_replay_ends_access_tokens_and_open_sockets_too(
    refresh_session: RefreshSession,
    authenticate: Authenticate,
    notifier: RecordingNotifier,
    clock: MovableClock,
    token: str,
) -> None:
    pair = await refresh_session(token)
    claims = authenticate.claims(pair.access_token)
    clock.advance(timedelta(seconds=11))

    with pytest.raises(SessionEnded):
        await refresh_session(token)

    assert notifier.ended == [claims.session_id]
    with pytest.raises(SessionEnded):
        await authenticate(pair.access_token)


async def test_a_replay_of_an_older_token_ends_the_session_at_once(
    store: MemoryStore, refresh_session: RefreshSession, token: str
) -> None:
    pair = await refresh_session(token)
    await refresh_session(pair.refresh_token)

    with pytest.raises(SessionEnded):
        await refresh_session(token)

    assert only_session(store).ended_at == NOW


async def test_a_replay_ends_the_session_whatever_organisation_it_asks_for(
    store: MemoryStore, refresh_session: RefreshSession, token: str
) -> None:
    pair = await refresh_session(token)
    await refresh_session(pair.refresh_token)

    with pytest.raises(SessionEnded):
        await refresh_session(token, OrganisationId(new_id()))

    assert only_session(store).ended_at == NOW


async def test_a_replay_ends_the_session_of_who_belongs_nowhere_any_more(
    store: MemoryStore, refresh_session: RefreshSession, ada: Actor, token: str
) -> None:
    pair = await refresh_session(token)
    await refresh_session(pair.refresh_token)
    store.memberships.clear()

    with pytest.raises(SessionEnded):
        await refresh_session(token)

    assert only_session(store).ended_at == NOW


async def test_a_session_unused_for_7_days_is_over(
    store: MemoryStore, refresh_session: RefreshSession, clock: MovableClock, token: str
) -> None:
    clock.advance(IDLE)

    with pytest.raises(SessionEnded):
        await refresh_session(token)

    assert only_session(store).generation == 0


async def test_a_session_is_over_after_30_days_however_much_it_is_used(
    refresh_session: RefreshSession, clock: MovableClock, token: str
) -> None:
    for _ in range(29):
        clock.advance(DAY)
        token = (await refresh_session(token)).refresh_token
    clock.advance(DAY)

    with pytest.raises(SessionEnded):
        await refresh_session(token)


async def test_an_unknown_session_has_ended(refresh_session: RefreshSession, tokens: JwtTokens) -> None:
    with pytest.raises(SessionEnded):
        await refresh_session(tokens.refresh(SessionId(new_id()), 0))


async def test_something_that_is_no_refresh_token_is_refused(
    store: MemoryStore, refresh_session: RefreshSession, tokens: JwtTokens, ada: Actor
) -> None:
    access = tokens.access(ada.person.id, ada.organisation_id, ada.role, ada.session_id)
    for text in ("", "nonsense", access):
        with pytest.raises(NotAuthenticated):
            await refresh_session(text)

    assert only_session(store).generation == 0


async def test_the_new_access_token_has_the_role_of_now(
    store: MemoryStore, refresh_session: RefreshSession, authenticate: Authenticate, ada: Actor, token: str
) -> None:
    acme, member = store.organisations[ada.organisation_id], store.users[ada.person.id]
    store.add_to(acme, membership(member, Role.MEMBER))

    pair = await refresh_session(token)

    assert (await authenticate(pair.access_token)).role is Role.MEMBER


async def test_one_can_switch_to_another_organisation_of_ones_own(
    store: MemoryStore, refresh_session: RefreshSession, authenticate: Authenticate, ada: Actor, token: str
) -> None:
    beta = organisation("Beta")
    store.add(beta)
    store.add_to(beta, membership(store.users[ada.person.id], Role.MEMBER))

    pair = await refresh_session(token, beta.id)

    actor = await authenticate(pair.access_token)
    assert (actor.organisation_id, actor.role) == (beta.id, Role.MEMBER)
    assert only_session(store).organisation_id == beta.id
    assert (await authenticate((await refresh_session(pair.refresh_token)).access_token)).organisation_id == beta.id


async def test_a_foreign_organisation_is_not_found_and_the_token_stays_good(
    store: MemoryStore, refresh_session: RefreshSession, ada: Actor, token: str
) -> None:
    foreign = organisation("Foreign")
    store.add(foreign)

    for wanted in (foreign.id, OrganisationId(new_id())):
        with pytest.raises(NotFound, match="no organisation with this id"):
            await refresh_session(token, wanted)

    assert only_session(store).generation == 0
    await refresh_session(token)


async def test_who_belongs_nowhere_any_more_gets_no_new_pair(
    store: MemoryStore, refresh_session: RefreshSession, token: str
) -> None:
    store.memberships.clear()

    with pytest.raises(NoOrganisation):
        await refresh_session(token)
