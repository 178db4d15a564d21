"""The whole application on fakes: each use case is a fixture of its name, on the same store, clock and notifier."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.entrypoints.composition import UseCases, wire
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
def use_cases(
    store: MemoryStore, passwords: PlainPasswords, tokens: JwtTokens, notifier: RecordingNotifier, clock: MovableClock
) -> UseCases:
    return wire(
        begin=store.begin,
        reads=store.reads,
        passwords=passwords,
        tokens=tokens,
        notifier=notifier,
        clock=clock,
        new_id=new_id,
        idle=IDLE,
    )


def _fixture_of(name: str) -> Callable[..., object]:
    @pytest.fixture(name=name)
    def use_case(use_cases: UseCases) -> object:
        return getattr(use_cases, name)

    return use_case


globals().update({each.name: _fixture_of(each.name) for each in dataclasses.fields(UseCases)})
