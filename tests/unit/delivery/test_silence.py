"""A tap that stays open and sends nothing holds STATE back no longer than one that has ended."""

import math

import pytest
from fakes import ACCEPTED, REFUSED, batch, machine_of
from unit_support import NOW

from target_liveintent.delivery.machine import DeliveryMachine, Request

FLUSH = 10
"""The setting `flush_interval_seconds`; twice as long, the input is silent."""


def refuse_all(machine: DeliveryMachine, now: float) -> float:
    """Refuse what is sent now; return when the machine wants to be asked again."""
    while isinstance(step := machine.next(now, now), Request):
        machine.answered(step, REFUSED, now)
    return step


def machine_with(*names: str, accepted: bool = True) -> DeliveryMachine:
    """Return a machine with a batch that came now."""
    machine = machine_of(accepted=accepted, flush_interval_seconds=FLUSH)
    machine.add(batch(*names))
    return machine


@pytest.mark.parametrize("events", [1, 60])
def test_refused_events_and_then_silence(events: int) -> None:
    """After an earlier acceptance they become dead letters, as at the end of the input.

    Samples of the same batch are sent until all is known, although no other batch comes.
    """
    machine = machine_with(*map(str, range(events)))
    assert refuse_all(machine, NOW) == NOW + 2 * FLUSH
    assert refuse_all(machine, NOW + 2 * FLUSH - 1) == NOW + 2 * FLUSH
    assert list(machine.finished) == []
    assert refuse_all(machine, NOW + 2 * FLUSH) == math.inf
    (result,) = machine.finished
    found = (result.failure, len(result.undelivered), result.unproven)
    assert found == (None, events, events)


def test_a_batch_that_comes_ends_the_silence() -> None:
    """Then there is something to compare with again."""
    machine = machine_with("bad")
    refuse_all(machine, NOW)
    machine.add(batch("good", number=1))
    step = machine.next(NOW + 15, NOW + 15)
    assert isinstance(step, Request)
    assert machine.next(NOW + 2 * FLUSH, NOW) == math.inf
    assert list(machine.finished) == []
    machine.answered(step, ACCEPTED, NOW + 2 * FLUSH)
    assert sum(result.unproven for result in machine.finished) == 0
    assert len(machine.finished) == 2


@pytest.mark.parametrize(("events", "accepted"), [(1, False), (101, True)])
def test_silence_fails_no_run(events: int, accepted: bool) -> None:
    """Where the end of the input would fail the run, or nothing was accepted, it waits."""
    machine = machine_with(*map(str, range(events)), accepted=accepted)
    refuse_all(machine, NOW)
    assert refuse_all(machine, NOW + 2 * FLUSH) == math.inf
    assert list(machine.finished) == []
