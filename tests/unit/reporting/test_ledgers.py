"""The ledger, in the store's rows, the overview, the JSON, the text and the page alike."""

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from reporting_support import (
    DENIED,
    UTC,
    ZONE,
    at,
    causes_in,
    daily,
    history,
    overview,
    readable,
    row,
    run,
    shop,
    unusual_after,
)

from target_liveintent.failures import Failure, FailureCode
from target_liveintent.reporting.findings import FailedRuns
from target_liveintent.reporting.headline import cause_lines, headline_of, health_line, sentence
from target_liveintent.reporting.history import Ending, Finding, Range, Unusual
from target_liveintent.reporting.page import as_json, as_lines, page
from target_liveintent.store.ledger import Ledger, ledger_of, rows_by_day
from target_liveintent.store.places import (
    ARRIVED,
    LEFT_OUT,
    LOST,
    PLACES,
    REPLAYABLE,
    WAITING,
    PlaceRow,
)

DAILY = daily(40, 1)
MANY = Unusual(
    "dead_letters",
    "orders",
    Finding("", 33, 133, usual=Range(0, 1, 3), main_reason="invalid_source", main_count=33),
    at(0, 12),
)
"""What the run of today found when it wrote 33 dead letters."""


def usual(of_today: int = 100) -> list[PlaceRow]:
    """Return what arrived on each of 40 days and today."""
    days = [row(at(back), ARRIVED, 100, 5_000) for back in range(40, 0, -1)]
    return [*days, row(at(0), ARRIVED, of_today, 50 * of_today)] if of_today else days


def every_place(when: dt.datetime) -> list[PlaceRow]:
    """Return events in all places that were read at a moment."""
    return [
        row(when, ARRIVED, 74, "3700.10"),
        row(when, ARRIVED, 3, "1200", "JPY"),
        row(when, ARRIVED, 2, 0, ""),
        row(when, WAITING, 4, "200", days=6, reason="no_outcome"),
        row(when, REPLAYABLE, 31, "1550", days=5, reason="invalid_source"),
        row(when, LOST, 2, "12.345", "KWD", reason="no_identity"),
        row(when, LEFT_OUT, 5, "99", reason="suppressed"),
    ]


# The ledger


def test_what_was_read_is_the_sum() -> None:
    """Whatever anybody writes there; money is by place, and not of what is left out."""
    ledger = ledger_of(every_place(at(0)))
    assert {place: getattr(ledger, place) for place in PLACES} == {
        "arrived": 79,
        "waiting": 4,
        "replayable": 31,
        "lost": 2,
        "left_out": 5,
    }
    assert (ledger.read, ledger.to_send, ledger.not_arrived) == (121, 116, 33)
    assert Ledger(read=7, arrived=1, lost=2).read == 3
    assert ledger.values == {
        "arrived": {"EUR": Decimal("3700.10"), "JPY": 1200},
        "waiting": {"EUR": 200},
        "replayable": {"EUR": 1550},
        "lost": {"KWD": Decimal("12.345")},
    }
    assert list(
        ledger_of([row(at(0), currency=name) for name in ("USD", "EUR")]).values[ARRIVED]
    ) == [
        "EUR",
        "USD",
    ]
    assert ledger_of([]).read == 0


def test_the_earliest_window_counts() -> None:
    """Of what waits or can be replayed, in UTC."""
    assert ledger_of(every_place(at(0))).until == at(0).astimezone(UTC) + dt.timedelta(days=5)
    assert ledger_of(usual()).until is None


def test_sums_are_exact() -> None:
    """However many digits they have."""
    huge = [row(at(0), ARRIVED, 1, "1e30"), row(at(0), ARRIVED, 1, "0.01")]
    assert str(ledger_of(huge).values[ARRIVED]["EUR"]) == f"1{'0' * 30}.01"


@pytest.mark.parametrize(
    "name", ["America/New_York", "Asia/Kathmandu", "UTC"], ids=["west", "a quarter apart", "UTC"]
)
def test_a_day_begins_at_midnight_in_the_zone(name: str) -> None:
    """The quarter before midnight is of the day before, also in a month's first hour."""
    zone = zoneinfo.ZoneInfo(name)
    midnight = dt.datetime(2026, 5, 1, tzinfo=zone)
    rows = [row(midnight - dt.timedelta(minutes=1)), row(midnight), row(midnight)]
    days = rows_by_day(rows, zone)
    assert {day: len(of_day) for day, of_day in days.items()} == {
        dt.date(2026, 4, 30): 1,
        dt.date(2026, 5, 1): 2,
    }


def test_the_last_24_hours_and_the_days() -> None:
    """A quarter counts by its begin; what was read at midnight is of today and of this month."""
    now = dt.datetime(2026, 5, 1, 0, 40, tzinfo=ZONE)
    hour = dt.timedelta(hours=1)
    rows = [
        row(now - 24 * hour - dt.timedelta(minutes=15), events=1),
        row(now - 24 * hour + dt.timedelta(minutes=10), events=10),
        row(now - hour, events=100),
        row(now - dt.timedelta(minutes=40), events=1_000),
    ]
    found = overview([], now, rows=rows)
    assert found.ledger.read == 1_110
    assert [(day.day.day, day.ledger.read) for day in found.days] == [(30, 111), (1, 1_000)]
    assert {first: one.read for first, one in found.months.items()} == {
        dt.date(2026, 5, 1): 1_000,
        dt.date(2026, 4, 30): 111,
    }


# What reports say of it


def test_the_json() -> None:
    """It has the same object for the last 24 hours and for each day."""
    shown = as_json(overview([run(at(0))], rows=every_place(at(0))))
    assert shown["ledger"] == {
        "read": 121,
        "arrived": 79,
        "waiting": 4,
        "replayable": 31,
        "lost": 2,
        "left_out": 5,
        "values": {
            "arrived": {"EUR": "3700.10", "JPY": "1200"},
            "waiting": {"EUR": "200"},
            "replayable": {"EUR": "1550"},
            "lost": {"KWD": "12.345"},
        },
        "until": "2026-05-25T16:05:00Z",
    }
    assert list(shown["ledger"])[:3] == ["read", "arrived", "waiting"]
    assert shown["days"][-1]["ledger"] == shown["ledger"]
    assert shown["months"] == {"2026-05-20": shown["ledger"]}
    assert set(shown["reasons"]) == {"invalid_source", "no_identity", "suppressed"}


def test_text_and_page_add_up() -> None:
    """One row has what was read and where it is, in the same words, with the values."""
    found = overview([run(at(0))], rows=every_place(at(0)))
    text = "\n".join(as_lines(found))
    parts = "arrived 79 + waits 4 + can be replayed 31 + lost 2 + left out 5"
    assert f"In the last 24 hours: read 121 = {parts}." in text
    assert (
        "Value in the last 24 hours: arrived 3,700.10 EUR, 1,200 JPY; waits 200.00 EUR; can be"
        " replayed 1,550.00 EUR; lost 12.345 KWD."
    ) in text
    shown = readable(page(found)).splitlines()
    begin = shown.index("121 read")
    assert shown[begin + 1 : begin + 6] == [
        "79 arrived3,700.10 EUR1,200 JPY",
        "4 waits200.00 EUR",
        "31 can be replayed1,550.00 EUR",
        "2 lost12.345 KWD",
        "5 left out",
    ]


SENTENCES: dict[str, tuple[list[PlaceRow], str]] = {
    "all arrived": (
        usual(),
        "All 100 conversions arrived today, as many as on a usual Wednesday (100).",
    ),
    "fewer, some wait": (
        [*usual(95), row(at(0), WAITING, 4, days=6)],
        (
            "95 of 99 conversions arrived today, 5 % fewer than on a usual Wednesday (100); 4 wait"
            " (deadline: 26 May, 12:05)."
        ),
    ),
    "more, some can be replayed": (
        [*usual(112), row(at(0), REPLAYABLE, 1, days=7), row(at(0), LOST)],
        (
            "112 of 114 conversions arrived today, 12 % more than on a usual Wednesday (100); 1 can"
            " be replayed (deadline: 27 May, 12:05); 1 is lost."
        ),
    ),
    "left out": ([*usual(), row(at(0), LEFT_OUT, 9)], "All 100 conversions arrived today, as"),
    "nothing": (usual(0), "No conversions were read today, but 100 are usual."),
    "one": ([row(at(0))], "1 conversion arrived today, 99 % fewer"),
    "nothing arrived": (
        [*usual(0), row(at(0), WAITING, 1, days=2), row(at(0), REPLAYABLE, 2, days=6)],
        (
            "0 of 3 conversions arrived today, but 100 are usual; 1 waits and 2 can be replayed"
            " (deadline: 22 May, 12:05)."
        ),
    ),
}


@pytest.mark.parametrize(("rows", "said"), SENTENCES.values(), ids=SENTENCES)
def test_the_first_sentence(rows: list[PlaceRow], said: str) -> None:
    """It says how many arrived, how many usually do, and until when the rest waits."""
    days = [*usual(0), *(one for one in rows if one not in usual(0))]
    assert sentence(overview([*DAILY, run(at(0))], rows=days)).startswith(said)


def test_runs_that_are_hours_apart_are_compared_by_24_hours() -> None:
    """Today would have too few hours. A daily run that is still to come leaves out today."""
    hourly = [run(at(back, hour)) for back in range(30, -1, -1) for hour in (5, 11, 20)][:-1]
    assert "in the last 24 hours, as many as usual" in sentence(overview(hourly))
    early = overview(daily(40, 1), at(0, 3))
    assert "arrived on 19 May, as many as on a usual Tuesday" in sentence(early)
    assert early.ledger.read == 100


# After a replay, failed runs and a killed run


def letters(count: int, place: str = REPLAYABLE, **changes: Any) -> PlaceRow:
    days = 7 if place == REPLAYABLE else None
    return row(
        at(0), place, count, 831 * count, "JPY", reason="invalid_source", days=days, **changes
    )


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        pytest.param([letters(33)], 33, id="all are there"),
        pytest.param([letters(20)], 20, id="some were replayed"),
        pytest.param([letters(2)], 0, id="31 were replayed"),
        pytest.param([], 0, id="all were replayed"),
        pytest.param([letters(33, LOST, is_kept=False)], 0, id="they were deleted"),
        pytest.param([letters(33, LOST)], 33, id="their windows have closed"),
        pytest.param([letters(33)._replace(read_at=0)], 0, id="they are of other days"),
    ],
)
def test_dead_letters_that_are_gone_are_no_problem(rows: list[PlaceRow], kept: int) -> None:
    """Neither what a run found remains wrong, nor does the next run find it."""
    last = run(at(0), unusual=[MANY], streams={"orders": shop(not_sent={"invalid_source": 33})})
    found = overview([*DAILY, last], rows=[*usual(100 + 33 - kept), *rows])
    assert [cause.finding.count for cause in causes_in(found)] == ([kept] if kept else [])
    assert (headline_of(found).status == "bad") == bool(kept)
    assert ("did not arrive" in health_line(found)) == bool(kept)
    again = unusual_after(history([*DAILY, last]), run(at(0, 13)), rows)
    assert [one.rule for one in again if one.rule == "dead_letters"] == (
        ["dead_letters"] if kept else []
    )


def test_a_new_reason_is_over_when_its_letters_are_gone() -> None:
    """A reason for which the store keeps nothing is only counted, and stays."""
    unusual = [
        Unusual("new_reason", "orders", Finding(reason, 3), at(0))
        for reason in ("invalid_source", "no_consent", "reason_of_tomorrow")
    ]
    runs = [*DAILY, run(at(0), unusual=unusual)]
    known = [cause.finding.subject for cause in causes_in(overview(runs, rows=usual()))]
    assert known == ["no_consent"]
    two = overview(runs, rows=[*usual(), letters(2)])
    assert [cause.finding.count for cause in causes_in(two)] == [2, 3]


def test_what_a_replay_delivered_arrived() -> None:
    """It is missing neither in the numbers nor in the values, nor is it a reason any more."""
    last = run(at(0), streams={"orders": shop(not_sent={"invalid_source": 33})})
    replay = run(at(0, 14), "replay", streams={"orders": shop(31)})
    rows = [*usual(), row(at(0), ARRIVED, 31, 27_397, "JPY"), letters(2)]
    found = overview([*DAILY, last, replay], rows=rows)
    assert (found.ledger.arrived, found.ledger.not_arrived) == (131, 2)
    assert found.ledger.values["replayable"] == {"JPY": 831 * 2}
    assert found.ledger.values["arrived"]["JPY"] == 27_397
    assert {reason: one.not_arrived for reason, one in found.reasons.items()} == {
        "invalid_source": 2
    }
    assert (found.figure("conversions").now, found.figure("dead_letters").now) == (131, 2)
    assert found.days[-1].ledger.arrived == 131
    assert found.months[dt.date(2026, 5, 1)].not_arrived == 2


def test_what_a_killed_run_sent_arrived() -> None:
    """Its figures are in no run, but the store counts its events."""
    killed = run(at(0, 9), ending=Ending(Failure(FailureCode.KILLED)), streams={})
    again = run(at(0), streams={"orders": shop(40)})
    found = overview([*DAILY, killed, again], rows=[*usual(60), row(at(0), ARRIVED, 40, 2_000)])
    assert (found.figure("conversions").now, found.days[-1].ledger.arrived) == (100, 100)
    assert found.figure("total_value", "EUR").now == 5_000
    assert (
        sentence(found)
        == "All 100 conversions arrived today, as many as on a usual Wednesday (100)."
    )
    for by_killed_run, rules in ((60, []), (0, ["conversions"])):
        rows = [row(at(0, 9), ARRIVED, by_killed_run), row(at(0), ARRIVED, 40)]
        judged = unusual_after(history([*DAILY, killed]), again, rows)
        assert [one.rule for one in judged] == rules


def failed_twice(first: bool = False) -> Any:
    """Return the overview after two runs that failed with 401, of which 74 conversions wait."""
    rows = [
        row(at(0, 9), ARRIVED, 4, 200),
        row(at(0, 9), WAITING, 70, 3_500, days=6.5),
        row(at(1, 9), WAITING, 4, 200, days=3),
    ]
    runs = [run(at(0, hour), ending=DENIED, streams={}) for hour in (9, 10)]
    if first:
        return overview(runs, rows=rows[1:2])
    return overview([*DAILY, *runs], rows=[*usual(0), *rows])


def test_what_failed_runs_left_waits() -> None:
    """The cause has all that waits, from whichever day, its value, and when the first is lost."""
    found = failed_twice()
    (problem,) = found.causes
    assert isinstance(problem.cause, FailedRuns)
    assert (problem.ledger.waiting, problem.ledger.values["waiting"]) == (74, {"EUR": 3_700})
    end = at(1, 9) + dt.timedelta(days=3)  # Before seven days after the run have passed.
    assert problem.until == end.astimezone(UTC)
    assert as_json(found)["causes"][0]["until"] == "2026-05-22T13:05:00Z"
    assert "LiveIntent accepts the first of these conversions until 22 May, 09:05." in page(found)
    assert "Because of it, 74 wait (deadline: 22 May, 09:05)." in cause_lines(found, 1)[0]
    assert sentence(found).startswith("4 of 74 conversions arrived today, 96 % fewer than")
    assert sentence(failed_twice(first=True)) == (
        "0 of 70 conversions arrived today; 70 wait (deadline: 26 May, 21:05)."
    )
    assert headline_of(failed_twice(first=True)).status == "bad"


@pytest.mark.parametrize(
    ("waiting", "rules"), [(0, ["conversions"]), (90, [])], ids=["nothing waits", "all waits"]
)
def test_what_waits_is_not_missing(waiting: int, rules: list[str]) -> None:
    """A failed run is one problem, and not also that hardly anything arrived."""
    last = run(at(0), ending=DENIED, streams={"orders": shop(0)})
    rows = [row(at(0), WAITING, waiting, days=6)] if waiting else []
    assert [one.rule for one in unusual_after(history(DAILY), last, rows)] == rules


def test_dead_letters_for_other_reasons_are_no_part_of_a_cause() -> None:
    """What a replay cannot send is not because of the setting that was wrong."""
    last = run(at(0), unusual=[MANY], streams={"orders": shop(not_sent={"invalid_source": 33})})
    lost = row(at(0), LOST, 5, 90, reason="no_identity")
    (problem,) = overview([*DAILY, last], rows=[*usual(), letters(33), lost]).causes
    assert (problem.ledger.read, problem.ledger.lost) == (33, 0)
    assert problem.ledger.values["replayable"] == {"JPY": 831 * 33}


def test_each_cause_has_its_own_end() -> None:
    """Letters that can be replayed do not shorten the time of what waits."""
    runs = [*DAILY, run(at(0), ending=DENIED, streams={})]
    rows = [row(at(0), WAITING, 4, days=6), row(at(0), REPLAYABLE, reason="api_error", days=2)]
    found = overview(runs, rows=[*usual(0), *rows])
    assert "Because of it, 4 wait (deadline: 26 May, 12:05)." in cause_lines(found, 1)[0]
    assert headline_of(found).to_do.endswith("until 26 May, 12:05.")
    assert found.causes[0].until == (at(0) + dt.timedelta(days=6)).astimezone(UTC)


def test_until_when_dead_letters_can_be_replayed() -> None:
    """The first letter of the main reason decides, also an older one, or one of 30 days."""
    last = run(at(0), unusual=[MANY])
    last_letters = letters(33)._replace(until=int(at(-28).timestamp()))
    older = row(at(3), REPLAYABLE, 5, reason="invalid_source", days=30)
    other = row(at(6), REPLAYABLE, 5, reason="missing_key", days=7)
    rows = [*usual(), last_letters, older, other]
    (problem,) = overview([*DAILY, last], rows=rows).causes
    assert problem.ledger.not_arrived == 33
    assert problem.ledger.values["replayable"] == {"JPY": 27_423}
    assert problem.until == (at(3) + dt.timedelta(days=30)).astimezone(UTC)
    lost = overview([*DAILY, last], rows=[*usual(), letters(33, LOST)])
    assert lost.causes[0].until is None
    assert "accepts" not in headline_of(lost).to_do


def test_other_problems_have_no_end() -> None:
    """What never came from the tap, or arrived in a wrong way, waits nowhere."""
    unusual = [Unusual("conversions", "orders", Finding(count=3), at(0))]
    rows = [*usual(3), row(at(0), WAITING, 4, days=2)]
    (problem,) = overview([*DAILY, run(at(0), unusual=unusual)], rows=rows).causes
    assert (problem.until, problem.ledger.read) == (None, 0)
