"""The targets for the pace, with a simulated clock: each holds for 18 of 20 seeds at least."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not in the source distribution")

from benchmarks import pace_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syrupy.assertion import SnapshotAssertion

    Check = Callable[[Iterable[pace_cases.Figure]], None]


@pytest.fixture
def assert_met(snapshot: SnapshotAssertion) -> Check:
    """Return a check of figures against their aims, and against the golden file.

    Any change of the law shows in the golden file.
    """

    def check(figures: Iterable[pace_cases.Figure]) -> None:
        found = list(figures)
        _assert_met(found)
        said = (f"{one.what}: {' '.join(f'{n:.4g}' for n in one.values)}" for one in found)
        assert "\n".join(said) == snapshot

    return check


def _assert_met(figures: Iterable[pace_cases.Figure]) -> None:
    missed = [
        f"{one.case}: {one.what}: {one.median:.2f} / {one.high:.2f}, aim {one.aim}"
        for one in figures
        if not one.met
    ]
    assert not missed


@pytest.mark.parametrize("limit", pace_cases.LIMITS, ids=lambda limit: limit.name)
def test_limits(limit: pace_cases.Limit, assert_met: Check) -> None:
    """A run finds a limit in time, with few refusals, and is never taken for an outage."""
    assert_met(pace_cases.limited(limit))


def test_a_queue(assert_met: Check) -> None:
    """An API that serves four at a time is busy, and answers soon."""
    assert_met(pace_cases.queueing())


def test_no_limit(assert_met: Check) -> None:
    """Ordinary spread of latencies does not slow a run down."""
    assert_met(pace_cases.unlimited())


@pytest.mark.slow
def test_three_runs_share_bursts() -> None:
    """Each run gets 0.7 to 1.25 times its share, and seldom less than half or more than twice."""
    figures = list(pace_cases.shared(burst=10))
    _assert_met(figures)
    least, most, *_ = figures
    fair = [low <= 2 and high <= 2 for low, high in zip(least.values, most.values, strict=True)]
    assert sum(fair) >= 0.75 * len(fair)


@pytest.mark.slow
def test_three_runs_share_a_limit_without_bursts() -> None:
    """Each run gets something through, in two minutes and with 19 of 20 seeds."""
    *_, silence = pace_cases.shared(burst=1)
    assert sum(seconds < 120 for seconds in silence.values) >= 0.95 * len(silence.values)


@pytest.mark.parametrize("burst", [10, 1])
def test_eight_tasks_share_a_limit(burst: int, assert_met: Check) -> None:
    """All is sent, few requests are refused, and no task goes without for so long that it fails."""
    figures = list(pace_cases.divided(burst))
    assert_met(figures)
    *_, silence = figures
    assert max(silence.values) < 60  # With each seed: a task that fails sends its rows again.


@pytest.mark.slow
def test_two_tasks_are_as_fast_as_one_run() -> None:
    """Each has half of the requests in flight."""
    _assert_met(pace_cases.halved())


@pytest.mark.parametrize(("share", "aim"), [(0.1, 60), (0.25, 60), (0.4, 600)])
def test_random_faults(share: float, aim: float, assert_met: Check) -> None:
    """Random faults do not drive the pace towards zero."""
    assert_met(pace_cases.faulty(share, aim))


@pytest.mark.parametrize(("share", "aim"), pace_cases.BY_CHANCE)
def test_refusals_by_chance(share: float, aim: float, assert_met: Check) -> None:
    """Refusals that do not depend on the rate of a run do not let it crawl."""
    assert_met(pace_cases.by_chance(share, aim))


def test_refusals_by_chance_at_a_limit(assert_met: Check) -> None:
    """A limit is found although half of the requests below it are refused as well."""
    assert_met(pace_cases.half_of_ten(10))


@pytest.mark.parametrize(("rate", "taken", "refused"), pace_cases.BESIDE)
def test_another_client_at_the_same_limit(
    rate: float, taken: float, refused: float, assert_met: Check
) -> None:
    """A run gets a share of a limit that another client uses without regard to it."""
    assert_met(pace_cases.beside(rate, taken, refused))


def test_a_busy_machine(assert_met: Check) -> None:
    """Answers that are late because of the run's own machine do not slow it down further."""
    assert_met(pace_cases.busy())


@pytest.mark.parametrize(("share", "aim"), pace_cases.REFUSING)
def test_random_refusals(share: float, aim: float, assert_met: Check) -> None:
    """Random refusals with a `Retry-After` do not let a run crawl."""
    assert_met(pace_cases.refusing(share, 2, aim))


@pytest.mark.parametrize("kind", pace_cases.OUTAGES)
@pytest.mark.parametrize("length", [5, 60, 300])
def test_outages(kind: str, length: float, assert_met: Check) -> None:
    """An outage costs few requests, and its end is noticed soon; after it, speed comes back."""
    assert_met(pace_cases.outage(kind, length))
