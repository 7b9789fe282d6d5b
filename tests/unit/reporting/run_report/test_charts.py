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
    ("bars", "all_labels", "labelled"),
    [
        (7, False, range(7)),
        (12, False, range(0, 12, 2)),
        (31, False, range(0, 31, 5)),
        (31, True, range(31)),
    ],
)
def test_labels_below_bars(bars: int, all_labels: bool, labelled: range) -> None:
    """A few bars have a label each; of many, about six have one, unless all are wanted."""
    labels = [f"day {n}" for n in range(bars)]
    svg = charts.stacked(labels, {"good": [1] * bars}, all_labels=all_labels)
    assert re.findall(">day ([0-9]+)<", svg) == [str(n) for n in labelled]
