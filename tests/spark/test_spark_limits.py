"""Tasks that share a limit, and partitions of every shape; they take minutes."""

import time
from collections import Counter
from itertools import accumulate, pairwise

import pytest
from faulty_server import Reply
from spark_support import NOW, Recorder, Spark, closing, facts, options, query

pytest.importorskip("benchmarks", reason="they are not in the source distribution")

from pathlib import Path

from faulty_server import Request

from benchmarks.processes import Api

pytestmark = [pytest.mark.spark, pytest.mark.slow]

TASKS, ROWS, A_SECOND = 8, 30_000, 10
PART = (
    f"SELECT id, timestamp_seconds({NOW - 3600} + id % 1000) AS event_time,"  # noqa: S608
    " concat('buyer', id, '@example.com') AS email, CAST(1.25 AS DECIMAL(10, 2)) AS value,"
    " 'usd' AS currency"
    " FROM range({first}, {end}, 1, 1)"
)
EVEN = [7] * 4 + [6] * 12
SHAPES = {"skewed": [90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "merged": [100]}


class Bucket:
    """A limit as nginx's `limit_req` with `burst` and `nodelay` has it."""

    def __init__(self, a_second: float, burst: int) -> None:
        self._a_second = a_second
        self._burst = self._level = float(burst)
        self._filled_at = time.monotonic()

    def __call__(self, _: Request) -> Reply:
        """Take the request if there is a token for it."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._filled_at) * self._a_second)
        self._filled_at = now
        if self._level < 1:
            return Reply(429, delay=0.05, skipped=None)
        self._level -= 1
        return Reply(204, delay=0.05)


def test_a_rate_limit(server: Recorder, tmp_path: Path, outcomes: Path) -> None:
    """No task fails of it, nothing is sent twice, and at most 40 % of the requests are refused."""
    server.answer = Bucket(A_SECOND, burst=10)
    given = options(server.url, outcomes, concurrent_tasks=TASKS, max_retry_seconds=60)
    with closing(Spark(tmp_path, f"local[{TASKS}]")) as spark:  # There, no task is tried again.
        spark.do("write", sql=query(ROWS, TASKS), options=given)
    statuses = Counter(request.reply.status for request in server.requests)
    assert len(server.delivered) == len(server.accepted) == ROWS
    assert statuses[429] <= 0.4 * statuses.total(), statuses
    assert facts(outcomes, "rejected") == []


def test_partitions_of_other_shapes(tmp_path: Path, outcomes: Path) -> None:
    """Where most rows, or all, are in one partition, they go at half the rate of 16 or more."""
    rows = 200_000

    def seconds(spark: Spark, shape: list[int]) -> float:
        """Send the rows in partitions of some shape, each a share of a hundred."""
        ends = [rows * share // 100 for share in accumulate(shape)]
        parts = [PART.format(first=first, end=end) for first, end in pairwise([0, *ends])]
        with Api(0.1) as api:
            given = options(api.url, outcomes, concurrent_tasks=None)
            began = time.monotonic()
            spark.do("write", sql=" UNION ALL ".join(parts), options=given)
            took = time.monotonic() - began
            assert api.take().events == rows
        return took

    with closing(Spark(tmp_path, f"local[{len(EVEN)}]")) as spark:
        seconds(spark, EVEN)  # Starts the workers.
        even = seconds(spark, EVEN)
        for name, shape in SHAPES.items():
            assert seconds(spark, shape) <= 2 * even, name
