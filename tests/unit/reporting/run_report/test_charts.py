"""The charts of a run report."""

from __future__ import annotations

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
