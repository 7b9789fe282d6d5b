"""Draws the charts of a run report with pygal; the page's style sheet sets colours and fonts.

Only this module imports pygal, and only a run that writes a report imports this module. It removes
the scripts, style sheets and places for tool-tips that pygal adds for other pages.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

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
_LABELS = 6
"""About how many bars have a label below them."""

Bars = Mapping[str, Sequence[float]]
"""A height for each label, by colour of the style sheet; a colour without heights is left out."""


def stacked(labels: Sequence[str], bars: Bars, *, all_labels: bool = False) -> str:
    """Return a chart of bars that stand on each other, the first colour at the bottom."""
    options = _options(short_number)
    chart = pygal.StackedBar(width=_WIDTH, height=_HEIGHT, show_minor_x_labels=False, **options)
    chart.x_labels = labels
    chart.x_labels_major = labels[:: 1 if all_labels else max(1, len(labels) // _LABELS)]
    columns = list(zip(*bars.values(), strict=True))
    bottom = min((sum(min(height, 0.0) for height in column) for column in columns), default=0.0)
    top = max((sum(max(height, 0.0) for height in column) for column in columns), default=0.0)
    chart.y_labels = ticks(bottom, top)
    return _draw(chart, bars)


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
    return str(ET.tostring(root, encoding="unicode"))


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
