"""What is not well, and since when; what changed; which runs and days an overview is about."""

import datetime as dt
from typing import Any

import pytest
from reporting_support import (
    DENIED,
    DOWN,
    NAMES,
    NOW,
    STOPPED_BY_SIGNAL,
    TODAY,
    at,
    causes_in,
    daily,
    overview,
    run,
    shop,
)

from target_liveintent.reporting.findings import FailedRuns, NoRun, gaps_in
from target_liveintent.reporting.headline import headline_of
from target_liveintent.reporting.history import Finding, RunRecord, Unusual
from target_liveintent.reporting.page import page
from target_liveintent.reporting.words import advice_about, change_words
from target_liveintent.run.counts import ALL_SOURCES, StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS, Timing

HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)
BROKEN = {"ending": DENIED}
VISITS = {"streams": {"visits": shop(0)}}
BOTH = {"streams": {"visits": shop(), "orders": shop()}}
STOPPED = {"ending": STOPPED_BY_SIGNAL}
FAILURE = run(at(0, 9), **BROKEN)
OF_VISITS = run(at(0, 9), **BROKEN, **VISITS)


def causes(*entries: Any, max_age: dt.timedelta | None = None) -> list[type]:
    return [
        type(cause) for cause in causes_in(overview([*daily(40, 1), *entries], max_age=max_age))
    ]


@pytest.mark.parametrize(
    ("runs", "is_well"),
    [
        pytest.param([FAILURE, run(at(0, 10))], True, id="a good run"),
        pytest.param([run(at(0, 9), "backfill", **BROKEN)], False, id="a failed backfill alone"),
        pytest.param([FAILURE, run(at(0, 10), **STOPPED)], False, id="a stopped run"),
        pytest.param([run(at(0, 10), **STOPPED)], True, id="a stopped run alone"),
        pytest.param([OF_VISITS, run(at(0, 10))], False, id="a run of another stream"),
        pytest.param([OF_VISITS, run(at(0, 10), **BOTH)], True, id="a run of both streams"),
        pytest.param(
            [OF_VISITS, run(at(0, 10), **BOTH), run(at(0, 11))],
            True,
            id="both, then another stream alone",
        ),
        pytest.param(
            [run(at(0, 9), **BROKEN, streams={}), run(at(0, 10))],
            True,
            id="no stream before the failure",
        ),
        pytest.param([OF_VISITS, run(at(0, 10), streams={})], True, id="a run without streams"),
        pytest.param([FAILURE, run(at(0, 10), "replay")], False, id="a replay"),
        pytest.param(
            [run(at(0, 9)), run(at(0, 10), "canary", **BROKEN)], True, id="a failure at a terminal"
        ),
    ],
)
def test_what_makes_up_for_a_failure(runs: list[Any], is_well: bool) -> None:
    """A good run with one of its streams; of what failed before it had any, any good run.

    Runs at a terminal neither fail nor make up.
    """
    assert causes(*runs) == ([] if is_well else [FailedRuns])


def test_a_failure_of_a_stream_that_does_not_come_any_more_is_forgotten() -> None:
    """After two days: it may have another name by now."""
    runs = [*daily(40, 3), run(at(2), **BROKEN, **VISITS)]
    assert causes_in(overview([*runs, run(at(1)), run(at(0, 12, 4))]))[0].failure == DENIED.failure
    assert causes_in(overview([*runs, *daily(1)])) == []


def test_the_order_of_what_is_unusual() -> None:
    """The oldest comes first, but that a few records have a new reason matters least.

    If there are many dead letters, those of a new reason are the same problem, and began it.
    """
    found = [
        Unusual("new_reason", "orders", Finding("no_consent", 1), at(0, 7)),
        Unusual("new_reason", "visits", Finding("invalid_source", 1), at(0, 8)),
        Unusual("new_reason", "orders", Finding("invalid_source", 2), at(0, 9)),
        Unusual("dead_letters", "orders", Finding(count=40), at(0, 11)),
        Unusual("late", "orders", Finding(), at(0, 10)),
    ]
    shown = overview([*daily(40, 1), run(at(0), unusual=found)])
    causes = [
        (cause.rule, cause.since.hour) for cause in causes_in(shown) if isinstance(cause, Unusual)
    ]
    reasons = [("new_reason", 7), ("new_reason", 8)]
    assert causes == [("late", 10), ("dead_letters", 9), *reasons]


def test_no_run() -> None:
    """A limit in hours decides about the age of the last run."""
    assert causes() == []
    assert causes(max_age=30 * HOUR) == []
    assert causes(max_age=29 * HOUR) == [NoRun]
    assert causes(max_age=NOW - at(1)) == [NoRun]
    assert causes(run(at(0, 17), "replay"), max_age=29 * HOUR) == [NoRun]
    assert causes(run(at(0, 17), **BROKEN), max_age=HOUR) == [FailedRuns]
    assert overview([]).last_run is None


@pytest.mark.parametrize(
    ("runs", "silence"),
    [
        pytest.param(daily(40, 1), 72 * HOUR, id="three days after daily runs"),
        pytest.param(
            [run(at(1, hour)) for hour in range(3, 13)], 26 * HOUR, id="a day after hourly runs"
        ),
        pytest.param(
            [run(at(7 * week + 1)) for week in range(5, -1, -1)],
            21 * 24 * HOUR,
            id="three weeks after weekly runs",
        ),
        pytest.param(
            [*daily(40, 21), *(run(at(20, hour)) for hour in range(24))],
            26 * HOUR,
            id="the schedule is hourly by now",
        ),
        pytest.param(daily(4, 1), None, id="four runs show no schedule"),
    ],
)
def test_missing_runs_are_noticed_without_a_limit(
    runs: list[RunRecord], silence: dt.timedelta | None
) -> None:
    """After three times the usual time between runs, and not before 26 hours."""
    last = runs[-1].ended_at
    if silence is None:
        assert causes_in(overview(runs, last + 60 * 24 * HOUR)) == []
        assert overview(runs).next_run is None
    else:
        assert causes_in(overview(runs, last + silence - MINUTE)) == []
        assert causes_in(overview(runs, last + silence)) == [NoRun(last)]


def test_when_the_next_run_is_due() -> None:
    """After the usual time between runs, as the page says."""
    found = overview(daily(40, 1))
    assert found.next_run == at(0)
    assert "an update was due on 20 May, 12:05 EDT" in page(found)
    assert "the next update is due on 20 May, 12:05 EDT" in page(overview(daily(40, 1), at(0, 9)))


def test_a_day_without_a_run_is_said() -> None:
    """More than a day after the last run, if the next one is due."""
    runs = daily(40, 1)
    assert headline_of(overview(runs, at(0))).said == "Nothing is wrong."
    later = headline_of(overview(runs, at(0) + MINUTE)).said
    assert later == "There was no run in the last 24 hours."


def test_what_would_help() -> None:
    """What more than five percent lack is said, and that more than half were sent late."""
    said = "24, 20 web and app, 22 web and app, 12 app, 9 web, 39, 42, 151"
    for more, late, expected in ((0, 150, []), (1, 151, said.split(", "))):
        one = {"events": 100} | {name: 95 - n * more for n, name in enumerate(COVERAGE_FIELDS, 1)}
        counts = StreamCounts(delivered=300, timing=Timing(300 - late))
        counts.coverage = dict.fromkeys(ALL_SOURCES, one)
        said = [advice_about(gap) for gap in gaps_in(counts)]
        assert [line.partition(" conversions (")[0] for line in said] == expected


# What changed

NEW = {"settings": {"timezone": "UTC", "presets": "ba9876543210"}}
BECAME = ["`presets` changed", "`timezone`: America/New_York became UTC"]
AGAIN = ["`presets` changed", "`timezone`: UTC became America/New_York"]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run(at(2), **NEW), run(at(1), **NEW)], {"2026-05-18": BECAME}),
        ([run(at(2), **NEW), run(at(1))], {"2026-05-19": AGAIN, "2026-05-18": BECAME}),
        (
            [run(at(1), version="target-liveintent 2", settings={**NAMES, "on_rejection": "x"})],
            {"2026-05-19": ["`version`: target-liveintent 1 became target-liveintent 2"]},
        ),
        ([run(at(2), ending=DOWN, **NEW, streams={})], {}),
        ([run(at(back, 13), **NEW, streams={"visits": shop()}) for back in (4, 3)], {}),
    ],
    ids=["settings", "back", "version", "failed at once", "another loader"],
)
def test_changes(runs: list[Any], expected: dict[str, list[str]]) -> None:
    """Each is there on its day, the newest first; of maps, the history has only a digest."""
    both = sorted([*daily(10, 5), *daily(4, 3), *runs], key=lambda one: one.ended_at)
    found = overview(both).changes
    said = [(day.isoformat(), [*map(change_words, changes)]) for day, changes in found.items()]
    assert said == list(expected.items())


# Which runs and days


def test_the_days_that_are_shown() -> None:
    """None is before the history begins; today is the last, also without runs."""
    assert [one.runs for one in overview(daily(5, 2)).days] == [1, 1, 1, 1, 0, 0]
    assert overview(daily(16, 3)).comparable_from == at(2).date()


def test_who_asks_in_another_zone_hears_of_the_newest_runs() -> None:
    """Where it is tomorrow already, a run is the last one, and counts in the last 24 hours."""
    newest = run(NOW - dt.timedelta(minutes=30), ending=DOWN)
    newest.day = TODAY + dt.timedelta(days=1)
    found = overview([*daily(3, 1), newest], max_age=HOUR)
    assert found.last_run.run_id == newest.run_id
    assert [type(cause) for cause in causes_in(found)] == [FailedRuns]
    assert found.figure("conversions").now == 100
    assert {one.days[-1].day for one in (found, overview([newest]))} == {TODAY}
