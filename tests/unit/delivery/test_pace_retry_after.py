"""How long a `Retry-After` counts, and at which rate requests start after it."""

from __future__ import annotations

import math

import pytest

from target_liveintent.delivery.pace import (
    CLIMB,
    CUT,
    GUESS,
    REPAID,
    STEEP_CUT,
    Pace,
    Signal,
)

WAIT = 30.0


def _limited(rate: float, retry_after: float | None = None) -> Pace:
    """Return a pace that was refused at the given rate, at the time 0."""
    pace = Pace(64, jitter=lambda: 0.5)
    pace.started(-GUESS / rate)
    pace.answered(-GUESS / rate, 0.0, Signal.LIMITED, retry_after)
    return pace


def _use(pace: Pace, taken: int) -> float:
    """Let so many requests be taken at once, each as soon as it may start; return the time."""
    at = 0.0
    for _ in range(taken):
        at = pace.next_start() or 0.0
        pace.started(at)
        pace.answered(at, at, Signal.TAKEN)
    return at


def _refuse(pace: Pace, retry_after: float | None) -> tuple[float, float]:
    """Refuse the next request at once; return when, and the rate at which it started."""
    at = pace.next_start()
    assert at is not None
    pace.started(at)
    rate = pace.rate
    assert rate is not None
    pace.answered(at, at, Signal.LIMITED, retry_after)
    return at, rate


@pytest.mark.parametrize(("started_at", "waits"), [(1.0, True), (20.0, False)])
def test_what_ends_a_retry_after(started_at: float, waits: bool) -> None:
    """Only a request that started after it, and was taken, shows that the API takes more now."""
    pace = Pace(8, jitter=lambda: 0.5)
    for start in (0.0, 0.0):
        pace.started(start)
    pace.answered(0.0, 0.5, Signal.LIMITED)
    pace.started(1.0)
    pace.answered(0.0, 2.0, Signal.LIMITED, 30.0)
    if started_at > 1.0:
        pace.started(started_at)
    pace.answered(started_at, started_at + 1.5, Signal.TAKEN)
    start = pace.next_start()
    assert start is not None
    assert (start >= 32.0) is waits


@pytest.mark.parametrize("taken", [1, 4, 16])
def test_the_rate_after_it_is_halfway_to_the_rate_in_use(taken: int) -> None:
    """A `Retry-After` gives the API time to fill a bucket: the limit is lower than what follows."""
    pace = _limited(40.0, WAIT)
    _use(pace, 8)
    _refuse(pace, WAIT)
    began = _use(pace, 1)
    _use(pace, taken - 1)
    at, refused = _refuse(pace, WAIT)
    in_use = taken / (WAIT + at - began)
    assert pace.rate == pytest.approx(math.sqrt(refused * in_use))


def test_idle_time_does_not_count_as_use() -> None:
    """A tap that has no records for an hour says nothing of the limit."""
    pace = _limited(40.0, WAIT)
    _use(pace, 16)
    assert pace.rate is not None
    rate = pace.rate
    pace.started(3600.0)
    pace.answered(3600.0, 3600.0, Signal.TAKEN)
    _, refused = _refuse(pace, WAIT)
    assert refused == pytest.approx(rate, rel=0.1)
    assert pace.rate == pytest.approx(math.sqrt(refused * 17 / WAIT), rel=0.1)


def test_a_rate_that_was_in_use_for_long_is_cut_little() -> None:
    """Then the wait hardly counts."""
    pace = _limited(40.0, 0.001)
    _use(pace, 100)
    _, refused = _refuse(pace, 0.001)
    assert pace.rate == pytest.approx(CUT * refused)


def test_the_first_refusal_begins_a_search() -> None:
    """Nothing is known of the rate in use before it."""
    pace = _limited(40.0, WAIT)
    assert pace.rate == pytest.approx(STEEP_CUT * 40.0)


@pytest.mark.parametrize(("climbs", "rate"), [(1.0, 40.0 * math.sqrt(STEEP_CUT)), (2.0, 40.0)])
def test_the_climb_rests_below_the_rate_that_was_refused(climbs: float, rate: float) -> None:
    """Another refusal costs as long a wait, so the rate comes back to it in two climbs, not one."""
    pace = _limited(40.0, WAIT)
    ends_at = _use(pace, 1) + climbs * (CLIMB + REPAID * WAIT)
    while _use(pace, 1) < ends_at:
        pass
    assert pace.rate == pytest.approx(rate, rel=0.01)
