"""Rules of the pace that its aims do not show (tests/reliability/test_pace_targets.py)."""

import pytest

from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.rate_phases import SEARCH_CUT_RATIO

TAKEN, LIMITED, FAULT = Verdict.ACCEPTED, Verdict.LIMITED, Verdict.FAULT


def _pace(ceiling: int = 64, *, per_minute: int | None = None, jitter: float = 0.5) -> Pace:
    return Pace(ceiling, per_minute=per_minute, jitter=lambda: jitter)


def _ask(
    pace: Pace, at: float, verdict: Verdict, retry_after: float = 0.0, seconds: float = 0.1
) -> float:
    """Start a request, answer it, and return the time of the answer."""
    pace.started(at)
    pace.answered(at, at + seconds, verdict, retry_after)
    return at + seconds


# How many requests may be in flight


def test_the_ceiling_holds() -> None:
    pace, at = _pace(1), 0.0
    for _ in range(100):
        assert pace.window == 1
        pace.started(at)
        assert pace.next_start() is None
        pace.answered(at, at + 0.1, TAKEN)
        at += 0.1


# How many requests may start in a second


def test_a_cap() -> None:
    """`max_requests_per_minute` holds, and a search begins below it."""
    pace, at = _pace(per_minute=60, jitter=0.0), 0.0
    assert pace.rate == 1.0
    for _ in range(100):
        _ask(pace, at, TAKEN)
        assert pace.next_start() == pace.allowed_at == at + 1.0
        at += 1.0
    _ask(pace, at, LIMITED)
    assert pace.rate == SEARCH_CUT_RATIO


# What the API asks to wait


@pytest.mark.parametrize("verdict", [LIMITED, FAULT])
def test_clients_do_not_all_start_at_the_end_of_a_retry_after(verdict: Verdict) -> None:
    """A fault with a `Retry-After` is a refusal as well."""
    paces = [_pace(jitter=jitter) for jitter in (0.0, 1.0, 0.5)]
    for pace in paces:
        _ask(pace, 0.0, verdict, 30.0)
    early, late, at = (pace.next_start() for pace in paces)
    assert late - early == pytest.approx(0.5 / paces[0].rate)
    pace.started(at)
    assert pace.next_start() == pytest.approx(at + 1 / pace.rate)


@pytest.mark.parametrize(("started_at", "waits"), [(1.0, True), (20.0, False)])
def test_what_ends_a_retry_after(started_at: float, waits: bool) -> None:
    """Only a request that started after it, and was taken, shows that the API takes more now."""
    pace = _pace(8)
    for _ in range(2):
        pace.started(0.0)
    pace.answered(0.0, 0.5, LIMITED)
    pace.started(1.0)
    pace.answered(0.0, 2.0, LIMITED, 30.0)
    if started_at > 1.0:
        pace.started(started_at)
    pace.answered(started_at, started_at + 1.5, TAKEN)
    assert (pace.next_start() >= 32.0) is waits


@pytest.mark.parametrize(("seconds", "is_limit"), [(300.0, False), (1.0, True)])
def test_a_start_in_a_maintenance(seconds: float, is_limit: bool) -> None:
    """What was refused for long before anything was taken shows no limit of the rate."""
    pace = _pace(8)
    _ask(pace, 1_000.0, LIMITED, seconds)
    _ask(pace, 1_001.0 + seconds, TAKEN)
    assert (pace.rate is not None) is is_limit
