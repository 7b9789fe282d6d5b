"""Measures what sending from Spark costs, compared with one target process, for performance.md.

Runs in .venv-spark: `scripts/benchmark --spark`. Spark runs each task in a thread on this machine,
so the result shows how tasks share the API, not how they share the machine: with 100 ms per answer,
they mostly wait. Writes `benchmarks/spark.json`, from which the page is generated. With `--shapes`,
it only prints the throughput of even and of skewed partitions, three times in turns.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import results
from benchmarks.bench import Bench, Candidate, Stream, show_progress
from benchmarks.spark_session import Session, cpu, memory

RESULTS = Path(__file__).with_name("spark.json")
LATENCY = 0.1
"""Seconds before each answer."""
TASKS = (1, 2, 4, 8)
REQUESTS = 2
"""Requests in flight per task."""
EVEN = 16
"""Even partitions, beside which others are measured."""
CEILING = 64
"""The default of `max_concurrent_requests`."""
EVENTS = 10_000_000_000
"""Events a day of the plan."""
_ROWS_PER_TASK = 16_000
_ROWS = 400_000
"""Rows of the other measurements."""
_DAY = 86_400
_NOT_YET = "*Not measured yet.*"


class Point(msgspec.Struct):
    """Throughput with a number of tasks.

    Attributes:
        tasks: Concurrent tasks of Spark.
        requests: Requests in flight, of all tasks together and of the one target process.
        spark: Events per second of a warm Spark session.
        target: Events per second of one target process.
    """

    tasks: int
    requests: int
    spark: float
    target: float


class Shape(msgspec.Struct):
    """Throughput of rows in partitions of some shape, in events per second.

    Attributes:
        what: What is special.
        rate: With `max_concurrent_requests` for each task, the default.
        shared: With `concurrent_tasks`, so that tasks have a share each.
    """

    what: str
    rate: float
    shared: float


class Task(msgspec.Struct):
    """What a task takes beside CPU time, over TLS.

    Attributes:
        requests: The requests that it may have in flight.
        connections: The connections that it made, and so the TLS handshakes.
        sent: The requests that it made.
    """

    requests: int
    connections: float
    sent: float


class Details(msgspec.Struct):
    """What is measured beside throughput by number of tasks.

    Attributes:
        shapes: Throughput of partitions of several shapes.
        two: Events per second of two tasks with 32 requests in flight each.
        one: Events per second of one target process with 64 requests in flight.
        tasks: What tasks take over TLS.
        tls: CPU time per event of the Python workers over TLS, in µs.
        memory: The median and the most memory of a Python worker at its peak, in MiB.
        size: Bytes of an event in a request.
    """

    shapes: list[Shape]
    two: float
    one: float
    tasks: list[Task]
    tls: float
    memory: tuple[float, float]
    size: float


class Measured(msgspec.Struct):
    """The measurements in `spark.json`.

    Attributes:
        machine: The machine and the day.
        points: Throughput with 100 ms per answer.
        python: CPU time per event of Spark's Python workers, in µs.
        java: CPU time per event of Spark's JVM, in µs.
        target: CPU time per event of one target process with the benchmarks' stream map, in µs.
        details: The rest; None in a file of an older version.
    """

    machine: results.Machine
    points: list[Point]
    python: float
    java: float
    target: float
    details: Details | None = None


def _measured() -> Measured:
    return msgspec.json.decode(RESULTS.read_bytes(), type=Measured)


def _details(show: Callable[[Measured, Details], str]) -> Callable[[], str]:
    """Return a function that shows the details as Markdown, or that there are none yet."""

    def shown() -> str:
        measured = _measured()
        return _NOT_YET if measured.details is None else show(measured, measured.details)

    return shown


def table() -> str:
    """Return throughput and CPU time as Markdown."""
    measured = _measured()
    machine, details = measured.machine, measured.details
    rows = [
        f"| {p.tasks} | {p.requests} | {p.spark:,.0f} | {p.target:,.0f} |" for p in measured.points
    ]
    over_tls = size = ""
    if details is not None:
        rows.append(f"| 2 | {CEILING} | {details.two:,.0f} | {details.one:,.0f} |")
        over_tls = f" ({details.tls:.0f} µs over TLS)"
        size = f" An event has {details.size:.0f} bytes in a request."
    where = (
        f"Measured on {machine.cores} cores ({machine.cpu}) with Python {machine.python},"
        f" on {machine.date}:"
    )
    cost = (
        f"With Spark, an event from Parquet costs {measured.python:.0f} µs of CPU time in the"
        f" Python workers{over_tls}, and {measured.java:.0f} µs in the JVM. With the target, an"
        f" event from JSON lines costs {measured.target:.0f} µs, including the stream map.{size}"
    )
    heads = (
        "| tasks | requests in flight, in total | Spark, events a second |"
        " one target process, events a second |\n| --- | --- | --- | --- |"
    )
    return "\n".join((where, "", heads, *rows, "", cost))


@_details
def shapes(_: Measured, details: Details) -> str:
    """Return the throughput of partitions of several shapes as Markdown."""
    rows = [f"| {s.what} | {s.rate:,.0f} | {s.shared:,.0f} |" for s in details.shapes]
    heads = (
        f"| partitions | up to {CEILING} requests in each task | with `concurrent_tasks` {EVEN} |\n"
        "| --- | --- | --- |"
    )
    return "\n".join((heads, *rows))


@_details
def tasks(_: Measured, details: Details) -> str:
    """Return what a task takes beside CPU time as Markdown."""
    rows = [f"| {t.requests} | {t.connections:.0f} | {t.sent:,.0f} |" for t in details.tasks]
    heads = "| limit of requests in flight | TLS handshakes | requests |\n| --- | --- | --- |"
    usual, most = details.memory
    said = (
        f"Half of the Python workers used at most {usual:.0f} MiB of memory, and none used more"
        f" than {most:.0f} MiB. This memory is outside the JVM."
    )
    return "\n".join((heads, *rows, "", said))


@_details
def plan(measured: Measured, details: Details) -> str:
    """Return what ten billion events a day take as Markdown."""
    python = EVENTS * details.tls / 1e6 / 3_600
    java = EVENTS * measured.java / 1e6 / 3_600
    bytes_sent = EVENTS * details.size
    a_second = EVENTS / _DAY
    return (
        f"{EVENTS:,} events a day are {a_second:,.0f} a second on average. Over TLS, these events"
        f" need {python:,.0f} core-hours in Python workers and {java:,.0f} core-hours in the JVM."
        f" So {(python + java) / 24:.1f} cores are busy all day. The requests of a day contain"
        f" {bytes_sent / 1e9:,.0f} GB, which is {bytes_sent / _DAY / 1e6:.0f} MB a second. If an"
        f" answer takes {LATENCY * 1e3:.0f} ms, {a_second / 100 * LATENCY:.0f} requests are in"
        f" flight. If an answer takes 300 ms, {a_second / 100 * 0.3:.0f} requests are in flight."
    )


@_details
def end_of_one(_: Measured, details: Details) -> str:
    """Return the highest rate of one target process, as a sentence."""
    a_day = details.one * _DAY / 1e9
    return (
        f"One target process sends {details.one:,.0f} events a second with {CEILING} requests in"
        f" flight, if an answer takes {LATENCY * 1e3:.0f} ms. This is {a_day:.1f} billion events a"
        " day, if the events come evenly. At this rate, the process keeps its only core busy."
    )


def _points(spark: Session, bench: Bench) -> list[Point]:
    points = []
    for count in TASKS:
        rows, requests = _ROWS_PER_TASK * count, count * REQUESTS
        show_progress(f"Spark, {rows:,} rows in {count} tasks")
        files = spark.files(rows, count)
        limits = {"concurrent_tasks": count, "max_concurrent_requests": requests}
        written = spark.write(files, rows, LATENCY, limits)
        candidate = Candidate("target", Stream(rows), {"max_concurrent_requests": requests})
        target = bench.compare(LATENCY, 1, target=candidate)["target"]
        points.append(Point(count, requests, rows / written.seconds, target.rate))
    return points


def _frames(spark: Session, rows: int) -> dict[str, Any]:
    """Return as many orders, in partitions of several shapes."""
    most = rows * 9 // 10
    even = spark.rows(0, rows, EVEN)
    return {
        f"{EVEN} even partitions": even,
        "one partition has 90 %": spark.rows(0, most, 1).union(spark.rows(most, rows, EVEN - 1)),
        "merged into one partition": even.coalesce(1),
    }


def _shapes(spark: Session) -> list[Shape]:
    found = []
    for what, frame in _frames(spark, _ROWS).items():
        show_progress(f"Spark, {_ROWS:,} rows, {what}")
        free = spark.write(frame, _ROWS, LATENCY)
        shared = spark.write(frame, _ROWS, LATENCY, {"concurrent_tasks": EVEN})
        found.append(Shape(what, _ROWS / free.seconds, _ROWS / shared.seconds))
    return found


def _tasks(spark: Session) -> tuple[list[Task], float]:
    """Return what tasks take over TLS, and how many bytes an event has."""
    found, size = [], 0.0
    for requests in (2, 8, CEILING):
        show_progress(f"Spark, tasks with {requests} requests in flight over TLS")
        limit = {"max_concurrent_requests": requests}
        arrived = spark.write(spark.rows(0, _ROWS, 2), _ROWS, LATENCY, limit, tls=True).arrived
        found.append(Task(requests, arrived.connections / 2, arrived.requests / 2))
        size = arrived.size / arrived.events
    return found, size


def _cost(spark: Session, *, tls: bool) -> tuple[float, float]:
    """Return the CPU time of an event in Python and in the JVM, in µs."""
    files = spark.files(_ROWS, 2)
    before = cpu()
    spark.write(files, _ROWS, 0.0, tls=tls)
    python, java = (after - b for after, b in zip(cpu(), before, strict=True))
    return python / _ROWS * 1e6, java / _ROWS * 1e6


def _print_shapes() -> None:
    """Print throughput and CPU time of even and skewed partitions, in turns."""
    rows = 2 * _ROWS
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        spark = Session(Path(folder), EVEN)
        warm = _ROWS_PER_TASK * EVEN
        spark.write(spark.rows(0, warm, EVEN), warm, 0.0)  # Starts all workers.
        even, skewed, _ = _frames(spark, rows).items()
        for what, frame in (even, skewed) * 3:
            before = (*cpu(), _cpu_of_apis())
            written = spark.write(frame, rows, LATENCY)
            used = zip((*cpu(), _cpu_of_apis()), before, strict=True)
            python, java, api = ((after - b) / rows * 1e6 for after, b in used)
            print(
                f"{what}: {rows / written.seconds:,.0f} events a second; CPU time per event:"
                f" {python:.1f} µs in Python, {java:.1f} µs in the JVM, {api:.1f} µs in the API",
                flush=True,
            )


def _cpu_of_apis() -> float:
    """Return the seconds of CPU time of the APIs that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def main() -> None:
    """Measure, and write and print the results."""
    if sys.argv[1:] == ["--shapes"]:
        _print_shapes()
        return
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        spark, bench = Session(Path(folder), EVEN), Bench(Path(folder))
        warm = _ROWS_PER_TASK * EVEN
        spark.write(spark.rows(0, warm, EVEN), warm, 0.0)  # Starts all workers.
        points = _points(spark, bench)
        found = _shapes(spark)
        half = {"max_concurrent_requests": CEILING // 2}
        two = spark.write(spark.files(_ROWS, 2), _ROWS, LATENCY, half)
        settings = {"max_concurrent_requests": CEILING}
        one = bench.compare(LATENCY, 1, target=Candidate("target", Stream(_ROWS), settings))
        of_tasks, size = _tasks(spark)
        python, java = _cost(spark, tls=False)
        over_tls, _ = _cost(spark, tls=True)
        target = bench.compare(0, 1, target=Candidate("target", Stream(_ROWS // 2)))["target"]
        peaks = memory()
    details = Details(
        shapes=found,
        two=_ROWS / two.seconds,
        one=one["target"].rate,
        tasks=of_tasks,
        tls=over_tls,
        memory=(statistics.median(peaks), max(peaks)),
        size=size,
    )
    measured = Measured(
        results.this_machine(), points, python, java, target=target.cpu, details=details
    )
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
    for text in (table(), shapes(), tasks(), plan(), end_of_one()):
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
