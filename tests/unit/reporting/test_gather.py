"""Which runs and days an overview is about."""

from __future__ import annotations

import datetime as dt
import json

from reporting_support import NOW, SETTINGS, TODAY, at, daily, history, overview
from reporting_support import run as entry

from target_liveintent.printing import json_text
from target_liveintent.reporting.report import assess


def sent(*entries: object) -> object:
    return overview(entries).figure("conversions").now  # type: ignore[arg-type]


def test_the_last_24_hours_are_whole_hours() -> None:
    """This hour and the 23 before: a daily run is not punctual to the minute."""
    assert NOW.hour == 17
    assert sent(entry(at(1, 17, 59))) == 0
    assert sent(entry(at(1, 18, 0))) == 100
    assert sent(entry(at(1, 18, 0)), entry(at(0, 17, 30))) == 200


def test_the_days_that_are_shown() -> None:
    """At most 90, and none before the history begins; today is the last, also without runs."""
    found = overview(daily(5, 2))
    assert [(TODAY - one.day).days for one in found.days] == [5, 4, 3, 2, 1, 0]
    assert [one.runs for one in found.days] == [1, 1, 1, 1, 0, 0]
    assert len(overview(daily(110)).days) == 90


def test_who_asks_in_another_zone_hears_of_the_newest_runs() -> None:
    """Where it is tomorrow already, a run is the last one, and counts in the last 24 hours."""
    newest = entry(NOW - dt.timedelta(minutes=30), ending="failed", message="x")
    newest.day = TODAY + dt.timedelta(days=1)
    found = overview([*daily(3, 1), newest], max_age=dt.timedelta(hours=1))
    assert found.last_run is not None
    assert found.last_run.run_id == newest.run_id
    assert [one.cause for one in found.causes] == ["failed"]
    assert found.figure("conversions").now == 100
    assert found.days[-1].day == TODAY


def test_the_run_that_has_just_ended() -> None:
    """It is in the overview of its own page, as the last of its day, with its account."""
    last = entry(at(0, 12))
    found = assess(
        history([*daily(3, 1), entry(at(0, 9))]).plus(last), SETTINGS, at(0, 12).timestamp()
    )
    assert (found.days[-1].runs, found.figure("conversions").now) == (2, 200)
    assert found.last_run == last
    assert found.as_of == at(0, 12)
    assert (found.account, found.pixel_id) == ("a-1b2c at api.example.com", 4711)
    first = assess(history([]).plus(last), SETTINGS, at(0, 12).timestamp())
    assert [one.runs for one in first.days] == [1]


def test_amounts_are_text() -> None:
    """So is the sum of no amounts."""
    for entries, total in ((daily(3, 2), "0"), (daily(3, 0), "5000")):
        found = json.loads(json_text(overview(entries)))["figures"]
        assert [one["now"] for one in found if one["figure"] == "total_value"] == [total]
