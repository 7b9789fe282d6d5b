"""The results of the benchmarks: the file from which docs/performance.md is generated."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

import msgspec

from benchmarks.bench import Figures

RESULTS = Path(__file__).with_name("results.json")


class Machine(msgspec.Struct, frozen=True):
    """The machine and the day of a measurement.

    Attributes:
        date: The day in UTC, as YYYY-MM-DD.
        python: The version of Python.
        cpu: The model of the CPU.
        cores: The number of cores.
    """

    date: str
    python: str
    cpu: str
    cores: int


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured.

    Attributes:
        runs: Runs of each program; the result is their median.
        events: Events for the comparison of CPU time.
        naive: Events of the naive target for that comparison.
        wide: Events for the comparison of CPU time with 200 columns.
        sent: Events for the comparison of throughput.
        naive_sent: Events of the naive target for that comparison.
        few: The smaller number of events for the comparison of memory.
        many: The larger number of events for that comparison.
        silence: Seconds for which the tap is silent.
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
    """The measurements that show whether the aims are met.

    Attributes:
        machine: The machine and the day.
        sizes: How much was measured.
        cpu: Figures of `floor`, `target` and `naive`, without latency.
        wide: Figures of `floor` and `target` with records of 200 columns.
        throughput: Figures of `target`, `target_8` (up to 8 requests in flight) and `naive`, at
            100 ms latency.
        memory: Figures of the target with `few` and `many` events.
        start_up: Seconds that the target takes without any events.
        bare_start_up: Seconds that the naive target takes without any events.
        silence: CPU time in milliseconds per minute while a tap is silent; None if the operating
            system does not provide it.
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


def load() -> Measured | None:
    """Read the results; None if there is no file."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Measured) if RESULTS.exists() else None


def save(measured: Measured, path: Path = RESULTS) -> None:
    """Write the results."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")


def this_machine() -> Machine:
    """Return the machine that this runs on, and today's date."""
    return Machine(
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        python=platform.python_version(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
