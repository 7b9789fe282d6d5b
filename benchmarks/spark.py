"""Throughput of Spark over its tasks, beside one target process; and what an event costs there.

Runs in .venv-spark: `scripts/benchmark --spark`. Spark has as many threads as tasks, all on this
machine, so what it can show is that tasks share the API and not the machine: at 100 ms an answer,
they wait most of the time. Writes `benchmarks/spark.json`, which docs/scale.md is made from.
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
from benchmarks.bench import Bench, Entry, Stream, say

RESULTS = Path(__file__).with_name("spark.json")
LATENCY = 0.1
TASKS = (1, 2, 4, 8)
REQUESTS = 2
"""Requests in flight, of each task."""
_A_TASK = 16_000
_COST = 200_000
_TICKS = os.sysconf("SC_CLK_TCK")


class Point(msgspec.Struct):
    """Events a second.

    Attributes:
        tasks: Of Spark, at the same time.
        requests: In flight, of all tasks together or of the one target.
        spark: Events a second of Spark, of a session that is warm.
        target: Those of one target process.
    """

    tasks: int
    requests: int
    spark: float
    target: float


class Measured(msgspec.Struct):
    """What was measured.

    Attributes:
        machine: Where and when.
        points: Throughput at 100 ms an answer.
        python: CPU time an event of Spark's Python workers, in µs.
        java: That of its JVM.
        target: That of one target process, with the map of the benchmarks.
    """

    machine: results.Machine
    points: list[Point]
    python: float
    java: float
    target: float


def table() -> str:
    """The figures, for docs/scale.md."""
    if not RESULTS.exists():
        return "*Not measured yet.*"
    found = msgspec.json.decode(RESULTS.read_bytes(), type=Measured)
    machine = found.machine
    rows = [
        f"| {p.tasks} | {p.requests} | {p.spark:,.0f} | {p.target:,.0f} |" for p in found.points
    ]
    where = f"On {machine.cores} cores ({machine.cpu}), Python {machine.python}, {machine.date}."
    cost = (
        f"An event costs {found.python:.0f} µs of CPU time in Spark's Python workers and"
        f" {found.java:.0f} µs in its JVM, from Parquet; {found.target:.0f} µs in the target, from"
        " JSON lines and through a stream map."
    )
    heads = "| tasks | requests in flight | Spark | one target process |\n| --- | --- | --- | --- |"
    return "\n".join((f"{where} Events a second:", "", heads, *rows, "", cost))


class _Spark:
    """A session on this machine, with a thread for each of the most tasks."""

    def __init__(self, folder: Path) -> None:
        from pyspark.sql import SparkSession  # noqa: PLC0415 (its own virtual environment)

        from target_liveintent.spark import LiveIntentDataSource  # noqa: PLC0415

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master(f"local[{max(TASKS)}]")
        self._session = builder.config("spark.ui.enabled", "false").getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        self._session.dataSource.register(LiveIntentDataSource)
        self._folder = folder

    def write(self, rows: int, tasks: int, latency: float) -> float:
        """Write rows; returns the seconds that it took.

        Raises:
            FailedRunError: If not all of them arrive.
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
    """Seconds of CPU time that the JVM's Python processes and the JVM itself have taken."""
    facts: dict[int, list[str]] = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It has just ended.
            head, _, tail = process.read_text(encoding="utf-8").rpartition(")")
            facts[int(process.parent.name)] = [head.rpartition("(")[2], *tail.split()]
    (jvm,) = (
        pid for pid, fact in facts.items() if fact[0] == "java" and int(fact[2]) == os.getpid()
    )
    below = {jvm}
    while more := {pid for pid, fact in facts.items() if int(fact[2]) in below} - below:
        below |= more
    own, others = sum(map(int, facts[jvm][12:14])), sum(map(int, facts[jvm][14:16]))
    others += sum(int(ticks) for pid in below - {jvm} for ticks in facts[pid][12:16])
    return others / _TICKS, own / _TICKS


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        spark, bench = _Spark(Path(folder)), Bench(Path(folder))
        spark.write(_A_TASK, max(TASKS), 0.0)  # Starts all workers.
        points = []
        for tasks in TASKS:
            rows, requests = _A_TASK * tasks, tasks * REQUESTS
            say(f"Spark, {rows:,} rows in {tasks} tasks")
            seconds = spark.write(rows, tasks, LATENCY)
            entry = Entry("target", Stream(rows), {"max_concurrent_requests": requests})
            target = bench.compare(LATENCY, 1, target=entry)["target"]
            points.append(Point(tasks, requests, rows / seconds, target.rate))
        before = _cpu()
        spark.write(_COST, 2, 0.0)
        python, java = (after - b for after, b in zip(_cpu(), before, strict=True))
        target = bench.compare(0, 1, target=Entry("target", Stream(_COST)))["target"]
    found = Measured(
        results.this_machine(), points, python / _COST * 1e6, java / _COST * 1e6, target.cpu
    )
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    print(table())


if __name__ == "__main__":
    main()
