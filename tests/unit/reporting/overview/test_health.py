"""What is not well, and since when."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from overview_support import NOW, at, daily, entry, figures, overview

from target_liveintent.reporting.history.model import Unusual
from target_liveintent.reporting.overview.model import (
    AS_USUAL,
    FAILED,
    MORE_LETTERS,
    NO_RUN,
    UNUSUAL,
)
from target_liveintent.reporting.overview.text import health_line
from target_liveintent.reporting.overview.words import verdict

HOUR = dt.timedelta(hours=1)
BROKEN = {"ending": "failed", "message": "the API denied access (401): renew the token"}


def causes(*entries: Any, max_age: dt.timedelta | None = None) -> list[str]:
    return [one.cause for one in overview([*daily(40, 1), *entries], max_age=max_age).causes]


def test_all_is_usual() -> None:
    """A line says so, with the figures of the last 24 hours."""
    found = overview(daily(40))
    assert found.causes == []
    assert {one.verdict for one in found.figures} == {AS_USUAL}
    assert health_line(found) == (
        "everything is as usual: the last run ended at 2026-05-20 12:05 EDT; 100 conversions in"
        " the last 24 hours; 100 are usual."
    )


def test_too_little_history() -> None:
    """In the first two weeks, nothing is called usual, and the line says when that ends."""
    found = overview(daily(5))
    assert found.causes == []
    line = health_line(found)
    assert line.startswith(
        "nothing failed, but there is too little history to say what is usual: the last run ended"
        " at 2026-05-20 12:05 EDT; 100 conversions in the last 24 hours. From "
    )
    assert line.endswith("after 14 days of history, each figure is compared with what is usual.")


def test_a_stopped_run() -> None:
    """It is no failure, but the line says so, and what the next run does."""
    stopped = entry(at(0, 13), ending="stopped", message="stopped by SIGTERM")
    found = overview([*daily(40), stopped])
    assert found.causes == []
    assert health_line(found).startswith(
        "the last run was stopped by a signal at 2026-05-20 13:05 EDT; the next run sends what that"
        " run did not send; 200 conversions in the last 24 hours; "
    )


def test_a_failed_run() -> None:
    """Since the first of the runs that failed one after the other."""
    found = overview([*daily(40, 1), entry(at(0, 9), **BROKEN), entry(at(0, 10), **BROKEN)])
    (cause,) = found.causes
    assert (cause.cause, cause.since) == (FAILED, at(0, 9))
    assert health_line(found) == (
        "the last 2 runs failed: the API denied access (401): renew the token (since 2026-05-20"
        " 09:05 EDT)"
    )


def test_what_is_over_is_well() -> None:
    """A run after the one that failed makes it well; so does not one at a terminal."""
    failed = entry(at(0, 9), **BROKEN)
    assert causes(failed, entry(at(0, 10))) == []
    for kind in ("dry_run", "canary", "replay"):
        assert causes(failed, entry(at(0, 10), kind)) == [FAILED]
        assert causes(entry(at(0, 9)), entry(at(0, 10), kind, **BROKEN)) == []
    assert causes(entry(at(0, 9), "backfill", **BROKEN)) == [FAILED]
    assert causes(entry(at(0, 10), ending="stopped", message="stopped by SIGTERM")) == []


VISITS = {"streams": {"visits": figures(0)}}


def test_a_failure_beside_a_loader_that_works() -> None:
    """A good run of other streams makes up for nothing, whichever comes last."""
    failed, failed_again = (entry(at(0, hour, 5), **BROKEN, **VISITS) for hour in (9, 10))
    found = overview([*daily(40, 1), failed, entry(at(0, 9, 30)), failed_again, entry(at(0, 11))])
    (cause,) = found.causes
    assert (cause.cause, cause.since) == (FAILED, at(0, 9, 5))
    assert health_line(found) == (
        "the last 2 runs of visits failed (run 20260520-100500-usual): the API denied access (401):"
        " renew the token (since 2026-05-20 09:05 EDT)"
    )
    assert cause.plain.startswith("Regular runs have sent nothing of visits since 09:05 EDT today:")
    assert verdict(found) == "Some streams are no longer sent."


def test_what_makes_up_for_a_failure() -> None:
    """A good run with one of its streams; of what failed before it had any, any good run."""
    failed = entry(at(0, 9), **BROKEN, **VISITS)
    both = {"streams": {"visits": figures(), "orders": figures()}}
    assert causes(failed, entry(at(0, 10))) == [FAILED]
    assert causes(failed, entry(at(0, 10), **both)) == []
    assert causes(failed, entry(at(0, 10), **both), entry(at(0, 11))) == []
    assert causes(entry(at(0, 9), **BROKEN, streams={}), entry(at(0, 10))) == []
    assert causes(failed, entry(at(0, 10), streams={})) == []


def test_a_stop_makes_up_for_nothing() -> None:
    stopped = entry(at(0, 10), ending="stopped", message="stopped by SIGTERM")
    found = overview([*daily(40, 1), entry(at(0, 9), **BROKEN), stopped])
    assert health_line(found).startswith("the last run failed: the API denied access")
    assert verdict(found) == "The last run failed."


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


def test_an_empty_history() -> None:
    """Nobody can say that all is usual where no run has come."""
    found = overview([])
    assert [one.cause for one in found.causes] == [NO_RUN]
    assert health_line(found) == "there is no run in the history"
    assert found.last_run is None


def test_something_unusual() -> None:
    """It is said with the time at which a run found it first."""
    since = at(0, 11)
    found = Unusual("coverage", "orders", "ip", since, "40 % of conversions have ip; see the tap")
    well = overview([*daily(40, 1), entry(at(0, 12), unusual=[found])])
    (cause,) = well.causes
    assert (cause.cause, cause.since) == (UNUSUAL, since)
    assert health_line(well) == (
        "orders: 40 % of conversions have ip; see the tap (since 2026-05-20 11:05 EDT)"
    )


def test_the_line_stays_short() -> None:
    """It becomes the subject of a mail."""
    found = [Unusual("conversions", f"s{n}", "", at(0), "few") for n in range(300)]
    line = health_line(overview([*daily(40, 1), entry(at(0), unusual=found)]))
    assert line.startswith("s0: few (since 2026-05-20 12:05 EDT); s1: few")
    assert line.endswith("; s2: few (since 2026-05-20 12:05 EDT); and 297 more")


@pytest.mark.parametrize(
    ("now", "expected"), [(0, []), (10, []), (15, []), (22, []), (60, [MORE_LETTERS])]
)
def test_dead_letters(now: int, expected: list[str]) -> None:
    """They grew if there are more than chance makes of what is usual: here, ten a day."""
    usual = {"orders": figures(not_sent={"no_identity": 10})}
    today = entry(at(0), streams={"orders": figures(not_sent={"no_identity": now})})
    found = overview([*daily(40, 1, streams=usual), today])
    assert [one.cause for one in found.causes] == expected


def test_two_daily_runs_within_24_hours() -> None:
    """The second ends in an earlier hour than the first did: the clock changed, or it was fast."""
    many = {"streams": {"orders": figures(not_sent={"no_identity": 400})}}
    days = [entry(at(back, 13), **many) for back in range(40, 0, -1)]
    found = overview([*days, entry(at(0, 12), **many)], now=at(0, 12, 30))
    assert (found.figure("dead_letters").now, found.causes) == (800, [])
    more = {"streams": {"orders": figures(not_sent={"no_identity": 700})}}
    found = overview([*days, entry(at(0, 12), **more)], now=at(0, 12, 30))
    assert [one.cause for one in found.causes] == [MORE_LETTERS]


def test_dead_letters_of_a_shop_without_any() -> None:
    """The line names the reason, and the first run of the day that had some."""
    some = {"orders": figures(not_sent={"no_identity": 5, "invalid_source": 9, "suppressed": 90})}
    found = overview([*daily(40, 1), entry(at(0, 9)), entry(at(0, 10), streams=some)])
    (cause,) = found.causes
    assert cause.words == (
        "14 dead letters in the last 24 hours, but 0 are usual; 9 of them for the reason"
        " `invalid_source`"
    )
    assert cause.since == at(0, 10)
    assert cause.what_to_do.startswith("The source is missing")


def test_dead_letters_before_anything_is_usual() -> None:
    """Two weeks have to pass first."""
    some = {"orders": figures(not_sent={"no_identity": 500})}
    found = overview([*daily(13, 1), entry(at(0), streams=some)])
    assert found.causes == []
    assert found.comparable_from == NOW.date() + dt.timedelta(days=1)


def test_the_worst_is_first() -> None:
    found = Unusual("late", "orders", "", at(0, 9), "all late")
    some = {"orders": figures(not_sent={"no_identity": 500})}
    assert causes(entry(at(0, 1), streams=some, unusual=[found], **BROKEN), max_age=2 * HOUR) == [
        FAILED,
        NO_RUN,
        UNUSUAL,
        MORE_LETTERS,
    ]
