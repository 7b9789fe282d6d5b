"""The results of the benchmarks: a file that docs/performance.md is made from."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

import msgspec

from benchmarks.bench import Figures  # noqa: TC001 (msgspec reads the types)

RESULTS = Path(__file__).with_name("results.json")


class Machine(msgspec.Struct, frozen=True):
    """Where and when something was measured.

    Attributes:
        date: The day, in UTC.
        python: The version of Python.
        cpu: The model of the CPU.
        cores: How many there are.
    """

    date: str
    python: str
    cpu: str
    cores: int


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured.

    Attributes:
        runs: Of each program; the median counts.
        events: Where CPU time is compared.
        naive: The same, of the naive target.
        wide: The same, with 200 columns.
        sent: Where throughput is compared.
        naive_sent: The same, of the naive target.
        few: Where memory is compared, the smaller count.
        many: The larger one.
        silence: Seconds of a silent tap.
    """

    runs: int
    events: int
    naive: int
    wide: int
    sent: int
    naive_sent: int
    few: int
    many: int
    silence: float


class Measured(msgspec.Struct, frozen=True):
    """What the aims are judged by.

    Attributes:
        machine: Where and when.
        sizes: How much was measured.
        cpu: Of `floor`, `target` and `naive`, without latency.
        wide: Of `floor` and `target`, over records of 200 columns.
        throughput: Of `target`, `target_32` (requests in flight) and `naive`, at 100 ms latency.
        memory: Of the target over `few` and `many` events.
        start_up: Seconds that the target takes over no events.
        bare_start_up: Seconds that the import of the SDK's target takes.
        silence: Milliseconds of CPU time a minute while a tap is silent, where the system tells.
    """

    machine: Machine
    sizes: Sizes
    cpu: dict[str, Figures]
    wide: dict[str, Figures]
    throughput: dict[str, Figures]
    memory: dict[str, Figures]
    start_up: float
    bare_start_up: float
    silence: float | None


class Point(msgspec.Struct, frozen=True):
    """A point of a series.

    Attributes:
        at: Where it is: milliseconds, requests in flight, or events.
        figures: What came out, by program.
    """

    at: int
    figures: dict[str, Figures]


class Series(msgspec.Struct, frozen=True):
    """What the plots show.

    Attributes:
        machine: Where and when.
        latency: Throughput by the API's latency.
        concurrency: Throughput by requests in flight.
        growth: CPU time and memory by events.
    """

    machine: Machine
    latency: list[Point] = []
    concurrency: list[Point] = []
    growth: list[Point] = []


class Results(msgspec.Struct):
    """All that is known."""

    measured: Measured | None = None
    series: Series | None = None


def load(path: Path = RESULTS) -> Results:
    """Read results; there are none where there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def save(results: Results, path: Path = RESULTS) -> None:
    """Write results."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")


def this_machine() -> Machine:
    """What this runs on, today."""
    return Machine(
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        python=platform.python_version(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
    )


def _cpu() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        facts = []
    models = [fact.partition(":")[2].strip() for fact in facts if fact.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
