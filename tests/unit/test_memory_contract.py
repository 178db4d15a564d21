"""The in-memory store keeps the promises of the ports."""

import pytest

from saas.adapters.memory import MemoryStore
from tests.contract import Harness, PortsContract
from tests.scene import MovableClock


@pytest.fixture
def harness(store: MemoryStore, clock: MovableClock) -> Harness:
    return Harness(store.begin, store.reads, clock)


class TestMemory(PortsContract):
    """All of it."""
