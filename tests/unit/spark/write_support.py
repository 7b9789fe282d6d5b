"""Options of a write, attempts at its tasks, rows, and what the table of outcomes has of them."""

import time
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="an extra")
pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

from target_liveintent.spark.options import SparkWrite, write_of  # noqa: E402
from target_liveintent.spark.outcomes import Attempt, OutcomeTable  # noqa: E402

COLUMNS = ["id", "event_time", "email"]
OPTIONS = {
    "customer_id": "a-1b2c",
    "auth_token": "sandbox-token",
    "pixel_id": "12345",
    "default_source": "web",
    "stream_name": "orders",
    "key_properties": "id",
}
ATTEMPT = Attempt("run-1", 0.0, ("run-1",), 0)


def make_job(outcomes: Path | None, *columns: str, **options: str) -> SparkWrite:
    """Return a write whose table of outcomes is there."""
    given = OPTIONS | ({} if outcomes is None else {"outcomes_path": str(outcomes)}) | options
    job = write_of(given, [*(columns or COLUMNS)])
    OutcomeTable(job, create=True)
    return job


def batch(first: int, count: int, **columns: Any) -> Any:
    """Return the rows of some orders."""
    numbers = range(first, first + count)
    rows = {
        "id": list(numbers),
        "event_time": [int(time.time()) - 3600] * count,
        "email": [f"buyer{n}@example.com" for n in numbers],
        **columns,
    }
    return pa.RecordBatch.from_pydict(rows)


def facts(outcomes: Path) -> list[dict[str, Any]]:
    """Return the rows of the table of outcomes, in their order within each file."""
    rows: list[dict[str, Any]] = pq.read_table(outcomes).to_pylist()
    return rows
