"""Draws the series as SVG files. The same results always give the same bytes.

After `scripts/benchmark --plots` has installed matplotlib, this draws the results again:

    PYTHONPATH=build/site-packages .venv/bin/python -m benchmarks.plots
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.processes import ROOT
from benchmarks.results import RESULTS, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.results import Point, Series

_NAMES = {"target": "target", "naive": "naive target", "floor": "floor"}
_COLOURS = {"target": "#0969da", "naive": "#bc4c00", "floor": "#6e7781"}
_WIDTH, _HEIGHT = 7, 3.6
_STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#d0d7de",
    "legend.frameon": False,
    "lines.marker": "o",
    "savefig.facecolor": "white",  # Readable on a dark page, too.
    "svg.fonttype": "none",
    "svg.hashsalt": "target-liveintent",
}


def draw(series: Series, folder: Path) -> None:
    """Draw those series that have been measured."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        if series.latency:
            _draw_latency(series.latency, folder / "latency.svg")
        if series.concurrency:
            _draw_concurrency(series.concurrency, folder / "concurrency.svg")
        if series.growth:
            _draw_growth(series.growth, folder / "growth.svg")


def _draw_latency(points: list[Point], path: Path) -> None:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    _plot(axes, points, ("target", "naive"), "rate", "events a second")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_format_integer)
    axes.set_xlabel("latency of the API, milliseconds")
    _save(figure, path)


def _draw_concurrency(points: list[Point], path: Path) -> None:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    _plot(axes, points, ("target",), "rate", "events a second")
    axes.set_xscale("log", base=2)
    axes.set_xticks([point.at for point in points])
    axes.xaxis.set_major_formatter(_format_integer)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("requests in flight (max_concurrent_requests)")
    _save(figure, path)


def _draw_growth(points: list[Point], path: Path) -> None:
    figure = Figure(figsize=(_WIDTH, 2 * _HEIGHT), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    _plot(above, points, ("target", "floor"), "cpu", "CPU time per event, µs")
    _plot(below, points, ("target", "floor"), "peak", "peak memory, MiB")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xscale("log")
    below.xaxis.set_major_formatter(_format_integer)
    below.set_xlabel("events")
    _save(figure, path)


def _plot(axes: Any, points: list[Point], programs: Iterable[str], figure: str, label: str) -> None:
    for program in programs:
        axes.plot(
            [point.at for point in points],
            [getattr(point.figures[program], figure) for point in points],
            color=_COLOURS[program],
            label=_NAMES[program],
        )
    axes.legend()
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(_format_integer)


def _format_integer(number: float, _: int) -> str:
    return f"{number:,.0f}"


def _save(figure: Figure, path: Path) -> None:
    text = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=no_metadata)
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Draw the series in a results file."""
    parser = argparse.ArgumentParser(description="Draw the series that were measured.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance")
    given = parser.parse_args()
    if series := load(given.results).series:
        draw(series, given.out)


if __name__ == "__main__":
    main()
