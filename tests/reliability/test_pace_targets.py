"""The targets for the pace, with a simulated clock: each holds for 18 of 20 seeds at least."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not in the source distribution")

from benchmarks import pace_cases
from benchmarks.pace_simulation import Bucket, Client, simulate
from target_liveintent.delivery.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syrupy.assertion import SnapshotAssertion

case = functools.partial
CASES: dict[str, Callable[[], Iterable[pace_cases.Figure]]] = {
    # A run finds a limit in time, with few refusals, and is never taken for an outage.
    **{f"limit: {one.name}": case(pace_cases.limited, one) for one in pace_cases.LIMITS},
    # An API that serves four at a time is busy, and answers soon.
    "a queue": pace_cases.queueing,
    # Ordinary spread of latencies does not slow a run down.
    "no limit": pace_cases.unlimited,
    # Random faults do not drive the pace towards zero.
    **{
        f"{share:.0%} fail": case(pace_cases.faulty, share, aim)
        for share, aim in ((0.1, 60), (0.25, 60), (0.4, 600))
    },
    # Refusals that do not depend on the rate of a run do not let it crawl.
    **{
        f"{share:.0%} refused by chance": case(pace_cases.by_chance, share, aim)
        for share, aim in pace_cases.BY_CHANCE
    },
    # A limit is found although half of the requests below it are refused as well.
    **{
        f"refused by chance at a limit in bursts of {burst}": case(pace_cases.half_of_ten, burst)
        for burst in (10, 1)
    },
    # A run gets a share of a limit that another client uses without regard to it.
    **{f"beside another at {one[0]}": case(pace_cases.beside, *one) for one in pace_cases.BESIDE},
    # Answers that are late because of the run's own machine do not slow it down further.
    "a busy machine": pace_cases.busy,
    # Random refusals with a `Retry-After` do not let a run crawl.
    **{
        f"{share:.0%} asked to wait": case(pace_cases.refusing, share, 2, aim)
        for share, aim in pace_cases.REFUSING
    },
    # An outage costs few requests, and its end is noticed soon; after it, speed comes back.
    **{
        f"{kind} for {length} s": case(pace_cases.outage, kind, length)
        for kind in pace_cases.OUTAGES
        for length in (5, 60, 300)
    },
}


def assert_met(figures: Iterable[pace_cases.Figure]) -> None:
    missed = [
        f"{one.case}: {one.what}: {one.median:.2f} / {one.high:.2f}, aim {one.aim}"
        for one in figures
        if not one.met
    ]
    assert not missed


def shown(figures: Iterable[pace_cases.Figure]) -> str:
    """Return figures for the golden file, in which any change of the law shows."""
    return "\n".join(f"{one.what}: {' '.join(f'{n:.4g}' for n in one.values)}" for one in figures)


@pytest.mark.promise("A run finds the API's limit by itself")
@pytest.mark.parametrize("name", CASES)
def test_targets(name: str, snapshot: SnapshotAssertion) -> None:
    """Each figure meets its aim."""
    figures = list(CASES[name]())
    assert_met(figures)
    assert shown(figures) == snapshot


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        pytest.param(1, 0.70, 0.85, id="1/s at 70 to 85 %"),
        pytest.param(5, 0.79, 0.83, id="5/s at 79 to 83 %"),
        pytest.param(10, 0.81, 0.85, id="10/s at 81 to 85 %"),
        pytest.param(40, 0.84, 0.86, id="40/s at 84 to 86 %"),
    ],
)
def test_finds_the_rate_within_ten_seconds(rate: float, least: float, most: float) -> None:
    """The API accepts this share of what its limit allows, in the minute after that."""
    for seed in map(random.Random, pace_cases.SEEDS):
        client = Client(Pace(pace_cases.CEILING, jitter=seed.random), 10_000)
        simulate(Bucket(seed, [(0, rate)]), [client], until=70)
        assert least <= len(client.taken(10, 70)) / (60 * rate) <= most


@pytest.mark.parametrize("burst", [10, 1], ids=["bursts of 10", "no bursts"])
def test_eight_tasks_share_a_limit(burst: int, snapshot: SnapshotAssertion) -> None:
    """All is sent, few requests are refused, and no task goes without for so long that it fails."""
    figures = list(pace_cases.divided(burst))
    assert_met(figures)
    assert shown(figures) == snapshot
    *_, silence = figures
    assert max(silence.values) < 60  # With each seed: a task that fails sends its rows again.


@pytest.mark.slow
def test_three_runs_share_bursts() -> None:
    """Each run gets 0.7 to 1.25 times its share, and seldom less than half or more than twice."""
    figures = list(pace_cases.shared(burst=10))
    assert_met(figures)
    least, most, *_ = figures
    fair = [low <= 2 and high <= 2 for low, high in zip(least.values, most.values, strict=True)]
    assert sum(fair) >= 0.75 * len(fair)


@pytest.mark.slow
def test_three_runs_share_a_limit_without_bursts() -> None:
    """Each run gets something through, in two minutes and with 19 of 20 seeds."""
    *_, silence = pace_cases.shared(burst=1)
    assert sum(seconds < 120 for seconds in silence.values) >= 0.95 * len(silence.values)


@pytest.mark.slow
def test_two_tasks_are_as_fast_as_one_run() -> None:
    """Each has half of the requests in flight."""
    assert_met(pace_cases.halved())
