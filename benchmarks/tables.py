"""Formats the results as tables: for the terminal, and for docs/performance.md through cog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchmarks.aims import AIMS
from benchmarks.results import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Figures
    from benchmarks.results import Machine, Measured

Row = tuple[str, ...]

_NOT_MEASURED = "*Not measured yet.*"
_AIMS_HEADS = ("what", "aim", "figure", "result")
_FIGURES_HEADS = ("program", "CPU time per event", "events a second", "peak memory")


def terminal(measured: Measured) -> str:
    """Return the figures and the aims as text for a terminal."""
    return "\n\n".join(
        (
            _aligned([_FIGURES_HEADS, *_figures(measured)]),
            _start_up(measured).replace("`", ""),
            _aligned([_AIMS_HEADS, *_aims(measured)]),
        )
    )


# For the documentation


def aims() -> str:
    """Return a table of the aims with their figures and verdicts."""
    measured = load()
    if measured is None:
        return _NOT_MEASURED
    return f"{_where(measured.machine)}\n\n{_markdown([_AIMS_HEADS, *_aims(measured)])}"


def figures() -> str:
    """Return a table of the figures from which the ratios in the aims are computed."""
    measured = load()
    if measured is None:
        return _NOT_MEASURED
    return f"{_markdown([_FIGURES_HEADS, *_figures(measured)])}\n\n{_start_up(measured)}"


# Parts of the tables


def _aims(measured: Measured) -> list[Row]:
    sizes = msgspec.structs.asdict(measured.sizes)
    return [
        (aim.what.format(**sizes), aim.aim, aim.figure_text(measured), aim.verdict(measured))
        for aim in AIMS
    ]


def _figures(measured: Measured) -> list[Row]:
    sizes = measured.sizes
    compared = (
        ("floor", measured.cpu["floor"]),
        ("target", measured.cpu["target"]),
        ("naive target", measured.cpu["naive"]),
        ("floor, 200 columns", measured.wide["floor"]),
        ("target, 200 columns", measured.wide["target"]),
        ("target, 100 ms latency", measured.throughput["target"]),
        ("target, 100 ms latency, `max_concurrent_requests` 8", measured.throughput["target_8"]),
        ("naive target, 100 ms latency", measured.throughput["naive"]),
        (f"target, {sizes.few:,} events from a pipe", measured.memory["few"]),
        (f"target, {sizes.many:,} events from a pipe", measured.memory["many"]),
    )
    return [(name, _cpu(found), _rate(found), _peak(found)) for name, found in compared]


def _start_up(measured: Measured) -> str:
    return (
        f"Start-up takes {measured.start_up:.2f} s; that of the naive target takes"
        f" {measured.bare_start_up:.2f} s."
    )


def _cpu(figures: Figures) -> str:
    return f"{figures.cpu:.1f} µs"


def _rate(figures: Figures) -> str:
    return f"{figures.rate:,.0f}"


def _peak(figures: Figures) -> str:
    return f"{figures.peak:.0f} MiB"


def _where(machine: Machine) -> str:
    return (
        f"Measured on {machine.date}, with Python {machine.python}, on {machine.cores} cores of an"
        f" {machine.cpu}."
    )


def _markdown(rows: Sequence[Row]) -> str:
    heads, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rest))


def _aligned(rows: Sequence[Row]) -> str:
    plain = [[cell.replace("`", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in plain
    )
