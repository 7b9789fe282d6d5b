"""An API that is away for long: the run ends soon and truly."""

import time
from pathlib import Path

import pytest
from faulty_server import Reply, in_turn
from reliability_support import Feed, assert_adds_up, in_parallel, name, run_against
from store_tables import letters_by_id

BUDGET = 2
"""The setting max_retry_seconds."""
A_FEW = 7.0
"""Seconds beyond the budget: one answer is awaited for a second, the others for five."""


@pytest.mark.promise("A run retries after a fault")
def test_outage(tmp_path: Path) -> None:
    """A total outage ends a run within max_retry_seconds, with many batches and 8 in flight."""
    outages: dict[str, tuple[Reply, str]] = {
        "503": (Reply(503, skipped=None), "HTTP 503"),
        "502 and a body": (Reply(502, b"x" * 100_000, skipped=None), "HTTP 502"),
        "reset": (Reply(None, skipped=None), "the connection failed"),
        "no answer": (Reply(held=True, skipped=None), "no answer came in time"),
        "wait": (Reply(429, headers={"Retry-After": "1"}, skipped=None), "HTTP 429"),
        "wait for long": (Reply(429, headers={"Retry-After": "9999"}, skipped=None), "HTTP 429"),
    }

    def outlive(kind: str) -> None:
        plan, why = outages[kind]
        feed = Feed(4_000, 1, mixed=False)
        rule = in_turn(*[Reply()] * 5, then=plan)
        settings = {"batch_size_rows": 20, "max_retry_seconds": BUDGET}
        run, watch, server = run_against(rule, tmp_path / kind, feed.lines(), **settings)
        took = time.monotonic() - server.requests[5].seen
        assert took < BUDGET + A_FEW, f"{kind}: {took:.1f} s"
        assert (run.code, watch.problems, letters_by_id(watch.store)) == (1, [], {}), run.log
        assert "max_retry_seconds" in run.last_line
        assert why in run.last_line
        assert "Traceback" not in run.log
        assert assert_adds_up(run).no_outcome > 0
        assert len(server.requests) <= 5 + 100
        # STATE stands where it truly is: five batches were delivered.
        covered = next(n for n in range(feed.count) if name(n) not in server.delivered)
        assert watch.bookmark == max(s for s in (0, *feed.states) if s <= covered)

    in_parallel(outlive, outages, at_once=6)
