"""An API that is away for long, denies access or refuses all: the run ends soon and truly."""

import itertools
import time
from pathlib import Path

from faults import Faults
from faulty_server import Reply, Request, in_turn
from ledger_claims import letters_by_id
from reliability_support import (
    LONG,
    Feed,
    assert_adds_up,
    in_parallel,
    name,
    run_against,
)

BUDGET = 2
"""The setting max_retry_seconds."""
A_FEW = 7.0
"""Seconds beyond the budget: one answer is awaited for a second, the others for five."""


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
        assert assert_adds_up(run).not_settled > 0
        assert len(server.requests) <= 5 + 100
        # STATE stands where it truly is: five batches were delivered.
        covered = next(n for n in range(feed.count) if name(n) not in server.delivered)
        assert watch.bookmark == max(s for s in (0, *feed.states) if s <= covered)

    in_parallel(outlive, outages, at_once=6)


def test_answers_that_end_a_run(tmp_path: Path) -> None:
    """A token that is revoked in mid-run, or a redirect, which is not followed, ends all sending.

    Only what is in flight then gets the same answer.
    """
    answers = {401: "rotated", 403: "rotated", 301: "HTTP 301"}

    def end(status: int) -> None:
        last = Reply(status, headers={"Location": "/elsewhere"}, skipped=None)
        rule = in_turn(*[Reply(delay=0.02)] * 30, then=last)
        lines = Feed(4_000, 1, mixed=False).lines()
        how = {"batch_size_rows": 20, "max_concurrent_requests": 8}
        run, watch, server = run_against(rule, tmp_path / str(status), lines, **how)
        assert (run.code, watch.problems, letters_by_id(watch.store)) == (1, [], {}), run.log
        assert answers[status] in run.last_line
        assert_adds_up(run)
        assert {request.path for request in server.requests} == {"/conversions/a-1b2c"}
        denied = server.requests[30:]
        assert len(denied) <= 8
        # The beat is the earliest moment at which a request can have come.
        assert [one for one in denied if one.at > denied[0].seen + 0.1] == []

    in_parallel(end, answers)


MOST_AFTER_THE_SWITCH = 100
MOST_LETTERS = 30
NO = Reply(400, b'{"errors": [{"message": "unknown pixel"}]}', skipped=None)
REFUSALS = [
    *((0, 8, 100, False), (40, 8, 100, False), (400, 8, 1, False)),
    *((40, 1, 100, False), (40, 64, 100, False)),
    *((at, 8, 100, True) for at in (range(10, 330, 8) if LONG else (120,))),
]
"""From which request on, with how many in flight and of how many events, and whether truly bad
events are being looked for then."""


def test_breaker(tmp_path: Path) -> None:
    """A run that is refused as a whole, from its start or its middle on, ends soon and truly."""

    def refuse(at: int, at_once: int, batch: int, poison: bool) -> None:
        case = f"from {at}, batch {batch}, {at_once} at once, poison {poison}"
        feed = Feed(10_000 if batch > 1 else 4_000, 2, every=10, mixed=False)
        poisoned = {name(n) for n in range(7, feed.count, 50)} if poison else set()
        size = {"batch_size_rows": batch, "max_concurrent_requests": at_once}
        before, seen = Faults(0, 0.0, poison=poisoned), itertools.count()

        def rule(request: Request) -> Reply:
            return NO if next(seen) >= at else before(request)

        run, watch, server = run_against(rule, tmp_path / case, feed.lines(), **size)
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

    in_parallel(refuse, REFUSALS)
