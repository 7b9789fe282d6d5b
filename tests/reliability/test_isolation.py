"""How soon a run ends that is refused as a whole."""

import functools
import itertools
from pathlib import Path

import pytest
from faults import Faults
from faulty_server import Reply, Request
from integration_forks import Forks
from reliability_support import (
    LONG,
    Feed,
    assert_adds_up,
    in_parallel,
    letters_by_id,
    name,
    run_against,
)

MOST_AFTER_THE_SWITCH = 100
MOST_LETTERS = 30
NO = Reply(400, b'{"errors": [{"message": "unknown pixel"}]}', skipped=None)


def refused_for_good(
    folder: Path, forks: Forks, at: int, at_once: int, *, batch: int = 100, poison: bool = False
) -> None:
    """Let a run meet an API that refuses everything from one of its requests on."""
    case = f"from {at}, batch {batch}, {at_once} at once, poison {poison}"
    feed = Feed(10_000 if batch > 1 else 4_000, 2, every=10, mixed=False)
    poisoned = {name(n) for n in range(7, feed.count, 50)} if poison else set()
    size = {"batch_size_rows": batch, "max_concurrent_requests": at_once}
    before, seen = Faults(0, 0.0, poison=poisoned), itertools.count()

    def rule(request: Request) -> Reply:
        return NO if next(seen) >= at else before(request)

    run, watch, server = run_against(rule, folder / case, forks, feed.lines(), **size)
    assert run.code == 1, (case, run.log)
    asked = len(server.requests) - at
    assert asked <= MOST_AFTER_THE_SWITCH, f"{case}: {asked} requests"
    blamed = set(letters_by_id(watch.store)) - poisoned
    assert len(blamed) <= MOST_LETTERS, f"{case}: {len(blamed)} letters"
    if at == 0:
        assert (blamed, watch.count) == (set(), 0), case
    assert (watch.problems, server.repeats) == ([], []), case
    assert_adds_up(run)
    for said in ("pixel_id", "customer_id", "unknown pixel"):
        assert said in run.last_line, case
    assert "Traceback" not in run.log


@pytest.mark.parametrize("batch", [1, 100])
def test_breaker(tmp_path: Path, forks: Forks, batch: int) -> None:
    """A run that is refused as a whole, from its start or its middle on, ends soon and truly."""
    cases = [(0, 8), (40, 8), (40, 1), (40, 64), *([(400, 8)] if batch == 1 else [])]
    in_parallel(functools.partial(refused_for_good, tmp_path, forks, batch=batch), cases)


def test_breaker_among_bad_events(tmp_path: Path, forks: Forks) -> None:
    """The same, where batches with truly bad events are being halved when it begins."""
    cases = [(at, 8) for at in (range(10, 330, 8) if LONG else (35, 120, 230))] + [(120, 64)]
    in_parallel(functools.partial(refused_for_good, tmp_path, forks, poison=True), cases)
