"""The charts of the page, in coordinates of the data.

A day is one unit wide, and a bar is as high as its number. The template draws them, upwards
negative, as SVG counts; the style sheet gives them a size and colours.
"""

from __future__ import annotations

from typing import NamedTuple

from target_liveintent.reporting import text
from target_liveintent.reporting.overview import (
    BOTH_HASHES,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    FIGURES,
    Compared,
    Overview,
)
from target_liveintent.reporting.words import day_words
from target_liveintent.run import counted

LEAST_DAYS = 2
"""Days from which on there is something to draw."""
_MOST = 1e6
"""A chart with higher numbers is scaled down: browsers draw with few digits."""
_CAPTIONS = {
    CONVERSIONS: "Conversions that were sent",
    DEAD_LETTERS: "Records that could not be sent",
    BOTH_HASHES: "Share of conversions with both hashes",
    DECISION_ID: "Share of conversions with a decision ID",
}


class Column(NamedTuple):
    """A day of a chart.

    Attributes:
        value: The number; None if there is none.
        special: What other runs add to it.
        usual: The ends of the usual range; None if nothing is usual.
        is_gap: Whether there was no regular run.
        is_marked: Whether a setting or the version changed.
        tip: All of it in words.
    """

    value: float | None
    special: float
    usual: tuple[float, float] | None
    is_gap: bool
    is_marked: bool
    tip: str

    @property
    def ends(self) -> list[float]:
        """What must be in the chart."""
        return [(self.value or 0.0) + self.special, self.value or 0.0, *(self.usual or ())]


class Chart(NamedTuple):
    """A chart of days.

    Attributes:
        title: What it shows.
        summary: The same with its numbers, for screen readers.
        is_line: Whether a line is drawn, as for shares, and not bars.
        high: The highest number.
        high_words: The same in words.
        low: The lowest number, at most 0.
        columns: The days.
        first: The first day.
        last: The last day.
    """

    title: str
    summary: str
    is_line: bool
    high: float
    high_words: str
    low: float
    columns: list[Column]
    first: str
    last: str


def chart_of(overview: Overview, one: Compared, most: int = 0) -> Chart:
    """Return the chart of a figure, of the last days if `most` says how many."""
    days, points = overview.days[-most:], one.days[-most:]
    numbers = [float(point.value or 0) for point in points]
    unit = max(1.0, max(map(abs, numbers)) / _MOST)
    changed = {change.day for change in overview.changes}
    columns = []
    for day, point in zip(days, points, strict=True):
        special = day.special if one.figure == CONVERSIONS else 0
        tip = f"{day_words(day.day)}: {text.figure_words(one.figure, point.value)}"
        tip += f" and {special:,} by other runs" if special else ""
        tip += f"; usual: {text.range_words(one.figure, point.usual)}" if point.usual else ""
        usual = None if point.usual is None else (point.usual.low / unit, point.usual.high / unit)
        value = None if point.value is None else float(point.value) / unit
        is_gap = not day.runs and day is not days[-1]
        columns.append(Column(value, special / unit, usual, is_gap, day.day in changed, tip))
    ends = [0.0, *(end for column in columns for end in column.ends)]
    is_share = FIGURES[one.figure].is_share
    high = 1.0 if is_share else max(ends) or 1.0
    known = [point.value for point in points if point.value is not None]
    least, greatest = min(known, default=None), max(known, default=None)
    said = [text.figure_words(one.figure, n) for n in (least, greatest, points[-1].value)]
    name = text.name_of(one)
    title = _CAPTIONS.get(one.figure, f"{name[0].upper()}{name[1:]}")
    return Chart(
        title=title,
        summary=f"{title}, {counted(len(days), 'day')}: from {said[0]} to {said[1]}, today"
        f" {said[2]}",
        is_line=is_share,
        high=high,
        high_words=text.figure_words(one.figure, high * unit if max(ends) else 0),
        low=min(ends),
        columns=columns,
        first=day_words(days[0].day),
        last=day_words(days[-1].day),
    )
