"""The charts of a run report: SVG of pygal, whose colours and fonts the page's style sheet sets.

The only module that imports pygal, and imported only where a report is drawn. What pygal adds for
pages that it does not know (scripts, style sheets, places for pop-ups) is taken away.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

# pygal hooks into every import for its maps, in a way of which Python 3.11 warns: not needed here.
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_liveintent.reporting.run_report.facts import Facts

_WIDTH, _HEIGHT = 380, 230
_ROW = 24
"""The height of a horizontal bar, with what is between it and the next."""
_FONT = 12
_STYLE: Any = Style(
    label_font_size=_FONT,
    major_label_font_size=_FONT,
    value_font_size=_FONT,
    # (Not used, but pygal would compute some from colours that it cannot read.)
    value_colors=("black",) * 8,
)
_UNWANTED = {"defs", "desc", "script", "title"}
_EVERY = 6
"""About so many steps of time have a label."""


class Bars(NamedTuple):
    """A row of bars of one colour.

    Attributes:
        name: What they stand for.
        colour: Its name in the style sheet.
        heights: One for each label.
    """

    name: str
    colour: str
    heights: Sequence[float]


def stacked(
    labels: Sequence[str], rows: Sequence[Bars], *, every: int = 1, number: Callable[[float], str]
) -> str:
    """Bars that stand on each other.

    Args:
        labels: What is below them.
        rows: The bars, from below; those without any height are left out.
        every: Of how many labels one is shown.
        number: A height in words.
    """
    chart = pygal.StackedBar(
        width=_WIDTH, height=_HEIGHT, show_minor_x_labels=False, **_options(number)
    )
    chart.x_labels = labels
    chart.x_labels_major = labels[::every]
    tops = [sum(max(height, 0) for height in column) for column in zip(*_heights(rows))]  # noqa: B905
    bottoms = [sum(min(height, 0) for height in column) for column in zip(*_heights(rows))]  # noqa: B905
    chart.y_labels = ticks(min([0.0, *bottoms]), max([0.0, *tops]))
    return _drawn(chart, rows)


def lying(
    labels: Sequence[str], rows: Sequence[Bars], longest: float, number: Callable[[float], str]
) -> str:
    """Bars that lie, one below the other, each named at its left.

    Args:
        labels: Their names, from above.
        rows: The bars, one colour a row.
        longest: The length that fills the width.
        number: A length in words.
    """
    height = _ROW * len(labels) + 40
    chart = pygal.HorizontalStackedBar(width=_WIDTH, height=height, **_options(number))
    chart.x_labels = labels[::-1]  # pygal begins below.
    chart.y_labels = ticks(0.0, longest)
    return _drawn(chart, [row._replace(heights=row.heights[::-1]) for row in rows])


def _heights(rows: Sequence[Bars]) -> list[Sequence[float]]:
    return [row.heights for row in rows]


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


def _drawn(chart: Any, rows: Sequence[Bars]) -> str:
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
    root.set("aria-hidden", "true")  # The figure around it says it in words, the table in numbers.
    for name in ("id", "width", "height"):
        root.attrib.pop(name, None)
    return str(ET.tostring(root, encoding="unicode"))


def _strip(element: Any) -> None:
    """Take away what is of no use without pygal's scripts; a bar's value becomes its tool-tip."""
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
    """About five round numbers from one to the other; whole ones for counts."""
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


_UNITS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""From which number on, which unit."""


def short(number: float) -> str:
    """A number in a few characters: 1.2 M."""
    for least, unit, name in _UNITS:
        if abs(number) >= least:
            return f"{number / unit:,.3g} {name}"
    return f"{number:,.4g}"


def fates_over_time(facts: Facts) -> str:
    """Records by fate in each step of the run."""
    steps, width = facts.over_time.steps, facts.over_time.seconds_a_step
    labels = [clock(n * width) for n in range(len(steps))]
    rows = [
        Bars(name, colour, [getattr(step, kind) for step in steps]) for kind, name, colour in FATES
    ]
    return stacked(labels, rows, every=max(1, len(steps) // _EVERY), number=short)


FATES = (
    ("delivered", "delivered", "good"),
    ("rejected", "dead letters", "bad"),
    ("dropped", "not to be sent", "hold"),
    ("unused", "left out by your maps", "rest"),
)
"""Steps of `facts.OverTime`: field, words, colour."""


def fates(facts: Facts) -> str:
    """Records by fate, for a run too short to have a time."""
    steps = facts.over_time.steps
    totals = [sum(getattr(step, kind) for step in steps) for kind, _, _ in FATES]
    names = [f"{name} {short(total)}" for (_, name, _), total in zip(FATES, totals, strict=True)]
    rows = [
        Bars(name, colour, [total if n == place else 0 for n in range(len(FATES))])
        for place, ((_, name, colour), total) in enumerate(zip(FATES, totals, strict=True))
    ]
    return lying(names, rows, max([1, *totals]), short)


def clock(seconds: float) -> str:
    """A time since the start: 1:30, or 2:00:00."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rejections(facts: Facts) -> str:
    """Records that were not sent, by reason."""
    found = facts.not_sent
    names = [f"{one.reason} {short(one.records)}" for one in found]
    colours = {True: "bad", False: "hold"}
    rows = [
        Bars("records", colour, [one.records if one.dead_letter is kept else 0 for one in found])
        for kept, colour in colours.items()
    ]
    return lying(names, rows, max(one.records for one in found), short)


def coverage(names: Sequence[str], shares: Sequence[float]) -> str:
    """The share of events that have each identifier, in per cent."""
    row = Bars("events", "good", shares)
    return lying(names, [row], 100, lambda share: f"{share:.0f} %")


def ages(labels: Sequence[str], counts: Sequence[int], fresh: int, week: int) -> str:
    """Events by their age when they were sent.

    Args:
        labels: The steps' upper bounds.
        counts: Events in each.
        fresh: How many steps are within an hour.
        week: How many are within seven days.
    """
    places = range(len(counts))
    rows = [
        Bars("within an hour", "good", [counts[n] if n < fresh else 0 for n in places]),
        Bars("within 7 days", "hold", [counts[n] if fresh <= n < week else 0 for n in places]),
        Bars("older", "bad", [counts[n] if n >= week else 0 for n in places]),
    ]
    return stacked(labels, rows, number=short)


def values(days: Sequence[str], amounts: Sequence[float]) -> str:
    """Value by day."""
    row = Bars("value", "good", amounts)
    return stacked(days, [row], every=max(1, len(days) // _EVERY), number=short)


def latencies(labels: Sequence[str], counts: Sequence[int]) -> str:
    """Requests by how long they took."""
    every = max(1, len(labels) // _EVERY)
    return stacked(labels, [Bars("requests", "calm", counts)], every=every, number=short)
