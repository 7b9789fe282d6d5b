"""The benchmark of limits: refusals by nginx, the API that queues, the table. Nothing is timed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not in the source distribution")

from benchmarks import limits, results
from benchmarks.api import Server
from benchmarks.bench import Bench
from benchmarks.gateway import Limit, program
from benchmarks.limits import Measured, Pair
from benchmarks.processes import ROOT, FailedRunError
from benchmarks.trials import Case, Outcome, Trial, measure

if TYPE_CHECKING:
    from pathlib import Path

OUTCOME = Outcome(
    seconds=50.0, exit_code=0, requests=250, refused=50, events=20_000, once=True, p95=0.01
)


def _outcome(case: Case, tmp_path: Path) -> Outcome:
    trial = Trial("test", case, ROOT, Bench(tmp_path))
    ((_, outcome),) = measure([trial], 1)
    return outcome


def _row(*now: Outcome, case: str = "5") -> list[str]:
    """Return the cells of a case in the table; of the case `5`, 200 batches take 40 s at best."""
    measured = Measured(results.this_machine(), "0a1b2c3", {case: Pair([OUTCOME], list(now))})
    return [cell.strip() for cell in limits.table(measured).splitlines()[-1].split("|")[1:-1]]


def _changed(**changes: Any) -> Outcome:
    return msgspec.structs.replace(OUTCOME, **changes)


# Runs

needs_nginx = pytest.mark.skipif(
    not shutil.which("nginx", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin"),
    reason="nginx is not installed",
)


@needs_nginx
def test_a_run_through_a_limit(tmp_path: Path) -> None:
    """All events pass nginx with TLS; what it refuses is counted, and only that."""
    outcome = _outcome(Case("", Limit("20r/s"), batches=5, ideal=0.2), tmp_path)
    assert (outcome.exit_code, outcome.events, outcome.once) == (0, 500, True)
    assert outcome.refused >= 1  # Two requests start at once, and one a time is allowed.
    assert outcome.requests == 5 + outcome.refused


@needs_nginx
def test_a_run_that_fails(tmp_path: Path) -> None:
    """Nothing gets through: the outcome has the exit code and the message."""
    limit = Limit("1r/m", status=503, retry_after="7")
    case = Case("", limit, batches=3, ideal=1, settings={"max_retry_seconds": 1})
    outcome = _outcome(case, tmp_path)
    assert (outcome.exit_code, outcome.events) == (1, 100)
    assert outcome.requests == outcome.refused + 1
    assert "503" in outcome.message


@needs_nginx
def test_a_run_of_the_tallying_api(tmp_path: Path) -> None:
    """Without a limit nothing is refused, and the tally is that of the floor."""
    outcome = _outcome(Case("", Limit(), batches=4, ideal=1, latency=0.01, workers=2), tmp_path)
    assert (outcome.exit_code, outcome.events, outcome.once) == (0, 400, True)
    assert (outcome.requests, outcome.refused) == (4, 0)


def test_requests_queue_at_the_api() -> None:
    """Two workers serve four requests in two rounds; a later one is served at once."""
    server = Server(latency=0.5, workers=2)
    assert [server.answer_time(10.0) for _ in range(4)] == [10.5, 10.5, 11.0, 11.0]
    assert server.answer_time(20.0) == 20.5


def test_names_the_missing_program() -> None:
    with pytest.raises(FailedRunError, match="no-such-program is not installed"):
        program("no-such-program")


# The table


def test_shows_both_versions() -> None:
    """Each has the time, its ratio to the ideal time, and the share of throttled requests."""
    now = _changed(seconds=44.0, requests=210, refused=10)
    assert _row(now)[3:] == [
        "50.0 s (1.26), 20 % throttled",
        "44.0 s (1.11), 5 % throttled",
        "ratio ≤ 1.35, ≤ 25 % throttled",
    ]


def test_shows_what_counts_where_nothing_is_refused() -> None:
    """The latency of an API that queues, the events a second of an API without a limit."""
    queue = _row(_changed(events=80_000, seconds=11.0, p95=0.19), case="queue")
    assert queue[4:] == [
        "11.0 s (1.10), 95 % of answers in 190 ms",
        "ratio ≤ 1.11, 95 % of answers within 200 ms",
    ]
    assert _row(_changed(events=150_000, seconds=7.5), case="open")[4] == (
        "7.5 s (0.75), 20,000 events a second"
    )


@pytest.mark.parametrize("times", [(90.0, 41.0, 44.0), (41.0, 44.0)])
def test_shows_the_median_run(times: tuple[float, ...]) -> None:
    """Of two runs it shows the slower one."""
    assert _row(*[_changed(seconds=seconds) for seconds in times])[4].startswith("44.0 s")


def test_shows_a_run_that_failed() -> None:
    """One failure counts more than any number of good runs."""
    failed = _changed(exit_code=1, seconds=289.0, events=4_200)
    assert _row(OUTCOME, OUTCOME, failed)[4] == (
        "**fails** in 1 of 3 runs after 289 s, with 4,200 of 20,000 events delivered,"
        " 20 % throttled"
    )


def test_shows_that_an_event_arrived_twice() -> None:
    assert "not each event once" in _row(_changed(once=False))[4]
    assert "19,900 events arrived" in _row(_changed(events=19_900))[4]


def test_results_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    measured = Measured(results.this_machine(), "0a1b2c3", {"5": Pair([OUTCOME], [])})
    limits.save(measured, path)
    assert limits.load(path) == measured
