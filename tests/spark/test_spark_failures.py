"""What is killed on the way: tasks, executors, a whole application in mid-batch.

LONG=1 sends 5,000,000 rows instead of 300,000 where executors are killed.
"""

import functools
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import wait_until
from spark_support import (
    TOKEN,
    Cluster,
    Recorder,
    Source,
    Spark,
    children,
    closing,
    event_ids,
    fact_ids,
    ids,
    options,
    query,
)

pytestmark = [pytest.mark.spark, pytest.mark.slow]

TOGETHER = {"spark.cores.max": "2", "spark.scheduler.minRegisteredResourcesRatio": "1.0"}
"""Start with both executors."""
GUESTS = "IF(id % 50 = 7, NULL, concat('buyer', id, '@example.com'))"


def slowly(_: Request) -> Reply:
    """Answer after a while."""
    return Reply(delay=0.05)


def test_a_killed_stream_continues_from_its_checkpoint(
    spark: Spark, server: Recorder, tmp_path: Path, outcomes: Path
) -> None:
    """A stream that is killed in mid-batch continues from its checkpoint, with the same IDs."""
    rows, files = 500, 3
    source = Source(spark, tmp_path, outcomes, server.url, GUESTS)
    server.answer = slowly

    for number in range(files):
        source.add(number * rows, (number + 1) * rows)
    first = Spark(tmp_path / "first")
    try:
        first.begin("stream", **source.arguments(options=source.options))
        wait_until(lambda: len(server.requests) > 7, "a second micro-batch", 300)
    finally:
        first.kill()
    wait_until(lambda: server.busy == 0, "the last answers")
    before = len(server.events)
    assert rows * 0.98 < before < rows * files * 0.98

    assert source.run() <= files
    sent = Counter(ids(server))
    guests = event_ids(range(7, rows * files, 50))
    assert set(sent) == set(event_ids(range(rows * files))) - set(guests)
    assert sent.total() - len(sent) < rows  # Only what was not in the table yet came again.
    assert len(set(server.events)) == len(sent)
    assert set(fact_ids(outcomes, "rejected")) == set(guests)

    # The driver ends after a micro-batch, just before Spark notes that it is done.
    source.forget(files - 1)
    assert source.run() == 1
    assert Counter(ids(server)) == sent

    after = len(server.events)
    source.run()  # Nothing new.
    assert len(server.events) == after


# Tasks and executors are killed in mid-write: what goes twice, and what the table says of it

LONG = os.environ.get("LONG", "") not in {"", "0"}
ROWS = 5_000_000 if LONG else 300_000
PARTITIONS = 40 if LONG else 8
PATIENCE = 3_600 if LONG else 600
KILLS = 4
FLUSH = 3.0
"""Seconds after which what was confirmed is in the table."""
SLACK = 2.0
"""Seconds that this machine may take to write a file, and to end a killed process."""


class Comparing(FaultyServer):
    """A server that keeps of an event only a hash of its bytes, which must stay the same."""

    def __init__(self) -> None:
        super().__init__()
        self._hashes: dict[str, int] = {}

    def take(self, head: bytes, body: bytes) -> Request:
        """Forget the events of a request."""
        request = super().take(head, body)
        events = map(bytes, msgspec.json.decode(body, type=list[msgspec.Raw]))
        for event_id, found in zip(request.ids, map(hash, events), strict=True):
            if self._hashes.setdefault(event_id, found) != found:
                self.problems.append(f"{event_id} has other bytes now")
        request.body = b""
        return request


def at_work(cluster: Cluster) -> list[int]:
    """The processes of the executors that run a task."""
    running = cluster.executors()
    return [pid for pid in running if any(children(daemon) for daemon in children(pid))]


def test_killed_tasks_and_executors_lose_no_event(
    cluster: Cluster, tmp_path: Path, outcomes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything arrives, under the same IDs; only what no file of the table had yet goes twice."""
    kills: list[float] = []
    with Comparing() as server, closing(Spark(tmp_path / "app", cluster.url, **TOGETHER)) as spark:
        given = options(server.url, outcomes, concurrent_tasks=None, max_concurrent_requests=2)
        server.answer = lambda _: Reply(delay=0.1)
        spark.begin("write", sql=query(ROWS, PARTITIONS, email=GUESTS), options=given)
        for number in range(1, KILLS + 1):
            share = ROWS * number // (KILLS + 2)
            wait_until(lambda share=share: len(server.delivered) > share, "a share", PATIENCE)
            victims = functools.partial(at_work, cluster) if number > 1 else cluster.tasks
            os.kill(wait_until(victims, "tasks at work", 120)[0], signal.SIGKILL)
            kills.append(time.monotonic())
        spark.end()
        spark.wait_for("Python worker exited unexpectedly")
        said = spark.said()
        assert said.count("Lost executor") >= KILLS - 1

    assert server.problems == []
    guests = set(event_ids(range(7, ROWS, 50)))
    assert server.delivered == set(event_ids(range(ROWS))) - guests
    # What the table had was not sent again; so each event has one row.
    delivered = fact_ids(outcomes, "delivered")
    assert set(delivered) == server.delivered
    assert delivered.total() == len(delivered)
    assert set(fact_ids(outcomes, "rejected")) == guests
    late = 0.0
    for _, before, _ in server.repeats:
        kill = min((at for at in kills if at >= before.seen - SLACK), default=None)
        assert kill is not None
        if before.answered_at is not None:
            late = max(late, kill - before.answered_at)
    assert late <= FLUSH + SLACK
    said += cluster.logs()
    assert TOKEN not in said
    assert "@example.com" not in said.replace("'@example.com'", "")
    with capsys.disabled():
        sys.stdout.write(
            f"\n{ROWS} rows, {KILLS} killed: {len(server.repeats)} events twice, confirmed up to"
            f" {late:.1f} s before the kill\n"
        )
