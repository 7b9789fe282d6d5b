"""The table of the rate's phases: the docstring shows it, and each row does what it says."""

from __future__ import annotations

import math

import pytest

from target_liveintent.delivery import rate_phases
from target_liveintent.delivery.rate_limit import RateLimit, RateState
from target_liveintent.delivery.rate_phases import (
    TRANSITIONS,
    RateChange,
    RateEvent,
    RatePhase,
    Transition,
)

NOW = 100.0
ROWS = list(TRANSITIONS.items())
ACCEPTED_EVENTS = {RateEvent.ACCEPTED, RateEvent.ACCEPTED_AGAIN, RateEvent.STANDSTILL_OVER}


def row_name(row: tuple[tuple[RatePhase, RateEvent], Transition]) -> str:
    (phase, event), _ = row
    return f"{phase.value}, {event.value}"


def shown(row: tuple[tuple[RatePhase, RateEvent], Transition]) -> str:
    """Return a row of the docstring's table."""
    (phase, event), (change, next_phase, ratio) = row
    parts = [change.value] if change.value else []
    if ratio != 1.0:
        parts.insert(0, f"times {ratio:g}")
    return f"| {phase.value} | {event.value} | {', '.join(parts)} | {next_phase.value} |"


def test_the_docstring_shows_the_table_that_runs() -> None:
    table = [line for line in (rate_phases.__doc__ or "").splitlines() if line.startswith("| ")]
    assert table[1:] == [shown(row) for row in ROWS]


def state_in(phase: RatePhase, event: RateEvent) -> RateState:
    """Return a state in a phase, at ten requests a second if there is a limit."""
    if phase in {RatePhase.OPEN, RatePhase.REOPENED}:
        return RateState(phase)
    is_held = phase is RatePhase.SEARCH or event is RateEvent.STANDSTILL_OVER
    limit = RateLimit.cut(10.0, 10.0, math.inf if is_held else NOW)
    accepted = 1 if event is RateEvent.ACCEPTED_AGAIN else 0
    return RateState(phase, limit, NOW - 1, starts=100, accepted=accepted)


def after(state: RateState, event: RateEvent) -> RateState:
    """Return the state after an event at ten requests a second."""
    if event is RateEvent.THROTTLED:
        return state.throttled(NOW, 10.0, 0.1)
    if event in ACCEPTED_EVENTS:
        return state.took(NOW, ends_standstill=event is RateEvent.STANDSTILL_OVER)
    if event is RateEvent.PROBE_VOID:
        return state.without_probe()
    return state.restarted(event, NOW, 10.0)


@pytest.mark.parametrize(("key", "transition"), ROWS, ids=map(row_name, ROWS))
def test_a_row_leads_to_its_rate_and_next_phase(
    key: tuple[RatePhase, RateEvent], transition: Transition
) -> None:
    phase, event = key
    state = after(state_in(phase, event), event)
    assert state.phase is transition.next_phase
    match transition.change:
        case RateChange.FORGET:
            assert state.rate(NOW + 1000) == math.inf
        case RateChange.CUT:
            assert state.rate(NOW) == state.rate(NOW + 1000) == 10.0 * transition.ratio
        case RateChange.RESTART | RateChange.PROBE:
            assert state.rate(NOW) == pytest.approx(10.0 * transition.ratio)
            assert state.rate(NOW + 1000) == math.inf
        case RateChange.BEGIN_CLIMB | RateChange.STAY:
            assert state.rate(NOW) == 10.0
            assert state.rate(NOW + 1000) == math.inf


# The curve of a climb, and the rules of a cut


@pytest.mark.parametrize(
    ("climbs", "rate"),
    [
        pytest.param(0.0, 5.0, id="starts at the cut rate"),
        pytest.param(0.5, 10 * 0.5**0.125, id="is near the limit after half of it"),
        pytest.param(1.0, 10.0, id="reaches the throttled rate at its end"),
        pytest.param(1.5, 10 * 2**0.125, id="goes on slowly above it"),
        pytest.param(2.9, 10 * 2 ** (1.9**3), id="then quickly"),
        pytest.param(3.0, math.inf, id="forgets the limit after three times its seconds"),
    ],
)
def test_a_climb(climbs: float, rate: float) -> None:
    limit = RateLimit(10.0, 5.0, NOW, 4.0)
    assert limit.rate(NOW + 4.0 * climbs) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("throttled", "retry_after", "seconds"),
    [
        pytest.param(100.0, 0.0, 2.5, id="2.5 s at a high limit"),
        pytest.param(1.0, 0.0, 6.0, id="6 s at one a second"),
        pytest.param(0.25, 0.0, 12.0, id="12 s at one in 4 s"),
        pytest.param(1.0, 30.0, 66.0, id="2 s longer for each of Retry-After"),
        pytest.param(4.0, 10.0, 83.0, id="four times that at four a second"),
        pytest.param(100.0, 10.0, 102.5, id="at most five times"),
    ],
)
def test_how_long_a_climb_takes(throttled: float, retry_after: float, seconds: float) -> None:
    assert RateLimit.cut(throttled, throttled / 2, NOW, retry_after).climb_seconds == seconds


@pytest.mark.parametrize(
    ("starts", "start", "throttled"),
    [
        pytest.param(0, 0.91 * 0.1, 1.0, id="one request in 10 s"),
        pytest.param(3, 0.91 * 0.4, 2.0, id="four requests in 10 s"),
        pytest.param(4, 9.1, 10.0, id="five requests: the rate itself counts"),
    ],
)
def test_a_cut_goes_by_the_used_rate_after_few_starts(
    starts: int, start: float, throttled: float
) -> None:
    """A climb then rests halfway to the throttled rate, at the geometric mean."""
    limit = RateLimit(10.0, 9.0, 0.0, 1.0)
    cut = RateState(RatePhase.NEAR, limit, NOW - 10, starts, accepted=1)._replace(
        phase=RatePhase.CLIMB, limit=limit._replace(climbs_since=NOW)
    )
    after_cut = cut.throttled(NOW, 10.0, 0.1).limit
    assert after_cut is not None
    assert after_cut.start == pytest.approx(start)
    assert after_cut.rest == pytest.approx(throttled)


def test_a_cut_with_retry_after() -> None:
    """A climb begins not far below its rest, and rests below the throttled rate."""
    limit = RateLimit(10.0, 9.0, NOW, 1.0)
    often, seldom = (RateState(RatePhase.CLIMB, limit, NOW - 10, n, accepted=1) for n in (50, 0))
    of_often, of_seldom = (state.throttled(NOW, 10.0, 0.1, 1.0).limit for state in (often, seldom))
    assert of_often is not None
    assert of_seldom is not None
    assert (of_often.start, of_often.rest) == pytest.approx((9.1, 9.3))
    assert (of_seldom.start, of_seldom.rest) == pytest.approx((0.55, 0.93))


@pytest.mark.parametrize(
    ("accepted", "climbs_since", "floor"),
    [
        pytest.param(0, NOW, 0.1, id="the end of a standstill is noticed"),
        pytest.param(1, NOW, 1 / 60, id="a low limit is met"),
        pytest.param(1, NOW - 1000, 0.1, id="a limit that is forgotten says nothing"),
    ],
)
def test_a_cut_has_a_floor(accepted: int, climbs_since: float, floor: float) -> None:
    limit = RateLimit(0.01, 0.01, climbs_since, 1.0)
    state = RateState(RatePhase.CLIMB, limit, NOW - 1000, 100, accepted)
    assert state.throttled(NOW, 0.01, 0.1).rate(NOW) == pytest.approx(floor)


def test_a_limit_that_was_not_met_for_long_is_searched_anew() -> None:
    state = RateState(RatePhase.CLIMB, RateLimit(10.0, 9.0, 0.0, 1.0), 0.0, 100, 50)
    assert state.throttled(NOW, 10.0, 0.1).phase is RatePhase.SEARCH
