"""The machine's clock and ids."""

from datetime import UTC, timedelta
from uuid import RFC_4122, UUID

from saas.adapters.system import new_id, utc_now


def test_now_has_its_zone() -> None:
    assert utc_now().tzinfo is UTC
    assert utc_now() - utc_now() < timedelta(seconds=1)


def test_ids_are_uuids_of_version_7() -> None:
    made = new_id()

    assert type(made) is UUID
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_carry_the_time_they_were_made() -> None:
    before = int(utc_now().timestamp() * 1000)

    assert abs((new_id().int >> 80) - before) < 1_000


def test_ids_sort_by_age_also_within_a_millisecond() -> None:
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
