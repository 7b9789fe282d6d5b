"""What is killed on the way: tasks, executors, a whole application in mid-batch."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply, Request
from integration_support import wait_until
from spark_support import (
    NOW,
    TOKEN,
    Cluster,
    Recorder,
    Spark,
    closing,
    ids,
    letters,
    options,
    query,
)

from target_liveintent.privacy.identity import derive_event_id

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark

GUESTS = "IF(id % 50 = 7, NULL, concat('buyer', id, '@example.com'))"


def event_ids(numbers: range) -> list[str]:
    """The IDs of the events of these orders."""
    return [derive_event_id("orders", [str(n)]) for n in numbers]


def slowly(_: Request) -> Reply:
    """Answer after a while."""
    return Reply(delay=0.05)


def test_killed_tasks(cluster: Cluster, server: Recorder, tmp_path: Path, folder: Path) -> None:
    """Tasks and an executor are killed in mid-partition: nothing is lost, IDs are the same."""
    busy: list[int] = []
    most = 8  # Requests until answers wait, so that tasks are in mid-partition: each has 20.

    def answer(request: Request) -> Reply:
        busy.append(server.busy)
        # The very first waits as well, until there is one of each task.
        is_held = 2 not in busy or len(server.requests) > most
        return Reply(held=True) if is_held else slowly(request)

    server.answer = answer
    given = options(server.url, folder, max_concurrent_requests=2)
    # Start with both executors.
    together = {"spark.cores.max": "2", "spark.scheduler.minRegisteredResourcesRatio": "1.0"}
    with closing(Spark(tmp_path / "app", cluster.url, **together)) as spark:
        spark.begin("write", sql=query(8_000, 4, email=GUESTS), options=given)
        wait_until(lambda: 2 in busy, "requests of both tasks", 60)
        server.release()
        wait_until(lambda: len(server.requests) >= most + 2, "requests that wait", 60)
        assert max(busy) == 2  # Each of two tasks has one request in flight.
        for task in cluster.tasks():
            os.kill(task, signal.SIGKILL)
        most += 10
        server.release()
        wait_until(lambda: len(server.requests) >= most + 2, "more requests that wait", 60)
        os.kill(cluster.executors()[0], signal.SIGKILL)
        most = sys.maxsize
        server.release()
        spark.end()
        spark.wait_for("Python worker exited unexpectedly")
        spark.wait_for("Lost executor")
        spark.wait_for("read 8000")
    sent = Counter(ids(server))
    assert set(sent) == set(event_ids(range(8_000))) - set(event_ids(range(7, 8_000, 50)))
    assert 1 < max(sent.values()) <= 3  # Sent again, as often as tasks were killed.
    assert len(set(server.events)) == len(sent)  # And every time byte for byte.
    left = Counter(letter["event_id"] for letter in letters(folder))
    assert left == Counter(event_ids(range(7, 8_000, 50)))
    assert [path.name for path in folder.glob("_pending/*")] == ["README"]
    assert TOKEN not in spark.said() + cluster.logs()
    assert "@example.com" not in spark.said().replace("'@example.com'", "") + cluster.logs()


def test_a_stream_is_killed_and_goes_on(
    spark: Spark, server: Recorder, tmp_path: Path, folder: Path
) -> None:
    """A stream that is killed in mid-batch goes on from its checkpoint, with the same IDs."""
    rows, files = 500, 3
    columns = [f"timestamp_seconds({NOW - 3600}) AS event_time", f"{GUESTS} AS email", "id"]
    source, checkpoint = str(tmp_path / "source"), str(tmp_path / "checkpoint")
    given = {"folder": source, "columns": columns, "checkpoint": checkpoint}
    given |= {"options": options(server.url, folder, max_concurrent_requests=2)}
    server.answer = slowly

    for number in range(files):
        span = f"range({number * rows}, {(number + 1) * rows}, 1, 1)"
        spark.do("save", sql=f"SELECT id FROM {span}", path=source)  # noqa: S608
    first = Spark(tmp_path / "first")
    try:
        first.begin("stream", **given)
        wait_until(lambda: len(server.requests) > 7, "a second micro-batch", 60)
    finally:
        first.kill()
    wait_until(lambda: server.busy == 0, "the last answers")
    before = len(server.events)
    assert rows * 0.98 < before < rows * files * 0.98

    assert spark.do("stream", **given) <= files
    sent = Counter(ids(server))
    guests = event_ids(range(7, rows * files, 50))
    assert set(sent) == set(event_ids(range(rows * files))) - set(guests)
    assert max(sent.values()) == 2  # The micro-batch that was killed came again.
    assert sent.total() - len(sent) < rows
    assert len(set(server.events)) == len(sent)
    assert Counter(letter["event_id"] for letter in letters(folder)) == Counter(guests)

    # The driver ends after a micro-batch, just before Spark notes that it is done.
    for name in (str(files - 1), f".{files - 1}.crc"):
        (tmp_path / "checkpoint" / "commits" / name).unlink()
    assert spark.do("stream", **given) == 1
    again = Counter(ids(server)) - sent
    assert again.total() == rows * 0.98
    assert set(again) <= set(sent)
    assert Counter(letter["event_id"] for letter in letters(folder)) == Counter(guests)

    after = len(server.events)
    spark.do("stream", **given)  # Nothing new.
    assert len(server.events) == after
