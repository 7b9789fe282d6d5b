"""A tap that stays open and sends nothing holds STATE back no longer than one that has ended."""

from __future__ import annotations

import math

import pytest
from fakes import ACCEPTED, REFUSED, batch, machine_of
from unit_support import NOW

from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.request import Request

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


def test_a_refused_event_and_then_silence() -> None:
    """After an earlier acceptance it becomes a dead letter, as at the end of the input."""
    machine = machine_with("bad")
    assert refuse_all(machine, NOW) == NOW + 2 * FLUSH
    assert refuse_all(machine, NOW + 2 * FLUSH - 1) == NOW + 2 * FLUSH
    assert list(machine.finished) == []
    assert refuse_all(machine, NOW + 2 * FLUSH) == math.inf
    (result,) = machine.finished
    assert (result.failure, len(result.undelivered), result.unproven) == (None, 1, 1)


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


def test_many_bad_rows_and_then_silence() -> None:
    """Samples of the same batch are sent until all is known, although no other batch comes."""
    machine = machine_with(*map(str, range(60)))
    refuse_all(machine, NOW)
    assert list(machine.finished) == []
    refuse_all(machine, NOW + 2 * FLUSH)
    (result,) = machine.finished
    assert (result.failure, len(result.undelivered), result.unproven) == (None, 60, 60)


@pytest.mark.parametrize(("events", "accepted"), [(1, False), (101, True)])
def test_silence_fails_no_run(events: int, accepted: bool) -> None:
    """Where the end of the input would fail the run, or nothing was accepted, it waits."""
    machine = machine_with(*map(str, range(events)), accepted=accepted)
    refuse_all(machine, NOW)
    assert refuse_all(machine, NOW + 2 * FLUSH) == math.inf
    assert list(machine.finished) == []
