"""What this project wants its figures to be, and the runs that tell whether they are."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import Bench, Entry, Stream
from benchmarks.results import Machine, Measured, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = 200
"""Columns of wide records."""
LATENCY = 0.1
"""Seconds before each answer where throughput is compared."""

FULL = Sizes(
    runs=5,
    events=50_000,
    naive=20_000,
    wide=20_000,
    sent=100_000,
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
    """One of the aims.

    Attributes:
        what: What is measured; names of `Sizes` stand in braces.
        sign: How the figure must be to the limit: `≤`, `<` or `≥`.
        limit: The limit.
        figure: Takes it from what was measured; None where the system does not tell.
        unit: Of figure and limit.
    """

    what: str
    sign: str
    limit: float
    figure: Callable[[Measured], float | None]
    unit: str = ""

    @property
    def aim(self) -> str:
        """The aim, for people."""
        return f"{self.sign} {self.limit:g}{self.unit}"

    def found(self, measured: Measured) -> str:
        """The figure, for people."""
        figure = self.figure(measured)
        return "" if figure is None else f"{figure:.3g}{self.unit}"

    def verdict(self, measured: Measured) -> str:
        """`met`, `missed` or `not measured`."""
        figure = self.figure(measured)
        if figure is None:
            return "not measured"
        return "met" if _COMPARE[self.sign](figure, self.limit) else "missed"


_COMPARE = {"≤": operator.le, "<": operator.lt, "≥": operator.ge}

AIMS = (
    Aim(
        "CPU time an event / naive target's",
        "≤",
        0.18,
        lambda found: found.cpu["target"].cpu / found.cpu["naive"].cpu,
    ),
    Aim(
        "CPU time an event / floor's",
        "≤",
        1.6,
        lambda found: found.cpu["target"].cpu / found.cpu["floor"].cpu,
    ),
    Aim(
        "throughput / naive target's, at 100 ms latency",
        "≥",
        7.5,
        lambda found: found.throughput["target"].rate / found.throughput["naive"].rate,
    ),
    Aim(
        "the same, with `max_concurrent_requests` 32",
        "≥",
        28,
        lambda found: found.throughput["target_32"].rate / found.throughput["naive"].rate,
    ),
    Aim(
        "peak memory, {many:,} events / {few:,}",
        "≤",
        1.1,
        lambda found: found.memory["many"].peak / found.memory["few"].peak,
    ),
    Aim(
        "peak memory, {many:,} events",
        "<",
        120,
        lambda found: found.memory["many"].peak,
        " MiB",
    ),
    Aim(
        "start-up beyond that of `import singer_sdk.target_base`",
        "≤",
        0.15,
        lambda found: found.start_up - found.bare_start_up,
        " s",
    ),
    Aim(
        "CPU time an event / floor's, 200 columns of which 10 are mapped",
        "≤",
        0.7,
        lambda found: found.wide["target"].cpu / found.wide["floor"].cpu,
    ),
    Aim(
        "CPU time a minute, while a tap is silent",
        "≤",
        50,
        lambda found: found.silence,
        " ms",
    ),
)


def measure(bench: Bench, sizes: Sizes, machine: Machine) -> Measured:
    """Make the runs that the aims are judged by.

    Raises:
        FailedRunError: If one of them does not count.
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
            floor=Entry("floor", events),
            target=Entry("target", events),
            naive=Entry("naive", Stream(sizes.naive)),
        ),
        wide=bench.compare(0, sizes.runs, floor=Entry("floor", wide), target=Entry("target", wide)),
        throughput=bench.compare(
            LATENCY,
            min(sizes.runs, 3),
            target=Entry("target", sent),
            target_32=Entry("target", sent, {"max_concurrent_requests": 32}),
            naive=Entry("naive", Stream(sizes.naive_sent)),
        ),
        memory=bench.compare(0, 1, few=Entry("target", few), many=Entry("target", many)),
        silence=bench.silence(sizes.silence),
    )
