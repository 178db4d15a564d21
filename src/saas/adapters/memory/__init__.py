"""The ports, implemented with dictionaries for the use cases' tests: to a use case it behaves like a database.

store = MemoryStore(clock, new_id)
store.add(acme, ada)
store.add_to(acme, Membership(person=ada.person, role=Role.ADMIN, joined_at=clock(), updated_at=clock()))
await Broadcast(store.begin, notifier, clock)(actor, "Hello")
assert [activity.seq for activity in store.activities] == [1]
"""

from saas.adapters.memory.notifier import RecordingNotifier
from saas.adapters.memory.store import MemoryStore

__all__ = ["MemoryStore", "RecordingNotifier"]
