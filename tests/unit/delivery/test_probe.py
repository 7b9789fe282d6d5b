"""When a probe begins, and what it shows."""

from __future__ import annotations

import pytest

from target_liveintent.delivery.probe import Probes, RandomThrottling
from target_liveintent.delivery.rate_phases import RateEvent

Result = tuple[RateEvent, float] | None


def answer(
    probes: Probes, throttled: int, *, rate: float = 1.0, fastest: float = 100.0, now: float = 0.0
) -> Result:
    """Give ten answers, some to throttled requests; return what the last one shows."""
    result: Result = None
    for number in range(10):
        assert result is None
        probes.note_answer()
        result = probes.answered(now, accepted=number >= throttled, rate=rate, fastest=fastest)
    return result


@pytest.mark.parametrize(
    ("throttled", "begins"),
    [
        pytest.param(3, False, id="no more than a single client gets at a limit"),
        pytest.param(4, True, id="the least share that begins a probe"),
        pytest.param(8, True, id="the greatest share that begins a probe"),
        pytest.param(9, False, id="too few accepted requests to compare"),
    ],
)
def test_the_throttled_requests_that_begin_a_probe(throttled: int, *, begins: bool) -> None:
    probes = Probes(tasks=1)
    assert answer(probes, throttled) == ((RateEvent.MIXED, 4.0) if begins else None)
    assert (probes.under_way is not None) is begins


@pytest.mark.parametrize(
    ("fastest", "result"),
    [
        pytest.param(3.0, (RateEvent.MIXED, 3.0), id="three times as fast"),
        pytest.param(2.4, None, id="too similar to show anything"),
        pytest.param(0.0, None, id="no latency is known"),
    ],
)
def test_a_probe_is_as_fast_as_the_requests_in_flight_allow(fastest: float, result: Result) -> None:
    assert answer(Probes(tasks=1), 5, fastest=fastest) == result


def test_no_probe_begins_without_a_limit() -> None:
    assert answer(Probes(tasks=1), 5, rate=float("inf"), fastest=float("inf")) is None


@pytest.mark.parametrize(
    ("throttled", "event", "rate"),
    [
        pytest.param(5, RateEvent.PROBE_ACCEPTED, 4.0, id="as many as before: random"),
        pytest.param(7, RateEvent.PROBE_ACCEPTED, 4.0, id="more than half as many: random"),
        pytest.param(8, RateEvent.PROBE_THROTTLED, 1.0, id="fewer than half as many: a limit"),
    ],
)
def test_what_a_probe_shows(throttled: int, event: RateEvent, rate: float) -> None:
    probes = Probes(tasks=1)
    answer(probes, 5)
    assert answer(probes, throttled, rate=4.0) == (event, rate)
    assert probes.under_way is None
    assert (probes.random_throttling is not None) is (event is RateEvent.PROBE_ACCEPTED)


def found_limit() -> Probes:
    """Return probes of which one has found a limit at time 0, at four requests a second."""
    probes = Probes(tasks=1)
    answer(probes, 5)
    answer(probes, 10, rate=4.0)
    return probes


def test_forty_answers_lie_between_probes_that_find_a_limit() -> None:
    probes = found_limit()
    assert [answer(probes, 5) is not None for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("rate", "now", "begins"),
    [
        pytest.param(0.5, 5.0, True, id="half as fast, after 5 s"),
        pytest.param(0.5, 4.9, False, id="half as fast, sooner"),
        pytest.param(0.6, 5.0, False, id="faster than that"),
    ],
)
def test_a_much_slower_probe_comes_earlier(rate: float, now: float, *, begins: bool) -> None:
    assert (answer(found_limit(), 5, rate=rate, now=now) is not None) is begins


def test_tasks_find_their_shares_before_the_first_probe() -> None:
    probes = Probes(tasks=2)
    assert [answer(probes, 5) is not None for _ in range(4)] == [False, False, False, True]


def test_random_throttling_are_believed_for_100_answers() -> None:
    known: RandomThrottling | None = RandomThrottling()
    for _ in range(99):
        assert known is not None
        known = known.answered()
    assert known is not None
    assert known.answered() is None


@pytest.mark.parametrize(
    ("answers", "is_too_often"),
    [
        pytest.param("RRR", False, id="a short row of throttled requests"),
        pytest.param("RRRRRR", True, id="a long row of throttled requests"),
        pytest.param("RA" * 40, False, id="the allowed share"),
        pytest.param("RRRA" * 8, True, id="more than the allowed share"),
    ],
)
def test_how_many_random_throttling_cut_the_rate(answers: str, *, is_too_often: bool) -> None:
    known: RandomThrottling | None = RandomThrottling()
    cuts = []
    for letter in answers:
        assert known is not None
        known = known.answered()
        assert known is not None
        if letter == "R":
            known, is_cut = known.throttled()
            cuts.append(is_cut)
    assert any(cuts) is is_too_often


def test_a_cut_begins_the_count_of_random_throttling_anew() -> None:
    known, is_cut = RandomThrottling(excess=2.0).throttled()
    assert is_cut
    assert known.excess == 0


def test_a_probe_is_four_times_as_fast_as_the_fastest_of_the_answers() -> None:
    probes = Probes(tasks=1)
    for number in range(9):
        probes.answered(0.0, accepted=number > 4, rate=3.0 if number == 5 else 2.0, fastest=100.0)
    assert probes.answered(0.0, accepted=True, rate=2.0, fastest=100.0) == (RateEvent.MIXED, 12.0)
