"""Histories of whole runs, from seeds: nothing is lost, repeated or given up without a reason.

HISTORIES=1000000 scripts/test -n 2 --dist load tests/simulation    a long campaign
SEED=17 scripts/test tests/simulation                               one history again
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from simulated_plan import FAULTS, plan_of
from simulation import History, play, violation_in

from target_liveintent.storage import Ledger, LedgerAccount, LedgerInFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from target_liveintent.clock import Clock

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


def test_a_seed_always_gives_the_same_history() -> None:
    """What happens depends on the seed alone, also within one process."""
    seeds = range(7_000, 7_030)

    assert [play(seed) for seed in seeds] == [play(seed) for seed in seeds]


def test_plans() -> None:
    """Each kind of fault is met alone, and all are met at once."""
    kinds = {plan_of(seed).faults for seed in range(1_000)}

    assert {frozenset({fault}) for fault in FAULTS} <= kinds
    assert frozenset(FAULTS) in kinds


def test_the_real_ledger(tmp_path: Path) -> None:
    """The ledger's file serves as well as its stand-in."""
    with_ledger = (plan for seed in itertools.count() if (plan := plan_of(seed)).ledger)
    for plan in itertools.islice(with_ledger, 25):
        path = str(tmp_path / f"{plan.seed}.ledger")
        account = LedgerAccount(plan.settings.customer_id, "api.example.com")
        ledgers = _Ledgers(path, account)
        History(plan, ledgers).play()
        ledgers.close()


class _Ledgers:
    """Opens the ledgers of runs, one after another, over one file."""

    def __init__(self, path: str, account: LedgerAccount) -> None:
        self._path = path
        self._account = account
        self._stores: list[LedgerInFile] = []

    def __call__(self, run_id: str, clock: Clock) -> Ledger:
        self.close()
        store = LedgerInFile(self._path, self._account, "", run_id=run_id, clock=clock)
        self._stores.append(store)
        return Ledger(store, self._account, clock)

    def close(self) -> None:
        """Close the last one, as the end of the process does that was killed."""
        for store in self._stores:
            store.close()
