"""Histories of whole runs, from seeds: nothing is lost, repeated or given up without a reason.

HISTORIES=200000 scripts/test -n 2 --dist load tests/simulation    a long campaign
SEED=17 scripts/test tests/simulation                               one history again
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from simulation import play, violation_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syrupy.assertion import SnapshotAssertion

HISTORIES = int(os.environ.get("HISTORIES", "500"))
SLOW_HISTORIES = max(HISTORIES, 2_000)
"""As many as the slow tests play together with the others."""
SEED = os.environ.get("SEED")
PARTS = 4
"""Parts of a campaign, which several processes may share."""


def assert_no_violation(seeds: Iterable[int]) -> None:
    for seed in seeds:
        assert violation_in(seed) is None, f"again: SEED={seed} scripts/test tests/simulation"


@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part: int) -> None:
    """No rule is broken in any history."""
    seeds = range(part, HISTORIES, PARTS)
    if SEED is not None:
        seeds = range(int(SEED), int(SEED) + (part == 0))
    assert_no_violation(seeds)


@pytest.mark.slow
@pytest.mark.skipif(SEED is not None, reason="one history was asked for")
@pytest.mark.parametrize("part", range(PARTS))
def test_more_histories(part: int) -> None:
    """No rule is broken in 1,500 more histories."""
    assert_no_violation(range(HISTORIES + part, SLOW_HISTORIES, PARTS))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1_183_744, id="the run waits for input in an outage"),
        pytest.param(251, id="an outage is over when the input is silent"),
    ],
)
def test_ends_of_outages(seed: int) -> None:
    """Both are told to ask again at the same time, but only a wait for input ends an outage."""
    assert_no_violation([seed])


def test_histories_stay_the_same(snapshot: SnapshotAssertion) -> None:
    """What happens depends on the seed alone, and a change of any rule shows in the golden file.

    A line has the endings of the runs, the requests, and the simulated seconds.
    """
    played = (play(seed) for seed in range(7_000, 7_060))
    assert "\n".join(f"{' '.join(runs)} {n} {time:.3f}" for runs, n, time in played) == snapshot
