"""An API that fails half of all requests: nothing is lost, and nothing repeated in vain."""

import functools
import itertools
import random
from pathlib import Path

import pytest
from faults import KINDS, Faults
from faulty_server import Reply, Request
from reliability_support import (
    LONG,
    Feed,
    assert_adds_up,
    assert_true_letters,
    in_parallel,
    lost,
    name,
    run_against,
)
from store_tables import letters_by_id

RATES = (0.0, 0.1, 0.3, 0.5) if LONG else (0.0, 0.2)
EVENTS = 6_000 if LONG else 1_000
BATCH = 20
NOT_RETRIED = {"partial", "unclear"}


def campaign(folder: Path, rate: float, seed: int) -> None:
    """Run a target against faults at a rate, and check all that is promised."""
    feed = Feed(EVENTS, seed)
    rule = Faults(seed, rate, in_a_row=5 if LONG else 3, poison=feed.poison)
    run, watch, server = run_against(
        rule,
        folder / f"{rate} {seed}",
        feed.lines(),
        batch_size_rows=BATCH,
        max_concurrent_requests=64,
        patience=900 if LONG else 120,
    )
    assert run.code == 0, run.log
    assert (watch.problems, watch.bookmark) == ([], EVENTS)
    assert (server.problems, server.unexcused) == ([], [])
    assert lost(server, feed, watch.store) == []
    letters = letters_by_id(watch.store)
    assert not server.delivered & set(letters)
    assert_true_letters(server, feed, watch.store)
    totals = assert_adds_up(run, EVENTS)
    assert totals.delivered == len(server.delivered) == EVENTS - len(letters)
    assert totals.dead_lettered == len(letters)
    assert run.requests == len(server.requests)
    faults = server.faults
    retried = sum(n for fault, n in faults.items() if fault not in NOT_RETRIED)
    assert run.counts.retries + run.counts.throttled == retried
    assert bool(faults) == bool(rate)


@pytest.mark.promise("Each record has one outcome")
def test_fault_campaign(tmp_path: Path) -> None:
    """If requests fail at random, every promise about events, requests, STATE and totals holds."""
    cases = [(rate, seed) for rate in RATES for seed in range(3 if LONG else 1)]
    in_parallel(functools.partial(campaign, tmp_path), cases, at_once=2)


@pytest.mark.promise("A run retries after a fault")
def test_every_fault(tmp_path: Path) -> None:
    """Each kind of fault alone, twice in a row, costs nothing but time."""

    def try_one(kind: str) -> None:
        seen = itertools.count()

        def rule(request: Request) -> Reply:
            if (number := next(seen)) >= 2:
                return Reply()
            rng = random.Random(number)  # noqa: S311
            return KINDS[kind][1](rng, request)._replace(fault=kind)

        feed = Feed(4, 1, every=1, mixed=False)
        run, watch, server = run_against(rule, tmp_path / kind, feed.lines())
        assert (run.code, watch.problems, watch.bookmark) == (0, [], 4), (kind, run.log)
        assert lost(server, feed, watch.store) == []
        assert server.unexcused == server.problems == []
        assert_true_letters(server, feed, watch.store)
        if kind in NOT_RETRIED:
            assert len(server.requests) == 1
        else:
            assert len(server.requests) == 3
            assert server.delivered == {name(n) for n in range(4)}

    in_parallel(try_one, KINDS, at_once=8)
