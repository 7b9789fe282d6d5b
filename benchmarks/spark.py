"""Measures Spark's throughput by number of tasks, beside one target process, and its CPU time.

Runs in .venv-spark: `scripts/benchmark --spark`. Spark runs each task in a thread on this machine,
so the result shows how tasks share the API, not how they share the machine: with 100 ms per answer,
they mostly wait. Writes `benchmarks/spark.json`, from which docs/scale.md is generated.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks import PIXEL_ID, processes, results
from benchmarks.bench import Bench, Candidate, Stream, show_progress

RESULTS = Path(__file__).with_name("spark.json")
LATENCY = 0.1
"""Seconds before each answer."""
TASKS = (1, 2, 4, 8)
REQUESTS = 2
"""Requests in flight per task."""
_ROWS_PER_TASK = 16_000
_COST_ROWS = 200_000
"""Rows for the measurement of CPU time."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


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


class Measured(msgspec.Struct):
    """The measurements in `spark.json`.

    Attributes:
        machine: The machine and the day.
        points: Throughput with 100 ms per answer.
        python: CPU time per event of Spark's Python workers, in µs.
        java: CPU time per event of Spark's JVM, in µs.
        target: CPU time per event of one target process with the benchmarks' stream map, in µs.
    """

    machine: results.Machine
    points: list[Point]
    python: float
    java: float
    target: float


def table() -> str:
    """Return the figures as Markdown, for docs/scale.md."""
    if not RESULTS.exists():
        return "*Not measured yet.*"
    measured = msgspec.json.decode(RESULTS.read_bytes(), type=Measured)
    machine = measured.machine
    rows = [
        f"| {p.tasks} | {p.requests} | {p.spark:,.0f} | {p.target:,.0f} |" for p in measured.points
    ]
    where = f"On {machine.cores} cores ({machine.cpu}), Python {machine.python}, {machine.date}."
    cost = (
        f"An event costs {measured.python:.0f} µs of CPU time in Spark's Python workers and"
        f" {measured.java:.0f} µs in its JVM, from Parquet; {measured.target:.0f} µs in the target,"
        " from JSON lines and through a stream map."
    )
    heads = "| tasks | requests in flight | Spark | one target process |\n| --- | --- | --- | --- |"
    return "\n".join((f"{where} Events a second:", "", heads, *rows, "", cost))


class _Spark:
    """A local Spark session with enough threads for the largest number of tasks."""

    def __init__(self, folder: Path) -> None:
        from pyspark.sql import SparkSession  # noqa: PLC0415 (its own virtual environment)

        from target_liveintent.spark.source import LiveIntentDataSource  # noqa: PLC0415

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master(f"local[{max(TASKS)}]")
        self._session = builder.config("spark.ui.enabled", "false").getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        self._session.dataSource.register(LiveIntentDataSource)
        self._folder = folder

    def write(self, rows: int, tasks: int, latency: float) -> float:
        """Write rows to the API and return the seconds that it took.

        Raises:
            FailedRunError: If not all of the rows arrive.
        """
        source = str(self._folder / f"{rows}-{tasks}.parquet")
        query = (
            "SELECT string(id) AS event_id, timestamp_seconds("  # noqa: S608 (constants)
            f"{int(time.time()) - 3600} + id % 1000) AS event_time, concat('buyer', id,"
            " '@example.com') AS email, CAST(id % 10000 / 100 AS DECIMAL(10, 2)) AS value,"
            " 'usd' AS currency, string(id) AS order_id, '192.0.2.7' AS ip,"
            " 'https://shop.example.com/thanks?utm_source=news' AS source_url,"
            f" 'Mozilla/5.0 (X11; Linux)' AS user_agent FROM range(0, {rows}, 1, {tasks})"
        )
        self._session.sql(query).write.mode("overwrite").parquet(source)
        files = self._session.read.parquet(source).coalesce(tasks)
        if files.rdd.getNumPartitions() != tasks:
            msg = f"Spark makes no {tasks} partitions of the files"
            raise processes.FailedRunError(msg)
        with processes.Api(latency) as api:
            began = time.perf_counter()
            files.write.format("liveintent").options(
                customer_id="a-1b2c",
                auth_token="benchmark-token",  # noqa: S106 (made up)
                pixel_id=PIXEL_ID,
                api_url=api.url,
                default_source="web",
                stream_name="orders",
                concurrent_tasks=tasks,
                max_concurrent_requests=tasks * REQUESTS,
                dead_letter_path=str(self._folder / "letters"),
            ).mode("append").save()
            took = time.perf_counter() - began
            if (arrived := api.take().events) != rows:
                msg = f"{arrived:,} of {rows:,} events arrived from Spark"
                raise processes.FailedRunError(msg)
        return took


def _cpu() -> tuple[float, float]:
    """Return the seconds of CPU time of the JVM's Python processes and of the JVM itself."""
    stats: dict[int, list[str]] = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # The process has just ended.
            head, _, tail = process.read_text(encoding="utf-8").rpartition(")")
            stats[int(process.parent.name)] = [head.rpartition("(")[2], *tail.split()]
    (jvm,) = (
        pid for pid, stat in stats.items() if stat[0] == "java" and int(stat[2]) == os.getpid()
    )
    tree = {jvm}
    while children := {pid for pid, stat in stats.items() if int(stat[2]) in tree} - tree:
        tree |= children
    # Items 12 and 13 of a process are its own user and system time; items 14 and 15 are those of
    # its children that have ended.
    java, python = sum(map(int, stats[jvm][12:14])), sum(map(int, stats[jvm][14:16]))
    python += sum(int(ticks) for pid in tree - {jvm} for ticks in stats[pid][12:16])
    return python / _TICKS_PER_SECOND, java / _TICKS_PER_SECOND


def main() -> None:
    """Measure, and write and print the results."""
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        spark, bench = _Spark(Path(folder)), Bench(Path(folder))
        spark.write(_ROWS_PER_TASK, max(TASKS), 0.0)  # Starts all workers.
        points = []
        for tasks in TASKS:
            rows, requests = _ROWS_PER_TASK * tasks, tasks * REQUESTS
            show_progress(f"Spark, {rows:,} rows in {tasks} tasks")
            seconds = spark.write(rows, tasks, LATENCY)
            candidate = Candidate("target", Stream(rows), {"max_concurrent_requests": requests})
            target = bench.compare(LATENCY, 1, target=candidate)["target"]
            points.append(Point(tasks, requests, rows / seconds, target.rate))
        before = _cpu()
        spark.write(_COST_ROWS, 2, 0.0)
        python, java = (after - b for after, b in zip(_cpu(), before, strict=True))
        target = bench.compare(0, 1, target=Candidate("target", Stream(_COST_ROWS)))["target"]
    measured = Measured(
        results.this_machine(),
        points,
        python=python / _COST_ROWS * 1e6,
        java=java / _COST_ROWS * 1e6,
        target=target.cpu,
    )
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
    print(table())


if __name__ == "__main__":
    main()
