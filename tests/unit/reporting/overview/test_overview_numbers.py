"""Each figure of the overview and its usual range, computed anew from what the runs left.

Golden pages have the numbers of reasons, streams, months and changes.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from overview_support import NOW, TODAY, ZONE, at, entry, overview, random_entries

if TYPE_CHECKING:
    from target_liveintent.reporting.history.model import RunEntry, StreamFigures
    from target_liveintent.reporting.overview.model import Overview, Usual

Parts = list["StreamFigures"]
Of = Callable[[Any], Any]
OLDEST = TODAY - dt.timedelta(days=91)
DAYS = [TODAY - dt.timedelta(days=back) for back in range(89, -1, -1)]
ENTRIES = random_entries()
"""Runs of 110 days, of which 91 before today are read."""


@pytest.fixture(scope="module")
def whole() -> Overview:
    return overview(ENTRIES)


def local(one: RunEntry) -> dt.datetime:
    return one.run.ended_at.astimezone(ZONE)


def parts(runs: list[RunEntry]) -> Parts:
    return [figures for one in runs for figures in one.run.streams.values()]


USUAL_RUNS = [one for one in ENTRIES if one.run.kind == "usual" and local(one).date() >= OLDEST]


def now(of: Of) -> Any:
    """Return a figure of the usual runs of this hour and of the 23 before it."""
    first = NOW.replace(minute=0) - dt.timedelta(hours=23)
    return of(parts([one for one in USUAL_RUNS if first <= local(one) <= NOW]))


def by_day(of: Of) -> dict[dt.date, Any]:
    days: dict[dt.date, list[RunEntry]] = {}
    for one in USUAL_RUNS:
        days.setdefault(local(one).date(), []).append(one)
    return {day: of(parts(found)) for day, found in days.items()}


def usual_on(values: dict[dt.date, Any], *days: dt.date) -> Any:
    """Return the tenth, half and nine tenths of the days that are comparable with some days."""
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


def ends(usual: Usual | None) -> tuple[float, float, float] | None:
    return None if usual is None else (usual.low, usual.middle, usual.high)


def total(of: Of) -> Of:
    return lambda figures: sum(of(one) for one in figures)


def share(of: Of) -> Of:
    return lambda figures: total(of)(figures) / (total(lambda one: one.delivered)(figures) or 1)


def hashed(one: StreamFigures) -> int:
    return one.having["md5"] + one.having["sha2"] - one.having["both"]


def value(currency: str) -> Of:
    return total(lambda one: one.values[currency].total)


def average(currency: str) -> Of:
    events = total(lambda one: one.values[currency].events)
    return lambda figures: value(currency)(figures) / events(figures) if figures else None


FIGURES: dict[tuple[str, str], Of] = {
    ("conversions", ""): total(lambda one: one.delivered),
    ("email_hash", ""): share(hashed),
    ("decision_id", ""): share(lambda one: one.having["decision_id"]),
    ("late", ""): share(lambda one: one.delivered - one.within_an_hour),
    ("dead_letters", ""): total(
        lambda one: sum(n for reason, n in one.not_sent.items() if reason != "already_sent")
    ),
    ("total_value", "JPY"): value("JPY"),
    ("total_value", "EUR"): value("EUR"),
    ("average_value", "JPY"): average("JPY"),
    ("average_value", "EUR"): average("EUR"),
}


@pytest.mark.parametrize("number", range(len(FIGURES)))
def test_figures(whole: Overview, number: int) -> None:
    """Each figure of the last 24 hours and of each day, with its usual range."""
    (name, of), found = [*FIGURES.items()][number], whole.figures[number]
    assert (found.figure, found.subject) == name
    days = by_day(of)
    assert found.now == pytest.approx(now(of))
    assert ends(found.usual) == usual_now(days)
    assert found.usual is not None
    low, high = found.now < found.usual.low, found.now > found.usual.high
    assert found.verdict == ("low" if low else "high" if high else "as_usual")
    assert [one.value for one in found.days] == [
        pytest.approx(days[day]) if day in days else None for day in DAYS
    ]
    first = OLDEST + dt.timedelta(days=14)
    assert [ends(one.usual) for one in found.days] == [
        None if day < first else usual_on(days, day) for day in DAYS
    ]


def test_a_reason_of_earlier_days() -> None:
    """It is shown with the number of the last 24 hours, which is 0."""
    entries = [entry(at(back)) for back in range(20)]
    entries[10].run.streams["orders"].not_sent["no_identity"] = 3
    (found,) = overview(entries).reasons
    assert (found.reason, found.now, found.thirty_days) == ("no_identity", 0, 3)


def test_the_version_of_the_json(whole: Overview) -> None:
    """Programs that read it recognize its form by this number."""
    assert whole.version == 1
