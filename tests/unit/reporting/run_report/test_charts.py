"""The charts of a run report."""

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


def test_each_bar_has_its_value_as_its_tool_tip() -> None:
    """Of the texts that pygal adds to a bar, only its value stays."""
    svg = charts.horizontal(["a", "b"], {"good": [10, 50]}, 100, "{:.0f} %".format)
    bars = re.findall('<g class="bar">(.*?)</g>', svg)
    assert [re.findall("<title>(.*?)</title>", bar) for bar in bars] == [["50 %"], ["10 %"]]
    assert svg.count("<title>") == 2


def test_a_screen_reader_skips_a_chart() -> None:
    """The caption and the table beside it say the same in words."""
    assert charts.stacked(["a"], {"good": [1]}).partition(">")[0].endswith('aria-hidden="true"')


def test_a_chart_has_no_comments() -> None:
    """The comments of pygal, with its version and address, are not on the page."""
    assert "<!--" not in charts.stacked(["a"], {"good": [1]})


def test_the_axis_of_stacked_bars() -> None:
    """The axis has round numbers, from below the lowest bar to above the highest."""
    svg = charts.stacked(["a", "b"], {"good": [10, 90], "bad": [-30, 80]})
    axis = svg.partition('class="axis y')[2].partition('class="axis x')[0]
    assert re.findall("<text[^>]*>(.*?)</text>", axis) == ["-50", "0", "50", "100", "150", "200"]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_horizontal_bars_are_apart(count: int) -> None:
    """Each row has a bar of at least 10 pixels, below that of the row before."""
    svg = charts.horizontal([str(n) for n in range(count)], {"good": [7] * count}, 7)
    bars = re.findall('<g class="bar"><rect [^>]* y="(.*?)" [^>]*height="(.*?)"', svg)
    tops = sorted(float(top) for top, _ in bars)
    assert len(bars) == count
    assert all(float(height) >= 10 for _, height in bars)
    assert all(lower - upper >= 15 for upper, lower in itertools.pairwise(tops))


@pytest.mark.parametrize(
    ("bars", "name", "labelled"),
    [
        (6, "day ", range(6)),
        (12, "day ", range(0, 12, 2)),
        (31, "day ", range(0, 31, 6)),
        (14, "17.8 ms ", range(0, 14, 4)),
        (12, "", range(12)),
    ],
)
def test_labels_below_bars(bars: int, name: str, labelled: range) -> None:
    """There are as many as have room, so fewer long ones than short ones."""
    labels = [f"{name}{n}" for n in range(bars)]
    svg = charts.stacked(labels, {"good": [0] * bars})
    below = svg.partition('class="axis x')[2]
    assert re.findall(f">{name}([0-9]+)<", below)[: len(labelled)] == [str(n) for n in labelled]


def daily(heights: list[float], *usual: tuple[float, float] | None, mark: int = -1) -> str:
    """Return a chart of days, of which those without a height are gaps."""
    days = range(len(heights))
    backdrop = charts.Backdrop(
        usual or [None] * len(heights), [not one for one in heights], [n == mark for n in days]
    )
    return charts.daily(
        [f"{n + 1} May" for n in days], {"good": heights}, backdrop, "{:.0f}".format
    )


def test_a_day_has_its_name_in_its_tool_tip() -> None:
    """A day without a bar has none."""
    assert re.findall("<title>(.*?)</title>", daily([5, 0, 7])) == ["1 May: 5", "3 May: 7"]


def test_usual_ranges_of_days() -> None:
    """Days in a row have one band; a day without a range ends it."""
    svg = daily([5, 5, 5, 5], (1, 4), (2, 6), None, (3, 9))
    first, second = re.findall('class="usual" points="(.*?)"', svg)
    assert (len(first.split()), len(second.split())) == (8, 4)
    assert ">10<" in svg  # The axis has room for the whole range.


def test_gaps_and_marks_of_days() -> None:
    """Gaps in a row are one shade, behind the axes; the mark is where its day begins."""
    svg = daily([5, 0, 0, 5], mark=3)
    assert len(re.findall('class="gap"', svg)) == 1
    assert svg.index('class="gap"') < svg.index("axis y")
    right = re.search(r'class="gap" d="M[\d.]+ [\d.]+H([\d.]+)V', svg)
    mark = re.search(r'class="mark" d="M([\d.]+) ', svg)
    assert right
    assert mark
    assert right[1] == mark[1]


def test_days_below_zero() -> None:
    """Refunds can make the value of a day negative."""
    svg = daily([-5, 5], (-6, -1), (-6, 8))
    assert ">-10<" in svg
    assert "1 May: -5" in svg


def test_a_single_day() -> None:
    assert "1 May: 5" in daily([5], (1, 9))
    assert "<title>" not in daily([0])
