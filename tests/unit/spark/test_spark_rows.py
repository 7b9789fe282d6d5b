"""Rows of Arrow as records: in order, in UTC, and without what Python cannot hold."""

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from write_support import batch, pa

from target_liveintent.spark.rows import SparkRow, names_of, read_ahead, rows_of

UTC = dt.timezone.utc


def rows(**columns: Any) -> list[SparkRow]:
    """Return the rows of columns."""
    return list(rows_of(pa.RecordBatch.from_pydict(columns), names_of(columns)))


def times(kind: Any, *microseconds: int | None) -> Any:
    return pa.array(microseconds, pa.int64()).cast(kind)


def test_rows_become_records_of_plain_python() -> None:
    """They are in order, under the names of a record; times are in UTC, whatever the session has.

    A time without a zone keeps none, and a decimal its digits.
    """
    assert rows(id=pa.array([], pa.int64())) == []
    zoned = times(pa.timestamp("us", "America/New_York"), 1_500_000, None)
    plain = times(pa.timestamp("us"), 0, 0)
    amounts = pa.array([Decimal("0.50"), None], pa.decimal128(20, 2))
    first, second = rows(id=[1, 2], EVENT_TIME=zoned, Value=amounts, at=plain)
    moment = dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    naive = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    assert first == ({"id": 1, "event_time": moment, "value": Decimal("0.5"), "at": naive}, None)
    assert (first[0]["event_time"].tzinfo, str(first[0]["value"])) == (UTC, "0.50")
    assert second == ({"id": 2, "event_time": None, "value": None, "at": naive}, None)


LATE = times(pa.timestamp("us", "UTC"), 0, 253_402_300_800_000_000)  # The year 10000.


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(LATE, id="a time"),
        pytest.param(pa.StructArray.from_arrays([LATE], ["at"]), id="a nested time"),
        pytest.param(pa.array([0, 10**15]).cast(pa.duration("s")), id="a duration"),
        pytest.param(pa.array([b"x", b"\xff"]).view(pa.string()), id="text that is not UTF-8"),
    ],
)
def test_a_value_that_python_cannot_represent(column: Any) -> None:
    """It is left out, and its row is wrong, in words without the value; other rows are as usual."""
    first, second = rows(id=[1, 2], other=column)
    assert (first[0].keys(), first[1]) == ({"id", "other"}, None)
    assert second == ({"id": 2}, "Python cannot represent a value of this row")


def test_what_is_due_is_done_while_no_batch_comes() -> None:
    """The source of a stream may wait for long. What reading a batch raises is raised here."""
    dues = threading.Semaphore(0)

    def slow() -> Iterator[Any]:
        for _ in range(2):
            assert dues.acquire(timeout=30)
        yield batch(0, 1)
        raise BrokenPipeError

    found = read_ahead(slow(), dues.release)
    assert next(found).num_rows == 1
    with pytest.raises(BrokenPipeError):
        next(found)
