"""What is not well, and since when: where each cause begins and ends."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from reporting_support import at, daily, overview
from reporting_support import run as entry
from reporting_support import shop as figures

from target_liveintent.reporting.health import NO_RUN
from target_liveintent.reporting.history import FAILED
from target_liveintent.reporting.overview import DEAD_LETTERS as MORE_LETTERS

HOUR = dt.timedelta(hours=1)
BROKEN = {"ending": "failed", "message": "the API denied access (401): renew the token"}
VISITS = {"streams": {"visits": figures(0)}}
BOTH = {"streams": {"visits": figures(), "orders": figures()}}
STOPPED = {"ending": "stopped", "message": "stopped by SIGTERM"}
FAILURE = entry(at(0, 9), **BROKEN)
OF_VISITS = entry(at(0, 9), **BROKEN, **VISITS)


def causes(*entries: Any, max_age: dt.timedelta | None = None) -> list[str]:
    return [one.cause for one in overview([*daily(40, 1), *entries], max_age=max_age).causes]


@pytest.mark.parametrize(
    ("runs", "is_well"),
    [
        ([FAILURE, entry(at(0, 10))], True),
        ([entry(at(0, 9), "backfill", **BROKEN)], False),
        ([FAILURE, entry(at(0, 10), **STOPPED)], False),
        ([entry(at(0, 10), **STOPPED)], True),
        ([OF_VISITS, entry(at(0, 10))], False),
        ([OF_VISITS, entry(at(0, 10), **BOTH)], True),
        ([OF_VISITS, entry(at(0, 10), **BOTH), entry(at(0, 11))], True),
        ([entry(at(0, 9), **BROKEN, streams={}), entry(at(0, 10))], True),
        ([OF_VISITS, entry(at(0, 10), streams={})], True),
    ],
)
def test_what_makes_up_for_a_failure(runs: list[Any], is_well: bool) -> None:
    """A good run with one of its streams; of what failed before it had any, any good run."""
    assert causes(*runs) == ([] if is_well else [FAILED])


@pytest.mark.parametrize("kind", ["dry_run", "canary", "replay"])
def test_runs_at_a_terminal_neither_fail_nor_make_up(kind: str) -> None:
    assert causes(FAILURE, entry(at(0, 10), kind)) == [FAILED]
    assert causes(entry(at(0, 9)), entry(at(0, 10), kind, **BROKEN)) == []


def test_a_failure_of_a_stream_that_does_not_come_any_more_is_forgotten() -> None:
    """After two days: it may have another name by now."""
    runs = [*daily(40, 4), entry(at(3, 13), **BROKEN, **VISITS)]
    assert [one.cause for one in overview([*runs, *daily(3, 1)]).causes] == [FAILED]
    assert overview([*runs, *daily(3)]).causes == []


def test_no_run() -> None:
    """Without a limit, the age of the last run is not judged."""
    assert causes() == []
    assert causes(max_age=30 * HOUR) == []
    assert causes(max_age=29 * HOUR) == [NO_RUN]
    assert causes(entry(at(0, 17), "replay"), max_age=29 * HOUR) == [NO_RUN]
    assert causes(entry(at(0, 17), **BROKEN), max_age=HOUR) == [FAILED]
    assert overview([]).last_run is None


@pytest.mark.parametrize(
    ("days", "usual", "now", "is_more"),
    [
        *[(40, 10, now, False) for now in (0, 10, 15, 22)],
        *[(40, 10, 60, True), (40, 0, 1, False), (40, 0, 9, True)],
        *[(13, 0, 500, False), (14, 0, 500, True)],
    ],
)
def test_dead_letters(days: int, usual: int, now: int, is_more: bool) -> None:
    """After two weeks, they grew if there are more than chance makes of what is usual."""
    before = {"orders": figures(not_sent={"no_identity": usual})}
    today = entry(at(0), streams={"orders": figures(not_sent={"no_identity": now})})
    found = overview([*daily(days, 1, streams=before), today])
    assert [one.cause for one in found.causes] == ([MORE_LETTERS] if is_more else [])


@pytest.mark.parametrize(("now", "expected"), [(400, []), (700, [MORE_LETTERS])])
def test_two_daily_runs_within_24_hours(now: int, expected: list[str]) -> None:
    """The second ends in an earlier hour than the first did: the clock changed, or it was fast."""
    many = {"streams": {"orders": figures(not_sent={"no_identity": 400})}}
    days = [entry(at(back, 13), **many) for back in range(40, 0, -1)]
    today = entry(at(0, 12), streams={"orders": figures(not_sent={"no_identity": now})})
    found = overview([*days, today], now=at(0, 12, 30))
    assert found.figure("dead_letters").now == 400 + now
    assert [one.cause for one in found.causes] == expected
