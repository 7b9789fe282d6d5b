"""The ID of a run."""

import uuid

from fakes import FakeClock

from target_liveintent.run_id import new_run_id


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time() -> None:
    """Anybody's library reads the ID, and the time is in it."""
    for found in (uuid.UUID(new_run_id(FakeClock(1_700_000_000.123))) for _ in range(50)):
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert found.int >> 80 == 1_700_000_000_123


def test_ids_differ_and_those_of_later_runs_sort_behind() -> None:
    """A listing by name is one by time; hundreds of containers may start in one millisecond."""
    ids = [new_run_id(FakeClock(1_700_000_000 + n / 1_000_000)) for n in range(2000)]
    assert sorted(ids) == ids
    assert len({*ids, *(new_run_id(FakeClock(1_700_000_000)) for _ in range(1000))}) == 3000
