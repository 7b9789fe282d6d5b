"""Events on which the API always fails do not stop a run, and limits and outages blame no event."""

import random
from collections.abc import Callable

import pytest
from fakes import ACCEPTED, FAULT, LIMITED, FakeClient, FakeClock, answers, batch, drive, machine_of
from sending import Asked, one_at_a_time, send
from unit_support import NOW

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.machine import Request
from target_liveintent.errors import OutageError

BUSY = Answer(Verdict.LIMITED, "HTTP 503", 503)
SILENT = Answer(Verdict.LIMITED, "no answer came in time")
FAILURES = {"500": FAULT, "503": BUSY, "429": LIMITED, "no answer": SILENT}


def failing_on(poison: set[int], failure: Answer) -> Callable[[Asked], Answer]:
    """Return the answers of an API that always fails on some events."""
    return lambda asked: failure if poison & asked.events else ACCEPTED


def limited_to(rate: float) -> Callable[[Asked], Answer]:
    """Return the answers of an API that takes one request in so many seconds, and no bursts."""
    full_at = [0.0]

    def answer(asked: Asked) -> Answer:
        if asked.now < full_at[0]:
            return LIMITED
        full_at[0] = asked.now + 1 / rate
        return ACCEPTED

    return answer


@pytest.mark.parametrize(("at_once", "failure"), one_at_a_time([64, 1, 2], [*FAILURES]))
def test_a_poison_event_among_others(at_once: int, failure: str) -> None:
    """It is found while the API accepts others, whatever it answers, and becomes a dead letter."""
    sent = send(20_000, failing_on({4_040}, FAILURES[failure]), at_once)
    assert (sent.failure, sent.refused, sent.reasons) == (None, {4_040}, {"api_error"})
    assert sent.delivered == [*range(4_040), *range(4_041, 20_000)]
    assert sent.seconds < 1_800


@pytest.mark.parametrize(
    ("failure", "budget", "events", "poison"),
    [
        *((failure, 20, 1_000, {999}) for failure in FAILURES),
        ("503", 300, 1_000, {999}),
        ("503", 20, 1_000, {920}),
        ("503", 20, 8, {0}),
        ("500", 20, 8, {5}),
        # What is left of a few batches is given up together.
        ("503", 60, 1_000, {850, 999}),
    ],
)
def test_poison_events_at_the_end(failure: str, budget: int, events: int, poison: set[int]) -> None:
    """They are found by their own batch, in a few times the budget, though nothing else is left."""
    sent = send(events, failing_on(poison, FAILURES[failure]), 64, max_retry_seconds=budget)
    assert (sent.failure, sent.refused, sent.reasons) == (None, poison, {"api_error"})
    assert len(sent.delivered) == events - len(poison)
    assert sent.seconds < 8 * budget


def test_what_comes_after_events_that_were_given_up() -> None:
    """Events that another run had reserved may come later: they have all of the time."""
    machine = machine_of(max_retry_seconds=20)
    machine.add(batch("good", "poison"))
    clock = FakeClock()
    machine.drain()
    while not (machine.finished and machine.finished[-1].is_last):
        step = machine.next(clock.now, clock.now)
        if isinstance(step, float):
            clock.now = step
        else:
            is_bad = any(one.event_id == "poison" for one in step.conversions)
            machine.answered(step, BUSY if is_bad else ACCEPTED, clock.now)
    assert [one.reason for one in machine.finished.pop().undelivered] == ["api_error"]
    machine.finished.clear()
    machine.add(batch("later", number=1))
    (second,) = drive(machine, answers(FAULT, ACCEPTED), clock)
    assert (second.failure, len(second.delivered)) == (None, 1)


def test_an_event_that_did_not_fail_alone() -> None:
    """At the end, no event is blamed for the faults of a request that had others in it."""
    machine = machine_of(max_retry_seconds=60)
    machine.add(batch("1", "2"))
    machine.add(batch("good", number=1))
    machine.drain()
    for seconds, took, answer in (
        (0, 1, FAULT),
        (2, 1, ACCEPTED),
        (15, 1, FAULT),
        (31, 1, FAULT),
        (60, 16, FAULT),
    ):
        sent = machine.next(NOW + seconds, NOW)
        assert isinstance(sent, Request)
        machine.answered(sent, answer, NOW + seconds + took)
    assert len(sent.conversions) == 1
    results = [result for result in machine.finished if result.batch.number == 0]
    assert [(type(one.failure), one.undelivered) for one in results] == [(OutageError, [])]


@pytest.mark.parametrize("failure", [FAULT, BUSY])
def test_a_single_event_with_nothing_after_it(failure: Answer) -> None:
    """If nothing was accepted after its first fault, it may be an outage: the run fails."""
    machine = machine_of(max_retry_seconds=20)
    machine.add(batch("good"))
    machine.add(batch("last", number=1))
    client = FakeClient(lambda ids: failure if ids == ["last"] else ACCEPTED)
    clock = FakeClock()
    while not machine.finished:
        request = machine.next(clock.now, clock.now)
        assert not isinstance(request, float)
        machine.answered(request, ACCEPTED, clock.now)
    results = drive(machine, client, clock)
    assert [type(result.failure) for result in results] == [type(None), OutageError]
    assert results[1].undelivered == []


def test_a_lack_of_descriptors_blames_no_event() -> None:
    """However often the same request is not made for want of one, while others are accepted."""
    starved = Answer(Verdict.STARVED, "no file descriptors are left")
    sent = send(300, failing_on({7}, starved), 64, batch_size=1, max_retry_seconds=20)
    assert isinstance(sent.failure, OutageError)
    assert (sent.refused, len(sent.delivered)) == (set(), 299)


@pytest.mark.parametrize("rate", [0.1, 0.02, 0.005])
def test_a_strict_limit_blames_no_event(rate: float) -> None:
    """However few requests a limit lets through, what waits for it is delivered."""
    sent = send(12, limited_to(rate), 64, batch_size=1)
    assert (sent.failure, sent.refused, len(sent.delivered)) == (None, set(), 12)


def test_a_limit_that_others_use_up_blames_no_event() -> None:
    """Seven of ten requests come too fast, at random, and each batch is a single event."""
    rng = random.Random(1)  # noqa: S311
    sent = send(300, lambda _: LIMITED if rng.random() < 0.7 else ACCEPTED, 64, batch_size=1)
    assert (sent.failure, sent.refused, len(sent.delivered)) == (None, set(), 300)


@pytest.mark.parametrize(
    ("failure", "batch_size", "events"), one_at_a_time([*FAILURES], [1, 100], [150, 2, 1_000])
)
def test_an_outage_at_the_end_blames_no_event(failure: str, batch_size: int, events: int) -> None:
    """From the middle of a run on, the API fails on everything: no dead letter."""
    good = events // batch_size // 2
    answer = lambda asked: ACCEPTED if asked.number <= good else FAILURES[failure]  # noqa: E731
    sent = send(events, answer, 64, batch_size=batch_size)
    assert isinstance(sent.failure, OutageError)
    assert sent.refused == set()
