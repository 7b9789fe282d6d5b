"""How events become batches, and where the events of a batch go once they are reserved."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from fakes import FakeClock, event

from target_liveintent.run.batches import Batches
from target_liveintent.run.state_gate import StateGate
from target_liveintent.store import Claim


class Filled(NamedTuple):
    """Batches into which events were put."""

    batches: Batches
    gate: StateGate
    clock: FakeClock

    def read(self, stream: str, *names: str) -> list[bool]:
        """Put events into a stream's batch; return whether it was full after each of them."""
        return [self.batches.add(stream, event(name)) for name in names]

    @property
    def full(self) -> list[tuple[int, str, str]]:
        """The number, the stream and the events of each batch that takes no more events."""
        return [
            (one.number, one.stream, "".join(event.event_id for event in one.conversions))
            for one in self.batches.full
        ]


@pytest.fixture
def filled() -> Filled:
    """Return batches of at most three events."""
    gate, clock = StateGate(), FakeClock()
    return Filled(Batches(gate, 3, clock), gate, clock)


def test_each_stream_fills_its_own_batch(filled: Filled) -> None:
    """A batch is full with so many events; it is closed when its stream is asked for."""
    assert filled.read("orders", "1", "2") == [False, False]
    assert filled.read("leads", "3") == [False]
    assert filled.read("orders", "4") == [True]
    assert not filled.batches
    for stream in ("orders", "people", "leads", "orders"):
        filled.batches.close(stream)
    assert filled.batches
    filled.read("orders", "5")
    assert filled.full == [(0, "orders", "124"), (1, "leads", "3")]


def test_old_batches_are_closed(filled: Filled) -> None:
    """A batch that was opened at a moment, or before it, takes no more events."""
    start = filled.clock.now
    for stream in ("a", "b", "c"):
        filled.read(stream, stream)
        filled.clock.now += 1
    filled.batches.close_opened_before(start - 1)
    assert filled.full == []
    filled.batches.close_opened_before(start + 1)
    assert filled.full == [(0, "a", "a"), (1, "b", "b")]
    assert [one.opened_at for one in filled.batches.full] == [start, start + 1]


@pytest.mark.parametrize(
    ("claimed", "reserved", "kept"),
    [
        # The events that are to be sent, those that wait, and those that were sent before.
        (("123", "", ""), {0: "123"}, {}),
        (("12", "", "3"), {0: "12"}, {}),
        (("1", "2", "3"), {0: "1"}, {1: "2"}),
        (("", "12", "3"), {}, {0: "12"}),
        (("", "", "123"), {}, {}),
    ],
)
def test_the_events_of_a_batch_are_divided(
    filled: Filled, claimed: tuple[str, str, str], reserved: dict[int, str], kept: dict[int, str]
) -> None:
    """Some are sent, some wait, and some have their outcome; STATE waits for the others."""
    filled.read("orders", "1", "2", "3")
    filled.batches.close("orders")
    filled.gate.hold("{}")
    (batch,) = filled.batches.full
    claim = Claim(*([event(name) for name in names] for names in claimed))
    filled.batches.divide([(batch, claim)])
    found = [
        {one.number: "".join(event.event_id for event in one.conversions) for one in group}
        for group in (filled.batches.full, filled.batches.reserved, filled.batches.waiting)
    ]
    assert found == [{}, reserved, kept]
    for number in (*reserved, *kept):
        assert filled.gate.due() is None
        filled.gate.finish_batch(number)
    assert filled.gate.due() == "{}"


def test_batches_that_the_store_was_not_asked_about_stay(filled: Filled) -> None:
    """Full batches, and those that wait, stay where they are until they are divided."""
    for name in ("1", "2", "3", "4"):
        filled.read("orders", name)
        filled.batches.close("orders")
    first, second, *_ = filled.batches.full
    waiting = [(one, Claim([], one.conversions, [])) for one in (first, second)]
    filled.batches.divide(waiting)
    filled.batches.divide([(second, Claim(second.conversions, [], []))])
    assert (filled.batches.waiting, [*filled.batches.reserved]) == ([first], [second])
    assert filled.full == [(2, "orders", "3"), (3, "orders", "4")]
