"""Draws the charts of a run report with pygal; the page's style sheet sets colours and fonts.

Only this module imports pygal, and only a run that writes a report imports this module. It removes
the scripts, style sheets and places for tool-tips that pygal adds for other pages.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style
from pygal.view import Box

from target_liveintent.reporting.run_report.words import short_number

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
_UNWANTED = {"defs", "desc", "script", "title", ET.Comment}
_AXIS, _LETTER, _GAP = 330, 7, 12
"""The length of the bottom axis, the width of a letter below it, and the least gap of labels."""

Bars = Mapping[str, Sequence[float]]
"""A height for each label, by colour of the style sheet; a colour without heights is left out."""


def stacked(labels: Sequence[str], bars: Bars) -> str:
    """Return a chart of bars that stand on each other, the first colour at the bottom."""
    options = _options(short_number)
    chart = pygal.StackedBar(width=_WIDTH, height=_HEIGHT, show_minor_x_labels=False, **options)
    chart.x_labels = labels
    chart.x_labels_major = _with_room(labels)
    columns = list(zip(*bars.values(), strict=True))
    bottom = min((sum(min(height, 0.0) for height in column) for column in columns), default=0.0)
    top = max((sum(max(height, 0.0) for height in column) for column in columns), default=0.0)
    chart.y_labels = ticks(bottom, top)
    return _draw(chart, bars)


def _with_room(labels: Sequence[str]) -> Sequence[str]:
    """Return as many labels as do not run into each other, at equal distances."""
    room = max(1, _AXIS // (_LETTER * max(map(len, labels), default=0) + _GAP))
    return labels[:: math.ceil(len(labels) / room) or 1]


class Backdrop(NamedTuple):
    """What a chart of days shows besides the bars, each with an element for each day.

    Attributes:
        usual: The usual range, drawn as a band; None where nothing is usual.
        gaps: Whether there is nothing to show of the day, so that its place is shaded.
        marks: Whether a line marks the beginning of the day.
    """

    usual: Sequence[tuple[float, float] | None]
    gaps: Sequence[bool]
    marks: Sequence[bool]


def daily(
    labels: Sequence[str], bars: Bars, backdrop: Backdrop, number: Callable[[float], str]
) -> str:
    """Return a chart of a bar a day, over what is usual; the tool-tips name the days.

    Bars of several colours stand on each other; `number` puts a height into words.
    """
    ranges = [edge for one in backdrop.usual if one is not None for edge in one]
    heights = [sum(column) for column in zip(*bars.values(), strict=True)]
    chart = pygal.StackedBar(
        width=_WIDTH, height=_HEIGHT, show_minor_x_labels=False, **_options(number)
    )
    chart.x_labels = labels
    chart.x_labels_major = _with_room(labels)
    scale = ticks(min([0.0, *heights, *ranges]), max([0.0, *heights, *ranges]))
    chart.y_labels = scale
    low, high = chart.range = scale[0], scale[-1]
    shown = {colour: heights for colour, heights in bars.items() if any(heights)} or bars
    root = _drawn(chart, {colour: _named(shown[colour], labels, number) for colour in shown})
    _remove_empty_bars(root)
    _add_backdrop(_Plot(root, len(labels), (low, high)), backdrop, low, high)
    return str(ET.tostring(root, encoding="unicode"))


def _named(
    heights: Sequence[float], labels: Sequence[str], number: Callable[[float], str]
) -> list[Any]:
    """Return heights for pygal, each with a tool-tip of its own."""
    return [
        {"value": height, "formatter": functools.partial(_tip, label, number)}
        for label, height in zip(labels, heights, strict=True)
    ]


def _tip(label: str, number: Callable[[float], str], height: float) -> str:
    return f"{label}: {number(height)}"


def _remove_empty_bars(root: Any) -> None:
    for series in root.iter("g"):
        for bar in list(series):
            rectangle = bar.find("rect")
            if bar.get("class") == "bar" and not float(rectangle.get("height")):
                series.remove(bar)


class _Plot:
    """The part of a chart between its axes, in its own coordinates.

    Args:
        root: The chart.
        days: How many places the bottom axis has.
        scale: The first and the last number at the left axis.
    """

    def __init__(self, root: Any, days: int, scale: tuple[float, float]) -> None:
        self._plot = next(one for one in root.iter("g") if one.get("class") == "plot")
        background = self._plot.find("rect")
        self._width, self._height = (float(background.get(side)) for side in ("width", "height"))
        self._days, (self._low, self._high) = days, scale

    def x(self, day: int) -> str:
        """Return where a day begins."""
        return self._at(self._width, day / self._days)

    def y(self, number: float) -> str:
        """Return how far down a number is."""
        return self._at(self._height, (self._high - number) / (self._high - self._low))

    @staticmethod
    def _at(length: float, share: float) -> str:
        return f"{length * (share + Box.margin) / (1 + 2 * Box.margin):.1f}"

    def add(self, tag: str, *, behind: bool = False, **attributes: str) -> None:
        """Add an element in front of the bars, or behind the axes."""
        kind = attributes.pop("kind")
        element = ET.Element(tag, {"class": kind, **attributes})
        self._plot.insert(1 if behind else len(self._plot), element)


def _add_backdrop(plot: _Plot, backdrop: Backdrop, low: float, high: float) -> None:
    bottom, top = plot.y(low), plot.y(high)
    for first, end in _stretches(backdrop.gaps):
        corners = f"M{plot.x(first)} {top}H{plot.x(end)}V{bottom}H{plot.x(first)}Z"
        plot.add("path", behind=True, kind="gap", d=corners)
    for first, end in _stretches([one is not None for one in backdrop.usual]):
        edges: tuple[list[str], list[str]] = ([], [])
        for day in range(first, end):
            for edge, height in zip(edges, backdrop.usual[day] or (), strict=True):
                edge += [f"{plot.x(at)},{plot.y(height)}" for at in (day, day + 1)]
        plot.add("polygon", kind="usual", points=" ".join([*edges[0], *edges[1][::-1]]))
    for day, is_marked in enumerate(backdrop.marks):
        if is_marked:
            plot.add("path", kind="mark", d=f"M{plot.x(day)} {top}V{bottom}")


def _stretches(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where flags are set: the first of each stretch, and the one after its last."""
    edges = [
        n
        for n in range(len(flags) + 1)
        if (n > 0 and flags[n - 1]) != (n < len(flags) and flags[n])
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def horizontal(
    labels: Sequence[str], bars: Bars, longest: float, number: Callable[[float], str] = short_number
) -> str:
    """Return a chart of horizontal bars, the first at the top, each with its label at its left.

    A bar of the length `longest` fills the width; `number` puts a length into words.
    """
    height = _ROW * len(labels) + 40
    chart = pygal.HorizontalStackedBar(width=_WIDTH, height=height, **_options(number))
    chart.x_labels = labels[::-1]  # pygal begins at the bottom.
    chart.y_labels = ticks(0.0, longest)
    return _draw(chart, {colour: lengths[::-1] for colour, lengths in bars.items()})


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


def _draw(chart: Any, bars: Bars) -> str:
    return str(ET.tostring(_drawn(chart, bars), encoding="unicode"))


def _drawn(chart: Any, bars: Mapping[str, Sequence[Any]]) -> Any:
    shown = [colour for colour, heights in bars.items() if any(heights)] or list(bars)[:1]
    for colour in shown:
        chart.add(colour, list(bars[colour]))
    root = chart.render_tree()
    _strip(root)
    for group in root.iter():
        kinds = str(group.get("class", "")).split()
        for n, colour in enumerate(shown):
            if f"serie-{n}" in kinds:
                group.set("class", f"bars {colour}")
    root.set("aria-hidden", "true")  # The caption and the table say the same to a screen reader.
    for name in ("id", "width", "height"):
        root.attrib.pop(name, None)
    return root


def _strip(element: Any) -> None:
    """Remove what needs pygal's scripts, and turn the value of a bar into its tool-tip."""
    for child in list(element):
        kinds = str(child.get("class", ""))
        if child.tag == "desc" and kinds == "value":
            child.tag = "title"
            child.attrib.clear()
        elif child.tag in _UNWANTED or "overlay" in kinds or kinds == "titles":
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
