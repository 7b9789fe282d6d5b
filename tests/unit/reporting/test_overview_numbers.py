"""Each figure of the overview and its usual range, computed anew from what the runs left.

Golden pages have the numbers of reasons, streams, months and changes.
"""

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from reporting_support import NOW, TODAY, ZONE, at, daily, overview, random_runs, shop
from reporting_support import run as entry

from target_liveintent.reporting.headline import change_in_a_week
from target_liveintent.reporting.history import RunRecord
from target_liveintent.reporting.overview import Overview
from target_liveintent.reporting.usual_range import Range
from target_liveintent.run.counts import StreamCounts

Runs = list["RunRecord"]
Of = Callable[[Any], Any]
OLDEST = TODAY - dt.timedelta(days=91)
DAYS = [TODAY - dt.timedelta(days=back) for back in range(89, -1, -1)]
ENTRIES = random_runs()
"""Runs of 110 days, of which 91 before today are read."""


@pytest.fixture(scope="module")
def whole() -> Overview:
    return overview(ENTRIES)


def local(one: RunRecord) -> dt.datetime:
    return one.ended_at.astimezone(ZONE)


RUNS = [one for one in ENTRIES if local(one).date() >= OLDEST]
USUAL_DAYS = {local(one).date() for one in RUNS if one.kind == "usual"}


def now(of: Of) -> Any:
    """Return a figure of the runs of the last 24 hours."""
    return of([one for one in RUNS if NOW - dt.timedelta(hours=24) < local(one) <= NOW])


def by_day(of: Of) -> dict[dt.date, Any]:
    days: dict[dt.date, list[RunRecord]] = {}
    for one in RUNS:
        days.setdefault(local(one).date(), []).append(one)
    return {day: of(found) for day, found in days.items()}


def usual_on(values: dict[dt.date, Any], *days: dt.date) -> Any:
    """Return the tenth, half and nine tenths of the days that are comparable with some days.

    Only days with runs of a schedule are.
    """
    values = {day: value for day, value in values.items() if day in USUAL_DAYS}
    ranges = []
    for day in days:
        back = {at: (day - at).days for at, value in values.items() if value is not None}
        same = [values[at] for at, n in back.items() if 0 < n <= 56 and n % 7 == 0]
        chosen = same if len(same) >= 4 else [values[at] for at, n in back.items() if 0 < n <= 28]
        tenths = statistics.quantiles(map(float, chosen), n=10, method="inclusive")
        ranges.append((tenths[0], statistics.median(map(float, chosen)), tenths[-1]))
    lows, middles, highs = zip(*ranges, strict=True)
    return pytest.approx((min(lows), min(middles), max(highs)))


def usual_now(values: dict[dt.date, Any]) -> Any:
    yesterday = TODAY - dt.timedelta(days=1)
    return usual_on({d: n for d, n in values.items() if d < yesterday}, TODAY, yesterday)


def ends(usual: Range | None) -> tuple[float, float, float] | None:
    return None if usual is None else (usual.low, usual.middle, usual.high)


def total(of: Of) -> Of:
    return lambda runs: sum(of(one) for run in runs for one in run.streams.values())


def share(of: Of) -> Of:
    return lambda runs: total(of)(runs) / (total(lambda one: one.delivered)(runs) or 1)


def having(one: StreamCounts, field: str) -> int:
    return one.coverage["web"][field]


def hashed(one: StreamCounts) -> int:
    return having(one, "md5") + having(one, "sha2") - having(one, "both")


def letters(runs: Runs) -> int:
    """Return how many records could not be sent; one that came again counts once."""
    by_reason: Counter[str] = Counter()
    for run in runs:
        for one in run.streams.values():
            by_reason.update(one.rejected)
            by_reason.subtract(one.repeated)
    return sum(max(0, count) for count in by_reason.values())


def value(currency: str) -> Of:
    return total(lambda one: one.values[currency].total if currency in one.values else 0)


def average(currency: str) -> Of:
    count = total(lambda one: one.values[currency].conversions if currency in one.values else 0)
    return lambda runs: value(currency)(runs) / count(runs) if runs else None


FIGURES: dict[tuple[str, str], Of] = {
    ("conversions", ""): total(lambda one: one.delivered),
    ("both_hashes", ""): share(lambda one: having(one, "both")),
    ("email_hash", ""): share(hashed),
    ("decision_id", ""): share(lambda one: having(one, "decision_id")),
    ("late", ""): share(lambda one: one.delivered - one.timing.within_an_hour),
    ("dead_letters", ""): letters,
    ("total_value", "EUR"): value("EUR"),
    ("total_value", "JPY"): value("JPY"),
    ("average_value", "EUR"): average("EUR"),
    ("average_value", "JPY"): average("JPY"),
    ("web", ""): total(lambda one: having(one, "events")),
}


@pytest.mark.parametrize(
    ("name", "of"), FIGURES.items(), ids=[f"{name} {of}".strip() for name, of in FIGURES]
)
def test_figures(whole: Overview, name: tuple[str, str], of: Of) -> None:
    """Each figure of the last 24 hours and of each day, with its usual range."""
    found = whole.figure(*name)
    days = by_day(of)
    assert found.now == pytest.approx(now(of))
    assert ends(found.usual) == usual_now(days)
    assert found.days == [pytest.approx(days[day]) if day in days else None for day in DAYS]
    if name == ("conversions", ""):
        first = OLDEST + dt.timedelta(days=14)
        assert [ends(one.usual) for one in whole.days] == [
            None if day < first else usual_on(days, day) for day in DAYS
        ]


def test_a_week_ago() -> None:
    """The same 24 hours of the week before are compared, whatever was in between."""
    found = overview([*daily(20, 8), *daily(7, 7, streams={"orders": shop(70)}), *daily(6)])
    figure = found.figure("conversions")
    assert (figure.now, figure.week_ago, change_in_a_week(figure)) == (100, 70, "+43 %")
    assert change_in_a_week(found.figure("both_hashes")) == "0 points"
    few = overview([*daily(7, 7, streams={"orders": shop(19)}), *daily(6)]).figure("conversions")
    assert change_in_a_week(few) == "+81"
    for days, before in ((0, None), (6, None), (7, 100)):  # Nobody knows what was before.
        figure = overview(daily(days)).figure("conversions")
        assert (figure.week_ago, change_in_a_week(figure) == "-") == (before, before is None)


def test_reasons_of_thirty_days_and_three_months() -> None:
    entries = [entry(at(back)) for back in range(90)]
    for back in (29, 30):
        entries[back].streams["orders"].rejected["no_identity"] = back
    found = overview(entries)
    assert {reason: one.lost for reason, one in found.reasons.items()} == {"no_identity": 29}
    assert overview(ENTRIES).days[0].day == OLDEST + dt.timedelta(days=2)
    assert [(first.month, one.arrived) for first, one in found.months.items()] == [
        (5, 2_000),
        (4, 3_000),
        (3, 3_100),
    ]
