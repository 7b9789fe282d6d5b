"""Writes to the API of a benchmark from a local Spark session, and measures what that takes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks import PIXEL_ID, processes
from benchmarks.certificates import make_certificate
from benchmarks.tally import Tally

_TICKS_PER_SECOND = 100  # In /proc, on each usual machine with Linux.
_COLUMNS = (
    "string(id) AS event_id",
    "timestamp_seconds({begin} + id % 1000) AS event_time",
    "concat('buyer', id, '@example.com') AS email",
    "CAST(id % 10000 / 100 AS DECIMAL(10, 2)) AS value",
    "'usd' AS currency",
    "string(id) AS order_id",
    "'192.0.2.7' AS ip",
    "'https://shop.example.com/thanks?utm_source=news' AS source_url",
    "'Mozilla/5.0 (X11; Linux)' AS user_agent",
)


class Written(NamedTuple):
    """A write that is done: the seconds that it took, and what arrived."""

    seconds: float
    arrived: Tally


class Session:
    """A local Spark session.

    Args:
        folder: For files, its certificate among them, which its tasks trust.
        threads: How many tasks run at the same time, at most.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """Start Spark."""
        from pyspark.sql import SparkSession  # noqa: PLC0415 (its own virtual environment)

        from target_liveintent.spark import LiveIntentDataSource  # noqa: PLC0415

        certificate, key = folder / "certificate.pem", folder / "key.pem"
        make_certificate("openssl", certificate, key)
        self._served = folder / "served.pem"
        self._served.write_bytes(certificate.read_bytes() + key.read_bytes())
        os.environ["REQUESTS_CA_BUNDLE"] = str(certificate)
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ |= {name: processes.ENVIRONMENT[name] for name in ("NO_PROXY", "no_proxy")}
        builder = SparkSession.builder.master(f"local[{threads}]")
        self._session = builder.config("spark.ui.enabled", "false").getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        self._session.dataSource.register(LiveIntentDataSource)
        self._folder = folder

    def files(self, rows: int, tasks: int) -> Any:
        """Return orders from Parquet, in so many partitions.

        Raises:
            FailedRunError: If Spark makes others.
        """
        source = str(self._folder / f"{rows}-{tasks}.parquet")
        self.rows(0, rows, tasks).write.mode("overwrite").parquet(source)
        files = self._session.read.parquet(source).coalesce(tasks)
        if files.rdd.getNumPartitions() != tasks:
            msg = f"Spark makes no {tasks} partitions of the files"
            raise processes.FailedRunError(msg)
        return files

    def rows(self, first: int, end: int, partitions: int) -> Any:
        """Return orders that are made while they are read, in so many partitions."""
        begin = int(time.time()) - 3600
        columns = [column.format(begin=begin) for column in _COLUMNS]
        return self._session.range(first, end, 1, partitions).selectExpr(*columns)

    def write(
        self,
        frame: Any,
        rows: int,
        latency: float,
        options: Mapping[str, int] = MappingProxyType({}),
        *,
        tls: bool = False,
    ) -> Written:
        """Write orders to the API.

        Args:
            frame: The orders.
            rows: How many they are.
            latency: Seconds before each answer.
            options: Options of the write beside those that each has.
            tls: Whether the API speaks TLS.

        Raises:
            FailedRunError: If not all of the rows arrive.
        """
        certificate = self._served if tls else None
        # An API that read events would take CPU time from the tasks. (The tests read them.)
        with processes.Api(latency, certificate=certificate, counts=True) as api:
            began = time.perf_counter()
            frame.write.format("liveintent").options(
                customer_id="a-1b2c",
                auth_token="benchmark-token",  # noqa: S106 (made up)
                pixel_id=PIXEL_ID,
                api_url=api.url,
                default_source="web",
                stream_name="orders",
                outcomes_path=str(self._folder / "outcomes"),
                **options,
            ).mode("append").save()
            took = time.perf_counter() - began
            arrived = api.take()
        if arrived.events != rows:
            msg = f"{arrived.events:,} of {rows:,} events arrived from Spark"
            raise processes.FailedRunError(msg)
        return Written(took, arrived)


def cpu() -> tuple[float, float]:
    """Return the seconds of CPU time of the JVM's Python processes and of the JVM itself."""
    stats = _stats()
    jvm = _jvm(stats)
    # Items 12 and 13 of a process are its own user and system time; items 14 and 15 are those of
    # its children that have ended.
    java, python = sum(map(int, stats[jvm][12:14])), sum(map(int, stats[jvm][14:16]))
    python += sum(int(ticks) for pid in _below(stats, jvm) for ticks in stats[pid][12:16])
    return python / _TICKS_PER_SECOND, java / _TICKS_PER_SECOND


def memory() -> list[float]:
    """Return the peak memory of each Python worker that has run tasks, in MiB."""
    stats = _stats()
    parents = {int(stat[2]) for stat in stats.values()}
    workers = [pid for pid in _below(stats, _jvm(stats)) if pid not in parents]
    peaks = []
    for pid in workers:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            peaks += [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
    return sorted(peak / 1_024 for peak in peaks)


def _stats() -> dict[int, list[str]]:
    """Return what the kernel says of each process: its name, its state, its parent, and so on."""
    stats = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # The process has just ended.
            head, _, tail = process.read_text(encoding="utf-8").rpartition(")")
            stats[int(process.parent.name)] = [head.rpartition("(")[2], *tail.split()]
    return stats


def _jvm(stats: dict[int, list[str]]) -> int:
    (jvm,) = (
        pid for pid, stat in stats.items() if stat[0] == "java" and int(stat[2]) == os.getpid()
    )
    return jvm


def _below(stats: dict[int, list[str]], jvm: int) -> set[int]:
    tree = {jvm}
    while children := {pid for pid, stat in stats.items() if int(stat[2]) in tree} - tree:
        tree |= children
    return tree - {jvm}
