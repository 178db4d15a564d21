"""Logging out ends one's own sessions and nobody else's."""

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.actor import Actor
from saas.application.authenticate import Authenticate
from saas.application.sessions import LogOut, RefreshSession
from saas.domain.errors import SessionEnded
from saas.domain.organisations import Organisation
from saas.domain.values import Role, SessionId
from tests.scene import NOW, organisation, session, sign_in, user


@pytest.fixture
def acme() -> Organisation:
    return organisation(members=2)


@pytest.fixture
def ada(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Ada"), acme, Role.ADMIN)


@pytest.fixture
def bo(store: MemoryStore, acme: Organisation) -> Actor:
    return sign_in(store, user("Bo"), acme)


async def test_the_access_token_stops_working_at_once(
    store: MemoryStore, log_out: LogOut, authenticate: Authenticate, tokens: JwtTokens, ada: Actor
) -> None:
    access = tokens.access(ada.person.id, ada.organisation_id, ada.role, ada.session_id)
    await authenticate(access)

    await log_out(ada)

    assert store.sessions[ada.session_id].ended_at == NOW
    with pytest.raises(SessionEnded):
        await authenticate(access)


async def test_the_refresh_token_stops_working(
    log_out: LogOut, refresh_session: RefreshSession, tokens: JwtTokens, ada: Actor
) -> None:
    await log_out(ada, tokens.refresh(ada.session_id, 0))

    with pytest.raises(SessionEnded):
        await refresh_session(tokens.refresh(ada.session_id, 0))


async def test_open_sockets_of_the_session_are_closed(
    log_out: LogOut, notifier: RecordingNotifier, ada: Actor, bo: Actor
) -> None:
    await log_out(ada)

    assert notifier.ended == [ada.session_id]


async def test_a_refresh_token_of_another_session_of_ones_own_ends_that_one_too(
    store: MemoryStore, log_out: LogOut, notifier: RecordingNotifier, tokens: JwtTokens, ada: Actor
) -> None:
    phone = session(store.users[ada.person.id], store.organisations[ada.organisation_id])
    store.add(phone)

    await log_out(ada, tokens.refresh(phone.id, 0))

    assert store.sessions[phone.id].ended_at == NOW
    assert set(notifier.ended) == {ada.session_id, phone.id}


async def test_a_refresh_token_of_somebody_else_is_ignored(
    store: MemoryStore, log_out: LogOut, tokens: JwtTokens, ada: Actor, bo: Actor
) -> None:
    await log_out(ada, tokens.refresh(bo.session_id, 0))

    assert store.sessions[bo.session_id].ended_at is None
    assert store.sessions[ada.session_id].ended_at == NOW


async def test_a_refresh_token_that_makes_no_sense_is_ignored(
    store: MemoryStore, log_out: LogOut, tokens: JwtTokens, ada: Actor
) -> None:
    await log_out(ada, "nonsense")

    assert store.sessions[ada.session_id].ended_at == NOW
    await log_out(ada, tokens.refresh(SessionId(new_id()), 0))


async def test_other_sessions_of_ones_own_go_on(
    store: MemoryStore, log_out: LogOut, acme: Organisation, ada: Actor
) -> None:
    phone = session(store.users[ada.person.id], acme)
    store.add(phone)

    await log_out(ada)

    assert store.sessions[phone.id].ended_at is None
