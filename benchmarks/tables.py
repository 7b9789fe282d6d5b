"""Results as tables: for the terminal, and for docs/performance.md, where cog puts them."""

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
_AIMS_HEADS = ("what", "aim", "figure", "")
_FIGURES_HEADS = ("program", "CPU an event", "events a second", "peak memory")
_PLOTS = {
    "latency": "Events a second by the latency of the API, of the target and of the naive target",
    "concurrency": "Events a second by the number of requests in flight",
    "growth": "CPU time an event and peak memory by the number of events",
}
"""What each plot shows, by the name of its file."""


def terminal(measured: Measured) -> str:
    """All that the aims are judged by, for a terminal."""
    return "\n\n".join(
        (
            _aligned([_FIGURES_HEADS, *_figures(measured)]),
            _start_up(measured).replace("`", ""),
            _aligned([_AIMS_HEADS, *_aims(measured)]),
        )
    )


# For the documentation


def aims() -> str:
    """The aims, each beside its figure and what that means."""
    measured = load().measured
    if measured is None:
        return _NOT_MEASURED
    return f"{_where(measured.machine)}\n\n{_markdown([_AIMS_HEADS, *_aims(measured)])}"


def figures() -> str:
    """What the ratios are made of."""
    measured = load().measured
    if measured is None:
        return _NOT_MEASURED
    return f"{_markdown([_FIGURES_HEADS, *_figures(measured)])}\n\n{_start_up(measured)}"


def plots() -> str:
    """The plots, each with a table of the same figures."""
    series = load().series
    if series is None:
        return _NOT_MEASURED
    parts = [_where(series.machine)]
    if series.latency:
        rows: list[Row] = [("latency", "target, events a second", "naive target", "ratio")]
        for at, by in map(msgspec.structs.astuple, series.latency):
            ratio = by["target"].rate / by["naive"].rate
            rows.append((f"{at} ms", _rate(by["target"]), _rate(by["naive"]), f"{ratio:.1f}"))
        parts += [_plot("latency"), _markdown(rows)]
    if series.concurrency:
        heads = ("requests in flight", "events a second")
        pairs = [(f"{at.at}", _rate(at.figures["target"])) for at in series.concurrency]
        parts += [_plot("concurrency"), _markdown([heads, *pairs])]
    if series.growth:
        rows = [("events", "target, CPU an event", "floor", "target, peak memory", "floor")]
        for at, by in map(msgspec.structs.astuple, series.growth):
            target, floor = by["target"], by["floor"]
            rows.append((f"{at:,}", _cpu(target), _cpu(floor), _peak(target), _peak(floor)))
        parts += [_plot("growth"), _markdown(rows)]
    return "\n\n".join(parts)


# Their parts


def _aims(measured: Measured) -> list[Row]:
    sizes = msgspec.structs.asdict(measured.sizes)
    return [
        (aim.what.format(**sizes), aim.aim, aim.found(measured), aim.verdict(measured))
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
        ("the same, `max_concurrent_requests` 32", measured.throughput["target_32"]),
        ("naive target, 100 ms latency", measured.throughput["naive"]),
        (f"target, {sizes.few:,} events from a pipe", measured.memory["few"]),
        (f"target, {sizes.many:,} events from a pipe", measured.memory["many"]),
    )
    return [(name, _cpu(of), _rate(of), _peak(of)) for name, of in compared]


def _start_up(measured: Measured) -> str:
    return (
        f"Start-up takes {measured.start_up:.2f} s, `import singer_sdk.target_base` alone"
        f" {measured.bare_start_up:.2f} s."
    )


def _cpu(of: Figures) -> str:
    return f"{of.cpu:.1f} µs"


def _rate(of: Figures) -> str:
    return f"{of.rate:,.0f}"


def _peak(of: Figures) -> str:
    return f"{of.peak:.0f} MiB"


def _where(machine: Machine) -> str:
    return (
        f"Measured on {machine.date}, with Python {machine.python}, on {machine.cores} cores of an"
        f" {machine.cpu}."
    )


def _plot(name: str) -> str:
    return f"![{_PLOTS[name]}](performance/{name}.svg)"


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
