"""Rules of the pace that its aims do not show (tests/reliability/test_pace_targets.py)."""

import pytest

from target_liveintent.delivery import pace as law
from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.pace import Pace

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


def _ask_when_due(pace: Pace, at: float, *verdicts: Verdict, seconds: float = 0.1) -> float:
    """Start requests when they may start from now on, and return the time of the last answer."""
    for verdict in verdicts:
        at = _ask(pace, max(at, pace.next_start()), verdict, seconds=seconds)
    return at


def _fill(pace: Pace, at: float) -> int:
    """Start as many requests as the window allows, and return how many."""
    count = 0
    while pace.in_flight < pace.window:
        pace.started(at)
        count += 1
    return count


# How many requests may be in flight


def test_the_ceiling_holds() -> None:
    pace = _pace(1)
    assert _fill(pace, 0.0) == 1
    assert pace.next_start() is None
    for at in range(100):
        pace.answered(at, at + 0.1, TAKEN)
        assert _fill(pace, at + 0.1) == 1


# How many requests may start in a second


def test_a_timeout_is_no_measure_of_the_rate() -> None:
    """It lasts much longer than the answers by which the rate in use is known."""
    pace = _pace()
    at = _ask_when_due(pace, 0.0, *[TAKEN] * law.ROUND)
    _ask(pace, at, LIMITED, seconds=30.0)
    assert pace.rate == pytest.approx(law.GUESS / 0.1 * law.STEEP_CUT)


def test_a_cap() -> None:
    """`max_requests_per_minute` holds, and a search begins below it."""
    pace, at = _pace(per_minute=60, jitter=0.0), 0.0
    assert pace.rate == 1.0
    for _ in range(100):
        _ask(pace, at, TAKEN)
        assert pace.next_start() == at + 1.0
        at += 1.0
    _ask(pace, at, LIMITED)
    assert pace.rate == law.STEEP_CUT


# Refusals that do not depend on the rate


def _in_doubt(ceiling: int = 64, tasks: int = 1) -> tuple[Pace, float]:
    """Return a pace and the time, after so many refusals that a probe may begin."""
    pace = Pace(ceiling, tasks=tasks, jitter=lambda: 0.5)
    at = _ask_when_due(pace, 0.0, *[TAKEN] * law.ROUND, LIMITED, *[TAKEN] * law.FOUND)
    answers = [LIMITED, TAKEN] * law.SAMPLE  # The last one of the search counts, too.
    return pace, _ask_when_due(pace, at, *answers[: law.SAMPLE - 1])


@pytest.mark.parametrize(("taken", "by_chance"), [(3, True), (2, False)])
def test_what_a_probe_shows(taken: int, by_chance: bool) -> None:
    """If as many are taken, refusals are by chance; at a limit, fewer would be."""
    pace, at = _in_doubt()
    fast = pace.rate
    at = _ask_when_due(pace, at, *[TAKEN] * taken, *[LIMITED] * (law.SAMPLE - taken))
    if not by_chance:
        assert pace.rate <= fast / law.PROBE_RATE
        return
    before = pace.rate
    assert before == pytest.approx(fast * law.EXCESS_CUT, rel=0.01)
    at = _ask_when_due(pace, at, *[LIMITED, TAKEN] * 20)
    assert pace.rate >= before  # As many as before are refused, without a cut.
    before = pace.rate
    _ask_when_due(pace, at, *[LIMITED] * 7)
    assert pace.rate < 0.8 * before


def test_a_probe_that_cannot_be_fast_is_not_begun() -> None:
    """Where few requests may be in flight, a limit would take as many as before."""
    pace, _ = _in_doubt(1)
    assert pace.rate < 10.0


def test_tasks_begin_lower_and_find_their_shares_before_a_probe() -> None:
    """Eight that share a limit are refused because of each other."""
    one, task = _pace(), Pace(64, tasks=8, jitter=lambda: 0.5)
    for pace in (one, task):
        _ask(pace, 0.0, LIMITED)
    assert task.rate == pytest.approx(one.rate / 8)
    pace, at = _in_doubt(tasks=8)
    rates = []
    for _ in range(law.REST):
        rates.append(pace.rate)
        at = _ask_when_due(pace, at, LIMITED, TAKEN)
    probe = next(n for n in range(1, law.REST) if rates[n] > 2 * rates[n - 1])
    assert 2 * probe + law.SAMPLE + law.ROUND >= law.REST - 2


# Failures that are no refusals, and failures in a row


def test_a_few_faults_change_nothing() -> None:
    pace, at = _pace(), 0.0
    for _ in range(20):
        for verdict in (*[FAULT] * (law.FAULTS - 1), TAKEN):
            at = _ask(pace, at, verdict)
    assert (pace.rate, pace.window) == (None, 2)


@pytest.mark.parametrize("under_way", [False, True])
def test_several_faults_in_a_row_count_as_a_refusal(under_way: bool) -> None:
    """An answer to an earlier request does not end the row."""
    pace, at = _pace(), 1.0
    for _ in range(law.FAULTS):
        assert pace.rate is None
        pace.started(0.0)
        at = _ask(pace, at, FAULT)
        if under_way:
            pace.answered(0.0, at, TAKEN)
    assert pace.rate is not None


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
    _ask(pace, 0.0, LIMITED, seconds)
    _ask(pace, seconds + 1.0, TAKEN)
    assert (pace.rate is not None) is is_limit
