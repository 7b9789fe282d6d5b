"""Rows of Arrow as records: what Python cannot hold is the fault of one row."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="an extra")

from target_liveintent.spark.options import names_of  # noqa: E402
from target_liveintent.spark.rows import Row, records_of  # noqa: E402

LATE = 253_402_300_800_000_000  # The year 10000, in microseconds.
WORDS = "Python cannot represent a value of this row"


def rows(**columns: Any) -> list[Row]:
    """Return the rows of columns."""
    batch = pa.RecordBatch.from_pydict(columns)
    return [row for some in records_of(batch, names_of(batch.schema.names)) for row in some]


def test_rows() -> None:
    """Each row comes once, in order, however many there are; names are those of a record."""
    found = rows(ID=list(range(2_500)), EMAIL=["a@example.com"] * 2_500)
    assert [values for values, _ in found] == [
        {"ID": number, "email": "a@example.com"} for number in range(2_500)
    ]


def test_a_batch_without_rows() -> None:
    assert rows(id=pa.array([], pa.int64())) == []


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_times_are_in_utc(zone: str | None) -> None:
    """A session of Spark's may have any zone; a time without one keeps none."""
    ((values, _),) = rows(event_time=pa.array([0], pa.int64()).cast(pa.timestamp("us", zone)))
    expected = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc if zone else None)
    assert values["event_time"] == expected
    assert str(values["event_time"].tzinfo) == str(expected.tzinfo)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("us", "UTC"), LATE),
        (pa.date32(), 10**8),
        (pa.timestamp("us"), -(10**17)),
        (pa.duration("s"), 10**15),
    ],
)
def test_a_value_that_python_cannot_represent(kind: Any, value: int) -> None:
    """It is a violation of its row, in words without the value; the other rows are as they are."""
    column = pa.array([0, value, None] * 1_000)
    column = column.cast(pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    found = rows(id=list(range(3_000)), other=column)
    assert [violation for _, violation in found] == [None, WORDS, None] * 1_000
    assert found[1][0] == {"id": 1}
    assert found[2][0] == {"id": 2, "other": None}


def test_a_value_within_another() -> None:
    """What is nested is found as well, and left out; so is a text that is none."""
    inner = pa.array([0, LATE], pa.int64()).cast(pa.timestamp("us", "UTC"))
    nested = pa.StructArray.from_arrays([inner], ["at"])
    garbled = pa.array([b"x", b"\xff"]).view(pa.string())
    for other in (nested, garbled):
        first, second = rows(id=[1, 2], other=other)
        assert first[1] is None
        assert second == ({"id": 2}, WORDS)
