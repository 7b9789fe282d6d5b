"""The aims for the project's performance, and the runs that show whether they are met."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import Bench, Candidate, Stream
from benchmarks.results import Machine, Measured, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = 200
"""The number of columns of wide records."""
LATENCY = 0.1
"""Seconds before each answer when throughput is compared."""

FULL = Sizes(
    runs=5,
    events=50_000,
    naive=20_000,
    wide=20_000,
    sent=150_000,
    naive_sent=20_000,
    few=50_000,
    many=2_000_000,
    silence=60,
)
QUICK = Sizes(
    runs=3,
    events=20_000,
    naive=4_000,
    wide=5_000,
    sent=32_000,
    naive_sent=2_000,
    few=20_000,
    many=200_000,
    silence=10,
)


class Aim(NamedTuple):
    """One aim: a figure and its limit.

    Attributes:
        what: What is measured. It may contain names of fields of `Sizes` in braces.
        sign: How the figure must compare to the limit: `≤`, `<` or `≥`.
        limit: The limit.
        figure: Returns the figure; None if the operating system does not provide it.
        unit: The unit of the figure and of the limit.
    """

    what: str
    sign: str
    limit: float
    figure: Callable[[Measured], float | None]
    unit: str = ""

    @property
    def aim(self) -> str:
        """The aim as text."""
        return f"{self.sign} {self.limit:,g}{self.unit}"

    def figure_text(self, measured: Measured) -> str:
        """Return the figure as text."""
        figure = self.figure(measured)
        return "" if figure is None else f"{float(f'{figure:.3g}'):,g}{self.unit}"

    def verdict(self, measured: Measured) -> str:
        """Return `met`, `missed` or `not measured`."""
        figure = self.figure(measured)
        if figure is None:
            return "not measured"
        return "met" if _COMPARE[self.sign](figure, self.limit) else "missed"


_COMPARE = {"≤": operator.le, "<": operator.lt, "≥": operator.ge}

AIMS = (
    Aim(
        "CPU time per event, divided by that of the naive target",
        "≤",
        0.19,
        lambda measured: measured.cpu["target"].cpu / measured.cpu["naive"].cpu,
    ),
    Aim(
        "CPU time per event, divided by that of the floor",
        "≤",
        1.7,
        lambda measured: measured.cpu["target"].cpu / measured.cpu["floor"].cpu,
    ),
    Aim(
        "throughput at 100 ms latency, divided by that of the naive target",
        "≥",
        28,
        lambda measured: measured.throughput["target"].rate / measured.throughput["naive"].rate,
    ),
    Aim(
        "events a second at 100 ms latency, with default settings",
        "≥",
        20_000,
        lambda measured: measured.throughput["target"].rate,
    ),
    Aim(
        "peak memory with {many:,} events, divided by that with {few:,}",
        "≤",
        1.1,
        lambda measured: measured.memory["many"].peak / measured.memory["few"].peak,
    ),
    Aim(
        "peak memory with {many:,} events",
        "<",
        62,
        lambda measured: measured.memory["many"].peak,
        " MiB",
    ),
    Aim(
        "start-up, minus that of the naive target",
        "≤",
        0.05,
        lambda measured: measured.start_up - measured.bare_start_up,
        " s",
    ),
    Aim(
        "CPU time per event, divided by that of the floor (200 columns, 10 mapped)",
        "≤",
        0.8,
        lambda measured: measured.wide["target"].cpu / measured.wide["floor"].cpu,
    ),
    Aim(
        "CPU time per minute, while a tap is silent",
        "≤",
        50,
        lambda measured: measured.silence,
        " ms",
    ),
)


def measure(bench: Bench, sizes: Sizes, machine: Machine) -> Measured:
    """Make the runs that show whether the aims are met.

    Raises:
        FailedRunError: If a run fails or does not send the expected events.
    """
    events, wide = Stream(sizes.events), Stream(sizes.wide, WIDE)
    sent = Stream(sizes.sent)
    few, many = Stream(sizes.few, piped=True), Stream(sizes.many, piped=True)
    start_up, bare_start_up = bench.start_up(sizes.runs + 2)
    return Measured(
        machine=machine,
        sizes=sizes,
        start_up=round(start_up, 3),
        bare_start_up=round(bare_start_up, 3),
        cpu=bench.compare(
            0,
            sizes.runs,
            floor=Candidate("floor", events),
            target=Candidate("target", events),
            naive=Candidate("naive", Stream(sizes.naive)),
        ),
        wide=bench.compare(
            0, sizes.runs, floor=Candidate("floor", wide), target=Candidate("target", wide)
        ),
        throughput=bench.compare(
            LATENCY,
            min(sizes.runs, 3),
            target=Candidate("target", sent),
            target_8=Candidate("target", sent, {"max_concurrent_requests": 8}),
            naive=Candidate("naive", Stream(sizes.naive_sent)),
        ),
        memory=bench.compare(0, 1, few=Candidate("target", few), many=Candidate("target", many)),
        silence=bench.silence(sizes.silence),
    )
