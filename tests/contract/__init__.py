"""What every adapter of `Begin` and `Reads` must do for the use cases, whatever its storage.

A suite for an adapter is a subclass of `PortsContract` in a module that defines the fixture `harness`. The store may
hold other data, and other tests' data: each test here makes its own.
"""

from tests.contract.actors import ActorContract
from tests.contract.harness import Harness
from tests.contract.people import PeopleContract
from tests.contract.reads import ReadsContract
from tests.contract.tenants import TenantContract
from tests.contract.unit_of_work import UnitOfWorkContract

__all__ = ["Harness", "PortsContract"]


class PortsContract(UnitOfWorkContract, PeopleContract, TenantContract, ActorContract, ReadsContract):
    """All contracts together, for an adapter's suite to inherit."""
