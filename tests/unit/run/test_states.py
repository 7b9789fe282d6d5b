"""Which STATE a run publishes, and when it publishes none any more."""

from __future__ import annotations

import pytest
from fakes import FakeClock

from target_liveintent.errors import StorageError, TooManyRejectedError
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.states import StateGate, StatePublisher


class Publishing:
    """A publisher, and what it has done."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.done: list[str] = []
        self.failing = False
        self.gate, self.counts = StateGate(), RunCounts(clock=FakeClock())
        self.publisher = StatePublisher(
            self.gate,
            self.counts,
            50,
            write_outcomes=self._write_outcomes,
            write_state=self.done.append,
            is_open=is_open,
        )

    def _write_outcomes(self) -> None:
        if self.failing:
            msg = "the disk is full"
            raise StorageError(msg)
        self.done.append("outcomes")

    def hold(self, state: str) -> None:
        self.gate.hold(state)

    def reject(self, count: int) -> None:
        orders = self.counts.of("orders")
        orders.read += count
        orders.rejected["invalid_source"] += count


@pytest.mark.promise(
    "A STATE is written only when the store has the outcome of every record before it"
)
def test_outcomes_are_written_before_state() -> None:
    made = Publishing()
    made.publisher.publish_due()
    made.hold("1")
    made.publisher.publish_due()
    made.publisher.publish_due()
    assert made.done == ["outcomes", "1"]


def test_a_closed_publisher_publishes_nothing() -> None:
    """Neither in a dry run or a canary, nor after a failure of the store."""
    for is_open in (False, True):
        made = Publishing(is_open=is_open)
        made.publisher.close()
        made.hold("1")
        made.publisher.publish_due()
        made.publisher.publish_last()
        assert made.done == []


def test_a_failed_write_closes_for_good() -> None:
    """Nobody knows what the store has, so no later STATE is true."""
    made = Publishing()
    made.failing = True
    made.hold("1")
    with pytest.raises(StorageError, match="the disk is full"):
        made.publisher.publish_due()
    made.failing = False
    made.hold("2")
    made.publisher.publish_due()
    assert made.done == []


def test_a_rejected_record_withholds_state_until_the_end() -> None:
    """A run that delivers nothing may still fail; once it was judged, its STATE is written."""
    made = Publishing()
    made.reject(9)
    made.hold("1")
    made.publisher.publish_due()
    assert made.done == []
    made.publisher.begin_end()
    made.publisher.publish_due()
    assert made.done == []
    made.publisher.publish_last()
    assert made.done == ["outcomes", "1"]


@pytest.mark.parametrize("last", [False, True], ids=["before a withheld STATE", "at the end"])
def test_too_many_dead_letters_close_for_good(last: bool) -> None:
    """At the end, ten dead letters are enough if nothing is delivered; before it, 1,000 are."""
    made = Publishing()
    made.reject(10 if last else 1_000)
    made.hold("1")
    made.publisher.begin_end() if last else None
    with pytest.raises(TooManyRejectedError):
        made.publisher.publish_last() if last else made.publisher.publish_due()
    made.counts.of("orders").delivered = 1
    made.hold("2")
    made.publisher.publish_due()
    assert made.done == []
