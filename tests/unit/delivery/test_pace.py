"""The rules of the pace, one by one. All times are made up."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from target_liveintent.delivery.pace import (
    CLIMB,
    CLIMB_AT_ONE,
    CUT,
    DIVE,
    FAULTS,
    FEW,
    FOUND,
    GONE,
    GUESS,
    LEAST_RATE,
    LONGEST_GAP,
    NARROWER,
    OUTAGE,
    PATIENCE,
    REPAID,
    SPREAD,
    STARVED_PAUSE,
    STEEP_CUT,
    Pace,
    Signal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TAKEN, LIMITED, STARVED, FAULT = Signal


def _pace(ceiling: int = 64, *, per_minute: int | None = None, jitter: float = 0.5) -> Pace:
    return Pace(ceiling, per_minute=per_minute, jitter=lambda: jitter)


def _ask(
    pace: Pace, at: float, signal: Signal, retry_after: float | None = None, seconds: float = 0.1
) -> float:
    """Start a request, answer it, and return the time of the answer."""
    pace.started(at)
    pace.answered(at, at + seconds, signal, retry_after)
    return at + seconds


def _fill(pace: Pace, at: float) -> int:
    """Start as many requests as the window allows, and return how many."""
    count = 0
    while pace.in_flight < pace.window:
        pace.started(at)
        count += 1
    return count


def _keep_full(
    pace: Pace, at: float, answers: int, latency: Callable[[], float] = lambda: 0.1
) -> float:
    """Keep the window full until as many are taken, then let the rest be taken too.

    Return the time of the last answer.
    """
    flying: list[tuple[float, float]] = []
    for left in range(answers, 0, -1):
        for _ in range(_fill(pace, at)):
            heapq.heappush(flying, (at + latency(), at))
        for _ in range(len(flying) if left == 1 else 1):
            at, started_at = heapq.heappop(flying)
            pace.answered(started_at, at, TAKEN)
    return at


def _limited(rate: float) -> Pace:
    """Return a pace that knows a limit: it was refused at the given rate, at the time 0."""
    pace = _pace()
    pace.started(-GUESS / rate)
    pace.answered(-GUESS / rate, 0.0, LIMITED)
    for _ in range(FOUND):
        _ask(pace, 0.0, TAKEN, seconds=0.0)
    assert pace.rate == pytest.approx(rate * STEEP_CUT)
    return pace


def _use(pace: Pace, starts: int) -> float:
    """Let so many requests be taken, each as soon as it may start; return when the next may."""
    for _ in range(starts):
        _ask(pace, pace.next_start(), TAKEN, seconds=0.0)
    return pace.next_start()


class TestWindow:
    """How many requests may be in flight."""

    def test_it_starts_with_two(self) -> None:
        pace = _pace()
        assert pace.next_start() < 0.0
        assert _fill(pace, 0.0) == 2
        assert pace.next_start() == LONGEST_GAP

    def test_the_ceiling_holds(self) -> None:
        pace = _pace(1)
        assert _fill(pace, 0.0) == 1
        assert pace.next_start() is None
        for at in range(100):
            pace.answered(at, at + 0.1, TAKEN)
            assert _fill(pace, at + 0.1) == 1

    @pytest.mark.parametrize(("answers", "width"), [(1, 2), (2, 3), (4, 4), (6, 5), (200, 64)])
    def test_it_widens_by_half_of_what_is_taken(self, answers: int, width: int) -> None:
        pace = _pace()
        _keep_full(pace, 0.0, answers)
        assert pace.window == width

    def test_it_does_not_widen_unless_it_is_full(self) -> None:
        pace, at = _pace(), 0.0
        for _ in range(100):
            at = _ask(pace, at, TAKEN)
        assert pace.window == 2

    @pytest.mark.parametrize(("answers", "width"), [(5, 2), (6, 3), (13, 3), (14, 4)])
    def test_it_widens_slowly_where_a_limit_is_known(self, answers: int, width: int) -> None:
        pace = _limited(1000.0)
        _keep_full(pace, 1.0, answers)
        assert pace.window == width

    def test_it_narrows_when_answers_get_slower(self) -> None:
        pace = _pace()
        at = _keep_full(pace, 0.0, 40)
        widest = pace.window
        _keep_full(pace, at, 4 * widest, lambda: 0.25)
        assert pace.window < widest

    def test_ordinary_spread_does_not_narrow_it(self) -> None:
        pace, seed = _pace(), random.Random(1)  # noqa: S311
        _keep_full(pace, 0.0, 1000, lambda: 0.1 * seed.lognormvariate(0, 0.3))
        assert pace.window == 64

    def test_single_slow_answers_do_not_narrow_it(self) -> None:
        pace, seed = _pace(), random.Random(1)  # noqa: S311
        _keep_full(pace, 0.0, 1000, lambda: 0.5 if seed.random() < 0.1 else 0.1)
        assert pace.window == 64

    def test_an_api_that_has_become_slower_is_no_queue(self) -> None:
        pace = _pace()
        at = _keep_full(pace, 0.0, 40)
        _keep_full(pace, at, 1000, lambda: 1.0)
        assert pace.window > 10


class TestDescriptors:
    """What becomes of the pace if the system gives no file descriptor."""

    def test_fewer_are_in_flight(self) -> None:
        pace = _pace()
        at = _keep_full(pace, 0.0, 40)
        width = _fill(pace, at)
        pace.answered(at, at, STARVED)
        assert pace.window == int((width - 1) * NARROWER)

    def test_one_may_always_be_in_flight(self) -> None:
        pace = _pace()
        _fill(pace, 0.0)
        for _ in range(2):
            pace.answered(0.0, 0.0, STARVED)
        assert pace.window == 1

    def test_the_window_climbs_back_slowly(self) -> None:
        pace = _pace()
        at = _keep_full(pace, 0.0, 40)
        _fill(pace, at)
        pace.answered(at, at, STARVED)
        while pace.in_flight:
            pace.answered(at, at + 0.1, TAKEN)
        width = pace.window
        _keep_full(pace, at + 0.1, 2 * width)
        assert width < pace.window <= width + 2

    def test_it_says_nothing_of_the_rate(self) -> None:
        pace, at = _pace(), 0.0
        for _ in range(2 * OUTAGE):
            at = _ask(pace, at, STARVED)
        assert pace.rate is None

    def test_the_system_is_asked_again_after_a_pause(self) -> None:
        pace = _pace()
        at = _ask(pace, 0.0, STARVED, seconds=0.0)
        assert pace.next_start() == at + STARVED_PAUSE

    def test_no_pause_while_others_are_in_flight(self) -> None:
        pace = _pace()
        _keep_full(pace, 0.0, 40)
        _fill(pace, 9.0)
        pace.answered(9.0, 9.0, STARVED)
        while pace.in_flight >= pace.window:
            pace.answered(9.0, 9.1, TAKEN)
        assert pace.next_start() <= 9.1


class TestRate:
    """How many requests may start in a second."""

    def test_there_is_none_before_a_refusal(self) -> None:
        pace, at = _pace(), 0.0
        at = _keep_full(pace, at, 200)
        assert pace.rate is None
        assert pace.next_start() <= at

    def test_the_first_refusal_cuts_the_rate_in_use(self) -> None:
        pace = _pace()
        _fill(pace, 0.0)
        pace.answered(0.0, 0.1, LIMITED)
        assert pace.rate == pytest.approx(GUESS * 2 / 0.1 * STEEP_CUT)
        assert pace.next_start() == pytest.approx(1 / pace.rate)

    def test_a_timeout_is_no_measure_of_the_rate(self) -> None:
        """It lasts much longer than the answers by which the rate in use is known."""
        pace = _pace()
        at = _keep_full(pace, 0.0, 8)
        _ask(pace, at, LIMITED, seconds=30.0)
        assert pace.rate == pytest.approx(GUESS / 0.1 * STEEP_CUT)

    def test_the_search_ends_when_a_request_is_taken(self) -> None:
        pace, at, rates = _pace(), 0.0, []
        for signal in (LIMITED, LIMITED, LIMITED, TAKEN):
            at = _ask(pace, at, signal)
            rates.append(pace.rate)
        steps = [after / before for before, after in itertools.pairwise(rates)]
        assert steps == pytest.approx([STEEP_CUT, STEEP_CUT, 1.0])

    def test_a_later_refusal_cuts_little(self) -> None:
        pace = _limited(40.0)
        at = _use(pace, 100)
        rate = pace.rate
        _ask(pace, at, LIMITED, seconds=0.001)
        assert pace.rate == pytest.approx(rate * CUT, rel=0.01)

    def test_answers_to_earlier_requests_cut_no_more(self) -> None:
        pace = _limited(1000.0)
        for _ in range(3):
            pace.started(0.1)
        pace.answered(0.1, 0.2, LIMITED)
        rate = pace.rate
        pace.answered(0.1, 0.2, LIMITED)
        pace.answered(0.1, 0.3, LIMITED)
        assert pace.rate == rate

    def test_many_cuts_in_a_row_are_steep(self) -> None:
        pace = _limited(40.0)
        _use(pace, 100)
        rates = [pace.rate]
        for _ in range(PATIENCE + 1):
            _ask(pace, pace.next_start(), LIMITED, seconds=0.001)
            rates.append(pace.rate)
        steps = [after / before for before, after in itertools.pairwise(rates)]
        assert steps == pytest.approx([CUT] * PATIENCE + [STEEP_CUT], rel=0.02)

    @pytest.mark.parametrize(
        ("climbs", "rate"),
        [
            (0.0, 40.0 * STEEP_CUT),
            (0.5, 40.0 * STEEP_CUT**0.125),
            (1.0, 40.0),
            (1.5, 40.0 / STEEP_CUT**0.125),
            (2.0, 40.0 / STEEP_CUT),
        ],
    )
    def test_it_climbs(self, climbs: float, rate: float) -> None:
        pace, at = _limited(40.0), 0.0
        while at < climbs * CLIMB:
            at = _use(pace, 1)
        assert pace.rate == pytest.approx(rate, rel=0.05)

    @pytest.mark.parametrize(("taken", "cut"), [(FOUND - 1, STEEP_CUT), (FOUND, CUT)])
    def test_one_request_taken_ends_no_search(self, taken: int, cut: float) -> None:
        """Where others share a limit, it may be the only one that they left over."""
        pace = _pace()
        _ask(pace, 0.0, LIMITED, seconds=0.0)
        for _ in range(FEW + 1):
            at = _ask(pace, pace.next_start(), FAULT, seconds=0.0)
        for _ in range(taken):
            at = _ask(pace, max(at, pace.next_start()), TAKEN, seconds=0.0)
        before = pace.rate
        _ask(pace, at, LIMITED, seconds=0.0)
        assert pace.rate == pytest.approx(before * cut, rel=0.01)

    def test_a_limit_that_is_not_met_again_is_gone(self) -> None:
        pace, at, count = _limited(6.0), 0.0, 0
        while pace.rate is not None and count < 10_000:
            at, count = _use(pace, 1), count + 1
        assert pace.rate is None
        assert at == pytest.approx(GONE * CLIMB, rel=0.1)

    def test_it_does_not_climb_while_nothing_waits_for_it(self) -> None:
        pace = _limited(40.0)
        rate = pace.rate
        _ask(pace, 600.0, TAKEN, seconds=0.0)
        assert pace.rate == pytest.approx(rate, rel=0.1)

    def test_slow_limits_take_longer_climbs(self) -> None:
        pace, at = _limited(1.0), 0.0
        while at < CLIMB_AT_ONE - 1.0:
            assert pace.rate < 0.999
            at = _use(pace, 1)

    def test_it_may_fall_to_one_a_minute(self) -> None:
        pace, at = _limited(1.0), 0.0
        for _ in range(200):
            at = _ask(pace, max(at, pace.next_start()), LIMITED, 60.0)
            at = _ask(pace, max(at, pace.next_start()), TAKEN)
        assert pace.rate == pytest.approx(LEAST_RATE, rel=0.1)

    @pytest.mark.parametrize(("jitter", "share"), [(0.0, 1 - SPREAD / 2), (1.0, 1 + SPREAD / 2)])
    def test_starts_are_not_in_step(self, jitter: float, share: float) -> None:
        pace = _pace(jitter=jitter)
        _ask(pace, 0.0, LIMITED)
        assert pace.next_start() == pytest.approx(share / pace.rate)

    def test_a_cap(self) -> None:
        pace, at = _pace(per_minute=60, jitter=0.0), 0.0
        assert pace.rate == 1.0
        for _ in range(100):
            started_at = at
            at = _ask(pace, at, TAKEN)
            assert pace.next_start() == started_at + 1.0
            at = started_at + 1.0

    def test_a_search_begins_below_the_cap(self) -> None:
        pace = _pace(per_minute=60)
        _ask(pace, 0.0, LIMITED)
        assert pace.rate == STEEP_CUT


class TestFaults:
    """Failures that are no refusals."""

    def test_a_few_change_nothing(self) -> None:
        pace, at = _pace(), 0.0
        for _ in range(20):
            for _ in range(FAULTS - 1):
                at = _ask(pace, at, FAULT)
            at = _ask(pace, at, TAKEN)
        assert pace.rate is None
        assert pace.window == 2

    def test_several_in_a_row_count_as_a_refusal(self) -> None:
        pace, at = _pace(), 0.0
        for _ in range(FAULTS):
            assert pace.rate is None
            at = _ask(pace, at, FAULT)
        assert pace.rate is not None

    def test_an_answer_to_an_earlier_request_does_not_end_the_row(self) -> None:
        pace, at = _pace(), 1.0
        for _ in range(FAULTS):
            pace.started(0.0)
            at = _ask(pace, at, FAULT)
            pace.answered(0.0, at, TAKEN)
        assert pace.rate is not None


class TestOutage:
    """Failures in a row."""

    @pytest.mark.parametrize("signal", [LIMITED, FAULT])
    def test_it_is_asked_once_in_a_while(self, signal: Signal) -> None:
        pace, at, gaps = _pace(jitter=1.0), 0.0, []
        for _ in range(70):
            start = max(at, pace.next_start())
            gaps.append(start - at)
            at = _ask(pace, start, signal)
        assert pace.window == 1
        assert 12.0 < gaps[-1] <= max(gaps) < 15.0

    def test_one_request_is_enough_to_end_it(self) -> None:
        pace, at = _pace(), 0.0
        for _ in range(OUTAGE):
            at = _ask(pace, max(at, pace.next_start()), LIMITED)
        at = _ask(pace, pace.next_start(), TAKEN)
        assert pace.rate is None
        assert pace.next_start() <= at

    def test_a_search_that_takes_many_quick_refusals_is_none(self) -> None:
        """Otherwise each request that is taken begins another search, with as many refusals."""
        pace, at, refusals = _pace(), 0.0, 0
        while (start := max(at, pace.next_start())) < 1.0:  # One request a second is allowed.
            at = _ask(pace, start, LIMITED, seconds=0.001)
            refusals += 1
        _ask(pace, start, TAKEN, seconds=0.001)
        assert refusals >= OUTAGE
        assert pace.rate is not None

    def test_a_short_one_counts_after_requests_that_were_taken(self) -> None:
        pace, at = _pace(), 0.0
        for signal in (TAKEN, TAKEN, *[LIMITED] * OUTAGE, TAKEN):
            at = _ask(pace, at, signal, seconds=0.001)
        assert pace.rate is None

    def test_a_single_refusal_is_none(self) -> None:
        pace = _limited(40.0)
        _ask(pace, 1.0, LIMITED)
        _ask(pace, 2.0, TAKEN)
        assert pace.rate is not None


class TestRetryAfter:
    """What the API asks to wait."""

    @pytest.mark.parametrize("signal", [LIMITED, FAULT])
    @pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
    def test_nothing_starts_before_its_end(self, signal: Signal, jitter: float) -> None:
        pace = _pace(jitter=jitter)
        _fill(pace, 0.0)
        pace.answered(0.0, 0.1, signal, 30.0)
        pace.answered(0.0, 0.1, TAKEN)
        assert 30.1 <= pace.next_start() < 31.0

    def test_a_fault_with_one_is_a_refusal(self) -> None:
        pace = _pace()
        _ask(pace, 0.0, FAULT, 30.0)
        assert pace.rate is not None

    def test_clients_do_not_all_start_at_its_end(self) -> None:
        paces = [_pace(jitter=jitter) for jitter in (0.0, 1.0)]
        for pace in paces:
            _ask(pace, 0.0, LIMITED, 30.0)
        early, late = (pace.next_start() for pace in paces)
        assert late - early == pytest.approx(0.5 / paces[0].rate)

    def test_few_starts_between_two_show_a_low_limit(self) -> None:
        pace = _limited(40.0)
        at = _ask(pace, pace.next_start(), LIMITED, 10.0)
        at = _ask(pace, at + 11.0, TAKEN)
        before = pace.rate
        at = _ask(pace, at, LIMITED, 10.0)
        assert pace.rate == pytest.approx(before * DIVE, rel=0.01)
        at = _ask(pace, at + 11.0, TAKEN)
        at = _ask(pace, at, LIMITED, 10.0)
        assert 0.2 < pace.rate < 0.3  # Three in eleven seconds, and not less.

    def test_not_all_start_at_its_end(self) -> None:
        pace = _pace()
        _ask(pace, 0.0, LIMITED, 30.0)
        at = pace.next_start()
        pace.started(at)
        assert pace.next_start() == pytest.approx(at + 1 / pace.rate)

    def test_the_longest_one_counts(self) -> None:
        pace = _pace(jitter=0.0)
        _fill(pace, 0.0)
        pace.answered(0.0, 0.1, LIMITED, 30.0)
        pace.answered(0.0, 0.1, LIMITED, 2.0)
        assert pace.next_start() == 30.1

    def test_a_request_that_is_taken_early_ends_it(self) -> None:
        pace = _pace()
        _ask(pace, 0.0, LIMITED, 3600.0)
        at = _ask(pace, 300.0, TAKEN)
        assert pace.next_start() < at + 1.0

    def test_it_lengthens_the_climb(self) -> None:
        pace = _pace(jitter=0.0)
        _ask(pace, -1.0, TAKEN)
        at = _ask(pace, 0.0, LIMITED, 30.0, seconds=0.025)
        _ask(pace, at + 30.0, TAKEN, seconds=0.0)
        for _ in range(100):
            at = pace.next_start()
            _ask(pace, at, TAKEN, seconds=0.0)
        assert at - 30.0 < CLIMB + REPAID * 30.0
        assert pace.rate < 40.0
