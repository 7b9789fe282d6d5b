"""What is not well, and since when; what changed; which runs and days an overview is about."""

import datetime as dt
from typing import Any

import pytest
from reporting_support import (
    NAMES,
    NOW,
    SETTINGS,
    TODAY,
    ZONE,
    at,
    daily,
    history,
    overview,
    run,
    shop,
)

from target_liveintent.reporting.findings import NO_RUN
from target_liveintent.reporting.history import FAILED, RunRecord, Unusual
from target_liveintent.reporting.overview import overview_of
from target_liveintent.reporting.rules import judge

HOUR = dt.timedelta(hours=1)
BROKEN = {"ending": "failed", "message": "the API denied access (401): renew the token"}
VISITS = {"streams": {"visits": shop(0)}}
BOTH = {"streams": {"visits": shop(), "orders": shop()}}
STOPPED = {"ending": "stopped", "message": "stopped by SIGTERM"}
FAILURE = run(at(0, 9), **BROKEN)
OF_VISITS = run(at(0, 9), **BROKEN, **VISITS)


def causes(*entries: Any, max_age: dt.timedelta | None = None) -> list[str]:
    return [one.cause for one in overview([*daily(40, 1), *entries], max_age=max_age).causes]


@pytest.mark.parametrize(
    ("runs", "is_well"),
    [
        ([FAILURE, run(at(0, 10))], True),
        ([run(at(0, 9), "backfill", **BROKEN)], False),
        ([FAILURE, run(at(0, 10), **STOPPED)], False),
        ([run(at(0, 10), **STOPPED)], True),
        ([OF_VISITS, run(at(0, 10))], False),
        ([OF_VISITS, run(at(0, 10), **BOTH)], True),
        ([OF_VISITS, run(at(0, 10), **BOTH), run(at(0, 11))], True),
        ([run(at(0, 9), **BROKEN, streams={}), run(at(0, 10))], True),
        ([OF_VISITS, run(at(0, 10), streams={})], True),
        ([FAILURE, run(at(0, 10), "replay")], False),
        ([run(at(0, 9)), run(at(0, 10), "canary", **BROKEN)], True),
    ],
)
def test_what_makes_up_for_a_failure(runs: list[Any], is_well: bool) -> None:
    """A good run with one of its streams; of what failed before it had any, any good run.

    Runs at a terminal neither fail nor make up.
    """
    assert causes(*runs) == ([] if is_well else [FAILED])


def test_a_failure_of_a_stream_that_does_not_come_any_more_is_forgotten() -> None:
    """After two days: it may have another name by now."""
    runs = [*daily(40, 4), run(at(3, 13), **BROKEN, **VISITS)]
    assert [one.cause for one in overview([*runs, *daily(3, 1)]).causes] == [FAILED]
    assert overview([*runs, *daily(3)]).causes == []


def test_the_order_of_what_is_unusual() -> None:
    """The oldest comes first, but that a few records have a new reason matters least.

    If there are many dead letters, those of a new reason are the same problem, and began it.
    """
    found = [
        Unusual("new_reason", "orders", "no_consent", at(0, 7), "one was dropped"),
        Unusual("new_reason", "visits", "invalid_source", at(0, 8), "one was not sent"),
        Unusual("new_reason", "orders", "invalid_source", at(0, 9), "two were not sent"),
        Unusual("dead_letters", "orders", "", at(0, 11), "forty could not be sent"),
        Unusual("late", "orders", "", at(0, 10), "0 % were in time"),
    ]
    shown = overview([*daily(40, 1), run(at(0), unusual=found)])
    causes = [(one.subject, one.since.hour) for one in shown.causes if one.since]
    reasons = [("new_reason", 7), ("new_reason", 8)]
    assert causes == [("late", 10), ("dead_letters", 9), *reasons]


def test_no_run() -> None:
    """Without a limit, the age of the last run is not judged."""
    assert causes() == []
    assert causes(max_age=30 * HOUR) == []
    assert causes(max_age=29 * HOUR) == [NO_RUN]
    assert causes(max_age=NOW - at(1)) == []
    assert causes(run(at(0, 17), "replay"), max_age=29 * HOUR) == [NO_RUN]
    assert causes(run(at(0, 17), **BROKEN), max_age=HOUR) == [FAILED]
    assert overview([]).last_run is None


# Dead letters


def judged(before: list[RunRecord], *runs: RunRecord) -> list[RunRecord]:
    """Let each run judge the history at its end, one after the other."""
    known = history(before)
    for one in runs:
        one.unusual = judge(known, one, ZONE)
        known = known.plus(one)
    return known.runs


def bad_runs(first: dt.datetime, count: int, letters: int) -> list[RunRecord]:
    """Return hourly runs that could not send some records."""
    streams = {"orders": shop(10, not_sent={"invalid_source": letters})}
    return [run(first + n * HOUR, streams=streams) for n in range(count)]


def test_health_after_a_schedule_became_denser() -> None:
    """Hourly runs instead of a daily one do not make more dead letters usual."""
    usual = [
        run(at(back), streams={"orders": shop(240, not_sent={"invalid_source": 20 + back})})
        for back in range(40, 1, -1)
    ]
    found = overview(judged(usual, *bad_runs(at(0, 1), 16, 10)))
    assert found.figure("dead_letters").now == 160
    assert [one.subject for one in found.causes] == ["dead_letters"]


@pytest.mark.parametrize(("now", "expected"), [(400, []), (900, ["dead_letters"])])
def test_two_daily_runs_within_24_hours(now: int, expected: list[str]) -> None:
    """The second ends in an earlier hour than the first did: the clock changed, or it was fast."""
    many = {"streams": {"orders": shop(600, not_sent={"no_identity": 400})}}
    days = [run(at(back, 13), **many) for back in range(40, 0, -1)]
    today = run(at(0, 12), streams={"orders": shop(600, not_sent={"no_identity": now})})
    found = overview(judged(days, today), now=at(0, 12, 30))
    assert found.figure("dead_letters").now == 400 + now
    assert [one.subject for one in found.causes] == expected


@pytest.mark.parametrize("hours", [1, 20, 50])
def test_since_when_records_could_not_be_sent(hours: int) -> None:
    """It is the end of the first bad run, however long ago that is, and it does not move."""
    hourly = [
        run(NOW - n * HOUR, streams={"orders": shop(10, not_sent={"invalid_source": n % 2})})
        for n in range(24 * 30, hours - 1, -1)
    ]
    first = NOW - (hours - 1) * HOUR
    (cause,) = overview(judged(hourly, *bad_runs(first, hours, 40))).causes
    assert (cause.subject, cause.since) == ("dead_letters", first)


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
        ([run(at(2), ending="failed", **NEW, streams={})], {}),
        ([run(at(back, 13), **NEW, streams={"visits": shop()}) for back in (4, 3)], {}),
    ],
    ids=["settings", "back", "version", "failed at once", "another loader"],
)
def test_changes(runs: list[Any], expected: dict[str, list[str]]) -> None:
    """Each is there on its day, the newest first; of maps, the history has only a digest."""
    both = sorted([*daily(10, 5), *daily(4, 3), *runs], key=lambda one: one.ended_at)
    found = overview(both).changes
    assert [(day.isoformat(), words) for day, words in found.items()] == list(expected.items())


# Which runs and days


def sent(*entries: RunRecord) -> object:
    return overview(entries).figure("conversions").now


def test_the_last_24_hours_are_whole_hours() -> None:
    """This hour and the 23 before: a daily run is not punctual to the minute."""
    assert NOW.hour == 17
    assert sent(run(at(1, 17, 59))) == 0
    assert sent(run(at(1, 18, 0))) == 100
    assert sent(run(at(1, 18, 0)), run(at(0, 17, 30))) == 200


def test_the_days_that_are_shown() -> None:
    """At most 90, and none before the history begins; today is the last, also without runs."""
    found = overview(daily(5, 2))
    assert [(TODAY - one.day).days for one in found.days] == [5, 4, 3, 2, 1, 0]
    assert [one.runs for one in found.days] == [1, 1, 1, 1, 0, 0]
    assert len(overview(daily(110)).days) == 90


def test_who_asks_in_another_zone_hears_of_the_newest_runs() -> None:
    """Where it is tomorrow already, a run is the last one, and counts in the last 24 hours."""
    newest = run(NOW - dt.timedelta(minutes=30), ending="failed", message="x")
    newest.day = TODAY + dt.timedelta(days=1)
    found = overview([*daily(3, 1), newest], max_age=HOUR)
    assert found.last_run is not None
    assert found.last_run.run_id == newest.run_id
    assert [one.cause for one in found.causes] == ["failed"]
    assert found.figure("conversions").now == 100
    assert found.days[-1].day == TODAY


def test_the_run_that_has_just_ended() -> None:
    """It is in the overview of its own page, as the last of its day, with its account."""
    last = run(at(0, 12))
    known = history([*daily(3, 1), run(at(0, 9))]).plus(last)
    found = overview_of(known, SETTINGS, at(0, 12).timestamp())
    assert (found.days[-1].runs, found.figure("conversions").now) == (2, 200)
    assert (found.last_run, found.as_of) == (last, at(0, 12))
    account = ("a-1b2c at api.example.com", 4711)
    assert (found.account, found.pixel_id, found.version) == (*account, 1)
