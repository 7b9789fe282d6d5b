"""The charts of a run report: where their parts stand."""

from __future__ import annotations

import itertools
import re
import sys

import pytest

from target_liveintent.reporting.run_report import charts


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, [0, 1]),
        (0, 1, [0, 1]),
        (0, 4, [0, 1, 2, 3, 4]),
        (0, 100, [0, 50, 100]),
        (0, 0.4, [0, 0.1, 0.2, 0.3, 0.4]),
        (-60, 0, [-60, -40, -20, 0]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_imports_are_left_alone() -> None:
    """The hook of pygal into all imports is gone: Python 3.11 warns of it at each that fails."""
    assert not [one for one in sys.meta_path if not hasattr(one, "find_spec")]


def test_what_pygal_adds() -> None:
    """Of its texts only the value of a bar stays; a screen reader reads caption and table."""
    svg = charts.horizontal(["a", "b"], {"good": [10, 50]}, 100, "{:.0f} %".format)
    bars = re.findall('<g class="bar">(.*?)</g>', svg)
    assert [re.findall("<title>(.*?)</title>", bar) for bar in bars] == [["50 %"], ["10 %"]]
    assert svg.count("<title>") == 2
    assert svg.partition(">")[0].endswith('aria-hidden="true"')
    assert "<!--" not in svg


def test_horizontal_bars_are_apart() -> None:
    """Each row has a bar of at least 10 pixels, below that of the row before."""
    svg = charts.horizontal([str(n) for n in range(12)], {"good": [7] * 12}, 7)
    bars = re.findall('<g class="bar"><rect [^>]* y="(.*?)" [^>]*height="(.*?)"', svg)
    tops = sorted(float(top) for top, _ in bars)
    assert len(bars) == 12
    assert all(float(height) >= 10 for _, height in bars)
    assert all(lower - upper >= 15 for upper, lower in itertools.pairwise(tops))


def daily(heights: list[float], *usual: tuple[float, float] | None, mark: int = -1) -> str:
    """Return a chart of days, of which those without a height are gaps."""
    days = range(len(heights))
    backdrop = charts.Backdrop(
        usual or [None] * len(heights), [not one for one in heights], [n == mark for n in days]
    )
    labels = [f"{n + 1} May" for n in days]
    return charts.daily(labels, {"good": heights}, backdrop, "{:.0f}".format)


def test_usual_ranges_of_days() -> None:
    """Days in a row have one band at its height; a day without a range ends it."""
    svg = daily([5, 5, 5, 5], (0, 5), (5, 10), None, (-5, 10))
    axis = svg.partition('class="axis y')[2].partition('class="axis x')[0]
    below, zero, five, ten = (round(float(y), 1) for y in re.findall(r'd="M0\.0+ ([\d.]+) h', axis))
    assert re.findall("<text[^>]*>(.*?)</text>", axis) == ["-5", "0", "5", "10"]
    bands = [
        [float(point.partition(",")[2]) for point in points.split()]
        for points in re.findall('class="usual" points="(.*?)"', svg)
    ]
    assert bands == [[zero] * 2 + [five] * 2 + [ten] * 2 + [five] * 2, [below] * 2 + [ten] * 2]


def test_gaps_and_marks_of_days() -> None:
    """Gaps in a row are one shade, behind the axes; the mark is where its day begins."""
    svg = daily([5, 0, 0, 5], mark=3)
    (right,) = re.findall(r'class="gap" d="M[\d.]+ [\d.]+H([\d.]+)V', svg)
    (mark,) = re.findall(r'class="mark" d="M([\d.]+) ', svg)
    assert svg.index('class="gap"') < svg.index("axis y")
    assert right == mark
