"""Executors are killed in the middle of a write: what goes twice, and what the audit says of it.

LONG=1 sends 5,000,000 rows instead of 300,000.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import wait_until
from spark_support import Cluster, Spark, children, closing, letters, options, query

pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]

LONG = os.environ.get("LONG", "") not in {"", "0"}
ROWS = 5_000_000 if LONG else 300_000
PARTITIONS = 40 if LONG else 8
PATIENCE = 3_600 if LONG else 600
KILLS = 3
FLUSH = 3.0
"""Seconds after which what was confirmed is in the audit."""
SLACK = 2.0
"""Seconds that this machine may take to write a file, and to end a killed process."""


class Counter(FaultyServer):
    """A server that keeps who was sent, and when it was answered, but not the events."""

    def take(self, head: bytes, body: bytes) -> Request:
        """Forget the events of a request."""
        request = super().take(head, body)
        request.body = b""
        return request


def at_work(cluster: Cluster) -> list[int]:
    """The processes of the executors that run a task."""
    running = cluster.executors()
    return [pid for pid in running if any(children(daemon) for daemon in children(pid))]


def test_killed_executors(
    cluster: Cluster, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything arrives; only what no file of the audit had yet is sent again."""
    audit = tmp_path / "audit"
    kills: list[float] = []
    together = {"spark.cores.max": "2", "spark.scheduler.minRegisteredResourcesRatio": "1.0"}
    began = time.monotonic()
    with (
        Counter() as server,
        closing(Spark(tmp_path / "app", cluster.url, **together)) as spark,
    ):
        given = options(server.url, folder, concurrent_tasks=None, audit_path=str(audit))
        given |= {"max_concurrent_requests": 2}
        server.answer = lambda _: Reply(delay=0.1)
        spark.begin("write", sql=query(ROWS, PARTITIONS), options=given)
        for number in range(1, KILLS + 1):
            share = ROWS * number // (KILLS + 2)
            wait_until(lambda share=share: len(server.delivered) > share, "a share", PATIENCE)
            os.kill(wait_until(lambda: at_work(cluster), "tasks at work", 120)[0], signal.SIGKILL)
            kills.append(time.monotonic())
        spark.end()
        seconds = time.monotonic() - began
        assert spark.said().count("Lost executor") >= KILLS

        assert len(server.delivered) == ROWS
        assert letters(folder) == []
        rows = pq.read_table(audit, columns=["event_id", "outcome", "partition", "attempt"])
        assert set(rows.column("outcome").to_pylist()) == {"delivered"}
        event_ids = rows.column("event_id").to_pylist()
        assert set(event_ids) == server.delivered
        # What the audit had was not sent again; so each event has one row.
        assert len(event_ids) == ROWS

        attempts = defaultdict(set)
        for partition, attempt in zip(
            *(rows.column(name).to_pylist() for name in ("partition", "attempt")), strict=True
        ):
            attempts[partition].add(attempt)
        assert set(attempts) == set(range(PARTITIONS))
        lost = {partition for partition, some in attempts.items() if len(some) > 1}
        assert lost
        where = dict(zip(event_ids, rows.column("partition").to_pylist(), strict=True))
        late = 0.0
        for event_id, before, _ in server.repeats:
            assert where[event_id] in lost or len(attempts[where[event_id]]) == 1
            kill = min((at for at in kills if at >= before.seen - SLACK), default=None)
            assert kill is not None
            if before.answered_at is not None:
                late = max(late, kill - before.answered_at)
        assert late <= FLUSH + SLACK
    with capsys.disabled():
        sys.stdout.write(
            f"\n{ROWS} rows in {seconds:.0f} s, {KILLS} executors killed: {len(server.repeats)}"
            f" events twice, confirmed up to {late:.1f} s before the kill; lost attempts at"
            f" partitions {sorted(lost)} had rows in the audit\n"
        )
