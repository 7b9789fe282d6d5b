"""Draws the charts of a run report with pygal; the page's style sheet sets colours and fonts.

Only this module imports pygal, and only a run that writes a report imports this module. It removes
the scripts, style sheets and places for tool-tips that pygal adds for other pages.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.words import clock, short_number

# pygal adds a finder to every import, for its maps. They are not needed here, and Python 3.11 warns
# of such finders.
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]


_WIDTH, _HEIGHT = 380, 230
_ROW = 24
"""The height of a horizontal bar and the space below it."""
_FONT = 12
_STYLE: Any = Style(
    label_font_size=_FONT,
    major_label_font_size=_FONT,
    value_font_size=_FONT,
    # Not used, but without them pygal computes colours from those that it cannot read.
    value_colors=("black",) * 8,
)
_UNWANTED = {"defs", "desc", "script", "title"}
_LABELS = 6
"""About how many steps have a label below them."""


class Bars(NamedTuple):
    """A row of bars of one colour.

    Attributes:
        name: What the bars stand for.
        colour: The name of the colour in the style sheet.
        heights: A height for each label.
    """

    name: str
    colour: str
    heights: Sequence[float]


def stacked(
    labels: Sequence[str], rows: Sequence[Bars], *, every: int = 1, number: Callable[[float], str]
) -> str:
    """Return a chart of bars that stand on each other.

    Args:
        labels: The labels below the bars.
        rows: The bars, from below; a row without any height is left out.
        every: How many bars share one visible label.
        number: Returns a height in words.
    """
    chart = pygal.StackedBar(
        width=_WIDTH, height=_HEIGHT, show_minor_x_labels=False, **_options(number)
    )
    chart.x_labels = labels
    chart.x_labels_major = labels[::every]
    columns = list(zip(*(row.heights for row in rows), strict=True))
    bottom = min((sum(min(height, 0.0) for height in column) for column in columns), default=0.0)
    top = max((sum(max(height, 0.0) for height in column) for column in columns), default=0.0)
    chart.y_labels = ticks(bottom, top)
    return _draw(chart, rows)


def horizontal(
    labels: Sequence[str], rows: Sequence[Bars], longest: float, number: Callable[[float], str]
) -> str:
    """Return a chart of horizontal bars, each with its name at its left.

    Args:
        labels: The names, from above.
        rows: The bars, one colour a row.
        longest: The length that fills the width.
        number: Returns a length in words.
    """
    height = _ROW * len(labels) + 40
    chart = pygal.HorizontalStackedBar(width=_WIDTH, height=height, **_options(number))
    chart.x_labels = labels[::-1]  # pygal begins at the bottom.
    chart.y_labels = ticks(0.0, longest)
    return _draw(chart, [row._replace(heights=row.heights[::-1]) for row in rows])


def _options(number: Callable[[float], str]) -> dict[str, Any]:
    return {
        "js": [],
        "css": [],
        "style": _STYLE,
        "show_legend": False,
        "margin": 4,
        "spacing": 6,
        "truncate_label": -1,
        "value_formatter": number,
        "formatter": number,
        "no_data_text": "",
    }


def _draw(chart: Any, rows: Sequence[Bars]) -> str:
    shown = [row for row in rows if any(row.heights)] or rows[:1]
    for row in shown:
        chart.add(row.name, list(row.heights))
    root = chart.render_tree()
    _strip(root)
    for group in root.iter():
        kinds = str(group.get("class", "")).split()
        for n, row in enumerate(shown):
            if f"serie-{n}" in kinds:
                group.set("class", f"bars {row.colour}")
    root.set("aria-hidden", "true")  # The caption and the table say the same to a screen reader.
    for name in ("id", "width", "height"):
        root.attrib.pop(name, None)
    return str(ET.tostring(root, encoding="unicode"))


def _strip(element: Any) -> None:
    """Remove what needs pygal's scripts, and turn the value of a bar into its tool-tip."""
    for child in list(element):
        name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else "comment"
        kinds = str(child.get("class", ""))
        if name == "desc" and kinds == "value" and element.get("class") == "bar":
            child.tag = child.tag.replace("desc", "title")
            child.attrib.clear()
        elif name in {*_UNWANTED, "comment"} or "overlay" in kinds or kinds == "titles":
            element.remove(child)
        else:
            _strip(child)


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers that span two others; integers if both are integers."""
    span = high - low
    if span <= 0:
        return [0, 1]
    rough = span / 4
    if float(low).is_integer() and float(high).is_integer():
        rough = max(rough, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [n * step for n in range(first, last + 1)]


OUTCOMES = (
    ("delivered", "delivered", "good"),
    ("rejected", "dead letters", "bad"),
    ("dropped", "not to be sent", "hold"),
    ("unused", "left out by your maps", "rest"),
)
"""The fields of a `TimeStep`, each with its words and its colour."""


def outcomes_over_time(facts: Facts) -> str:
    """Draw the records by outcome in each step of the run."""
    steps, width = facts.over_time.steps, facts.over_time.seconds_a_step
    labels = [clock(n * width) for n in range(len(steps))]
    rows = [
        Bars(name, colour, [getattr(step, field) for step in steps])
        for field, name, colour in OUTCOMES
    ]
    return stacked(labels, rows, every=max(1, len(steps) // _LABELS), number=short_number)


def outcomes(facts: Facts) -> str:
    """Draw the records by outcome, for a run of a single step."""
    steps = facts.over_time.steps
    totals = [sum(getattr(step, field) for step in steps) for field, _, _ in OUTCOMES]
    names, rows = [], []
    for place, ((_, name, colour), total) in enumerate(zip(OUTCOMES, totals, strict=True)):
        names.append(f"{name} {short_number(total)}")
        rows.append(Bars(name, colour, [total if n == place else 0 for n in range(len(totals))]))
    return horizontal(names, rows, max([1, *totals]), short_number)


def rejections(facts: Facts) -> str:
    """Draw the records that were not sent, by reason."""
    not_sent = facts.not_sent
    names = [f"{one.reason} {short_number(one.records)}" for one in not_sent]
    rows = [
        Bars("records", colour, [one.records * (one.dead_letter is kind) for one in not_sent])
        for kind, colour in ((True, "bad"), (False, "hold"))
    ]
    return horizontal(names, rows, max(one.records for one in not_sent), short_number)


def coverage(names: Sequence[str], shares: Sequence[float]) -> str:
    """Draw the share of events that have each field, in per cent."""
    row = Bars("events", "good", shares)
    return horizontal(names, [row], 100, lambda share: f"{share:.0f} %")


def ages(labels: Sequence[str], counts: Sequence[int], fresh: int, week: int) -> str:
    """Draw the events by their age when they were sent.

    Args:
        labels: The upper bounds of the steps.
        counts: The events in each step.
        fresh: How many steps are within an hour.
        week: How many are within seven days.
    """
    places = range(len(counts))
    rows = [
        Bars("within an hour", "good", [counts[n] if n < fresh else 0 for n in places]),
        Bars("within 7 days", "hold", [counts[n] if fresh <= n < week else 0 for n in places]),
        Bars("older", "bad", [counts[n] if n >= week else 0 for n in places]),
    ]
    return stacked(labels, rows, number=short_number)


def values(days: Sequence[str], amounts: Sequence[float]) -> str:
    """Draw the value of each day."""
    row = Bars("value", "good", amounts)
    return stacked(days, [row], every=max(1, len(days) // _LABELS), number=short_number)


def latencies(labels: Sequence[str], counts: Sequence[int]) -> str:
    """Draw the requests by how long they took."""
    every = max(1, len(labels) // _LABELS)
    return stacked(labels, [Bars("requests", "calm", counts)], every=every, number=short_number)
