"""What writes know of each other, by small files next to the dead letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from target_liveintent.run import RunCounts
from target_liveintent.spark.acceptances import Acceptance, RecentEvents
from target_liveintent.spark.attempts import MicroBatch, Write
from target_liveintent.storage import ObjectStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore("a folder", str(tmp_path), 0, lambda _: None)


def counts(**outcomes: int) -> RunCounts:
    """Return the counts of a write: `delivered`, or the number of a reason."""
    made = RunCounts()
    one = made.of("orders")
    one.delivered = outcomes.pop("delivered", 0)
    one.rejected = Counter(outcomes)
    one.read = one.delivered + sum(outcomes.values())
    return made


def recent(store: ObjectStore, batch: int, run: str = "aa", **outcomes: int) -> RecentEvents:
    """Add the counts of a micro-batch."""
    write = Write("a1b2", "7e57", MicroBatch("query", batch, run, 1))
    made = RecentEvents(store, write, counts(**outcomes))
    made.save()
    return made


def test_an_acceptance_is_known_to_all(store: ObjectStore, tmp_path: Path) -> None:
    """It is kept in a file that is no dead letter, and is of one account and pixel."""
    one = Acceptance(store, "account")
    assert not one.is_known()
    one.note()
    assert one.is_known()
    assert Acceptance(store, "account").is_known()
    assert not Acceptance(store, "another").is_known()
    assert list(tmp_path.rglob("*.singer")) == []


def test_micro_batches_are_judged_together(store: ObjectStore) -> None:
    """The newest ones that have 1,000 records together count, and no older ones."""
    recent(store, 1, refused_by_api=500)
    recent(store, 2, delivered=400)
    assert recent(store, 3, delivered=599).counts.total.read == 1_499
    total = recent(store, 4, invalid_source=1).counts.total
    assert (total.read, total.delivered, total.rejected) == (1_000, 999, {"invalid_source": 1})
    assert total.unsettled == 0


def test_a_micro_batch_that_begins_again_counts_once(store: ObjectStore) -> None:
    recent(store, 1, delivered=1)
    recent(store, 2, refused_by_api=5)
    recent(store, 2, refused_by_api=3)  # The second write of that micro-batch.
    total = recent(store, 2, "bb", delivered=8).counts.total
    assert (total.delivered, total.rejected) == (9, {})


def test_a_file_that_is_half_written(store: ObjectStore) -> None:
    """A driver that was killed while it wrote costs the stream its memory, not its life."""
    recent(store, 1, delivered=7)
    store.put("_recent/query-7e57", b'[{"batch":1,"run"')
    assert recent(store, 2, delivered=1).counts.total.delivered == 1
