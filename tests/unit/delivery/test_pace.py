"""Rules of the pace that its aims do not show (tests/reliability/test_pace_targets.py)."""

import math

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


def test_a_cap_holds_and_a_search_begins_below_it() -> None:
    """`max_requests_per_minute` holds, and a search begins below it."""
    pace, at = _pace(per_minute=60, jitter=0.0), 0.0
    assert pace.rate == 1.0
    for _ in range(100):
        _ask(pace, at, TAKEN)
        assert pace.next_start() == pace.allowed_at == at + 1.0
        at += 1.0
    _ask(pace, at, LIMITED)
    assert pace.rate == SEARCH_CUT_RATIO


@pytest.mark.parametrize(
    ("tasks", "rate"),
    [
        pytest.param(1, 0.45 * 1.25 * 3 / 0.1, id="one task"),
        pytest.param(5, 0.45 * 1.25 / 5 * 3 / 0.1, id="five tasks begin lower"),
    ],
)
def test_the_first_throttled_request_cuts_the_rate_in_use(tasks: int, rate: float) -> None:
    """That is 1.25 times the requests in flight by their latency."""
    pace = Pace(64, tasks=tasks, jitter=lambda: 0.5)
    for _ in range(3):
        pace.started(0.0)
    pace.answered(0.0, 0.1, LIMITED)
    assert pace.rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("jitter", "share"),
    [
        pytest.param(0.0, 0.875, id="an eighth sooner"),
        pytest.param(1.0, 1.125, id="an eighth later"),
    ],
)
def test_starts_are_spread_by_a_quarter(jitter: float, share: float) -> None:
    pace = _pace(jitter=jitter)
    _ask(pace, 0.0, LIMITED)
    pace.started(10.0)
    assert pace.next_start() == pytest.approx(10.0 + share / pace.rate)


def test_requests_that_hang_hold_the_next_one_back_for_a_time_only() -> None:
    """A full window waits for 13.2 seconds. At the ceiling, an answer must come first."""
    pace = _pace(3)
    for number in range(2):
        pace.started(float(number))
    assert pace.next_start() == 14.2
    pace.started(14.2)
    assert pace.next_start() is None


# Standstills


def test_a_standstill_closes_the_window_and_its_end_opens_it_anew() -> None:
    """After it, no limit is known, and two requests may be in flight beside those that hang."""
    pace = _pace()
    for number in range(20):
        _ask(pace, float(number), TAKEN)
    pace.started(30.0)  # Hangs.
    for number in range(8):
        _ask(pace, 40.0 + 5 * number, FAULT)
        assert (pace.window == 1) is (number == 7)
    assert pace.rate is not None
    _ask(pace, 90.0, TAKEN)
    assert pace.rate is None
    assert pace.window == 3


def test_a_fault_says_nothing_of_a_limit_before_the_fifth_in_a_row() -> None:
    pace = _pace()
    for number in range(5):
        assert pace.rate is None
        _ask(pace, float(number), FAULT)
    assert pace.rate is not None


# Throttling that does not depend on the rate


def _half_throttled() -> tuple[Pace, float]:
    """Return a pace of which a request in two is throttled, just after its probe began."""
    pace, at = _pace(), 0.0
    for _ in range(8):
        at = _ask(pace, at, TAKEN)
    before = math.inf
    for number in range(200):
        at = max(at, pace.next_start())
        before = pace.rate or math.inf
        at = _ask(pace, at, LIMITED if number % 2 else TAKEN)
        if (pace.rate or math.inf) > 2 * before:
            return pace, at
    raise AssertionError


def test_a_probe_is_not_held_back_by_the_window() -> None:
    pace, at = _half_throttled()
    for _ in range(10):
        assert pace.next_start() <= at + 1
        pace.started(at)
    assert pace.next_start() >= at + 13.2


def test_random_throttling_do_not_cut_the_rate_after_a_probe() -> None:
    pace, at = _half_throttled()
    probe_rate = pace.rate
    for number in range(10):
        assert pace.rate >= probe_rate
        at = _ask(pace, at, LIMITED if number % 2 else TAKEN, seconds=0.01)
    assert pace.rate == pytest.approx(0.6 * probe_rate)
    for number in range(40):
        rate = pace.rate
        at = _ask(pace, at, LIMITED if number % 2 else TAKEN, seconds=0.01)
        assert pace.rate >= rate


def test_too_many_random_throttling_cut_the_rate_by_four_tenths() -> None:
    pace, at = _half_throttled()
    for number in range(10):
        at = _ask(pace, at, LIMITED if number % 2 else TAKEN, seconds=0.01)
    rates = [pace.rate]
    for _ in range(6):
        at = _ask(pace, at, LIMITED, seconds=0.0)
        rates.append(pace.rate)
    assert rates[:6] == [rates[0]] * 6
    assert rates[6] == pytest.approx(0.6 * rates[0])


def test_a_retry_after_makes_the_result_of_a_probe_void() -> None:
    pace, at = _half_throttled()
    for number in range(10):
        at = _ask(pace, at, LIMITED if number % 2 else TAKEN, seconds=0.0)
    rate = pace.rate
    _ask(pace, at, LIMITED, 30.0, seconds=0.0)
    assert pace.rate < rate


# What the API asks to wait


@pytest.mark.parametrize("verdict", [LIMITED, FAULT], ids=["429 or 503", "fault"])
def test_clients_do_not_all_start_at_the_end_of_a_retry_after(verdict: Verdict) -> None:
    """A fault with a `Retry-After` is a throttled request as well."""
    paces = [_pace(jitter=jitter) for jitter in (0.0, 1.0, 0.5)]
    for pace in paces:
        _ask(pace, 0.0, verdict, 30.0)
    early, late, at = (pace.next_start() for pace in paces)
    assert late - early == pytest.approx(0.5 / paces[0].rate)
    pace.started(at)
    assert pace.next_start() == pytest.approx(at + 1 / pace.rate)


@pytest.mark.parametrize(
    ("started_at", "waits"), [(1.0, True), (20.0, False)], ids=["started before", "started after"]
)
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


@pytest.mark.parametrize(
    ("seconds", "is_limit"), [(300.0, False), (1.0, True)], ids=["300 s", "1 s"]
)
def test_a_start_in_a_maintenance(seconds: float, is_limit: bool) -> None:
    """What was throttled for long before anything was taken shows no limit of the rate."""
    pace = _pace(8)
    _ask(pace, 1_000.0, LIMITED, seconds)
    _ask(pace, 1_001.0 + seconds, TAKEN)
    assert (pace.rate is not None) is is_limit
