"""The whole application on fakes: each use case is a fixture, wired to the same store, clock and notifier."""

from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.application.accept_invite import AcceptInvite
from saas.application.authenticate import Authenticate
from saas.application.broadcast import Broadcast
from saas.application.invite_user import InviteUser
from saas.application.log_in import LogIn
from saas.application.queries import GetOrganisation, ListActivities, ListUsers
from saas.application.register import RegisterOrganisation
from saas.application.remove_user import RemoveUser
from saas.application.sessions import LogOut, RefreshSession
from saas.application.upgrade_plan import UpgradePlan
from tests.scene import IDLE, MovableClock
from tests.unit.fakes import PlainPasswords


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def store(clock: MovableClock) -> MemoryStore:
    return MemoryStore(clock, new_id)


@pytest.fixture
def notifier() -> RecordingNotifier:
    return RecordingNotifier()


@pytest.fixture
def passwords() -> PlainPasswords:
    return PlainPasswords()


@pytest.fixture
def tokens(clock: MovableClock) -> JwtTokens:
    return JwtTokens(
        "access secret of 32 bytes or more", "refresh secret of 32 bytes or more", timedelta(minutes=15), clock
    )


@pytest.fixture
def authenticate(tokens: JwtTokens, store: MemoryStore, clock: MovableClock) -> Authenticate:
    return Authenticate(tokens, store.reads, clock)


@pytest.fixture
def register(
    store: MemoryStore, passwords: PlainPasswords, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock
) -> RegisterOrganisation:
    return RegisterOrganisation(store.begin, passwords, tokens, notifier, clock, new_id, IDLE)


@pytest.fixture
def log_in(store: MemoryStore, passwords: PlainPasswords, tokens: JwtTokens, clock: MovableClock) -> LogIn:
    return LogIn(store.begin, store.reads, passwords, tokens, clock, new_id, IDLE)


@pytest.fixture
def refresh(store: MemoryStore, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock) -> RefreshSession:
    return RefreshSession(store.begin, tokens, notifier, clock, IDLE)


@pytest.fixture
def log_out(store: MemoryStore, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock) -> LogOut:
    return LogOut(store.begin, tokens, notifier, clock)


@pytest.fixture
def invite_user(store: MemoryStore, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock) -> InviteUser:
    return InviteUser(store.begin, tokens, notifier, clock, new_id)


@pytest.fixture
def accept_invite(
    store: MemoryStore, passwords: PlainPasswords, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock
) -> AcceptInvite:
    return AcceptInvite(store.begin, store.reads, passwords, tokens, notifier, clock, new_id)


@pytest.fixture
def remove_user(store: MemoryStore, notifier: RecordingNotifier, clock: MovableClock) -> RemoveUser:
    return RemoveUser(store.begin, notifier, clock)


@pytest.fixture
def upgrade_plan(store: MemoryStore, notifier: RecordingNotifier, clock: MovableClock) -> UpgradePlan:
    return UpgradePlan(store.begin, notifier, clock)


@pytest.fixture
def broadcast(store: MemoryStore, notifier: RecordingNotifier, clock: MovableClock) -> Broadcast:
    return Broadcast(store.begin, notifier, clock)


@pytest.fixture
def get_organisation(store: MemoryStore) -> GetOrganisation:
    return GetOrganisation(store.reads)


@pytest.fixture
def list_users(store: MemoryStore) -> ListUsers:
    return ListUsers(store.reads)


@pytest.fixture
def list_activities(store: MemoryStore) -> ListActivities:
    return ListActivities(store.reads)
