"""Rows of Arrow as records: in order, in UTC, and without what Python cannot hold."""

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from write_support import pa

from target_liveintent.spark.options import names_of
from target_liveintent.spark.rows import Row, rows_of

LATE = 253_402_300_800_000_000  # The year 10000, in microseconds.
WORDS = "Python cannot represent a value of this row"


def rows(**columns: Any) -> list[Row]:
    """Return the rows of columns."""
    batch = pa.RecordBatch.from_pydict(columns)
    return list(rows_of([batch], names_of(batch.schema.names)))


def test_rows() -> None:
    """Each row comes once, in order, however many there are; names are those of a record."""
    assert rows(id=pa.array([], pa.int64())) == []
    found = rows(ID=list(range(2_500)), EMAIL=["a@example.com"] * 2_500)
    assert found == [({"ID": n, "email": "a@example.com"}, None) for n in range(2_500)]


def test_what_is_due_is_done_while_no_batch_comes() -> None:
    """The source of a stream may wait for long."""
    is_due = threading.Event()

    def slow() -> Iterator[Any]:
        assert is_due.wait(30)
        yield pa.RecordBatch.from_pydict({"id": [1]})

    assert list(rows_of(slow(), {"id": "id"}, is_due.set)) == [({"id": 1}, None)]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_times_are_in_utc(zone: str | None) -> None:
    """A session of Spark's may have any zone; a time without one keeps none."""
    ((values, _),) = rows(event_time=pa.array([0], pa.int64()).cast(pa.timestamp("us", zone)))
    expected = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc if zone else None)
    assert values["event_time"] == expected
    assert str(values["event_time"].tzinfo) == str(expected.tzinfo)


def late() -> Any:
    """Return a time that Python can represent, and one that it cannot."""
    return pa.array([0, LATE], pa.int64()).cast(pa.timestamp("us", "UTC"))


@pytest.mark.parametrize(
    "column",
    [
        late(),
        pa.StructArray.from_arrays([late()], ["at"]),
        pa.array([0, 10**15]).cast(pa.duration("s")),
        pa.array([b"x", b"\xff"]).view(pa.string()),
    ],
)
def test_a_value_that_python_cannot_represent(column: Any) -> None:
    """It is left out, and its row is wrong, in words without the value; other rows are as usual."""
    first, second = rows(id=[1, 2], other=column)
    assert (first[0].keys(), first[1]) == ({"id", "other"}, None)
    assert second == ({"id": 2}, WORDS)
