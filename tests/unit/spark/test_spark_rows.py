"""Rows of Arrow: they are read ahead, and what Python cannot hold is the fault of one row."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import pytest

pa = pytest.importorskip("pyarrow", reason="an extra")

from target_liveintent.spark import reading  # noqa: E402
from target_liveintent.spark.columns import Columns  # noqa: E402
from target_liveintent.spark.reading import read_ahead  # noqa: E402
from target_liveintent.spark.records import RowRecord, records_of  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE = 253_402_300_800_000_000  # The year 10000, in microseconds.


def rows(**columns: Any) -> list[RowRecord]:
    """Return the rows of columns."""
    batch = pa.RecordBatch.from_pydict(columns)
    names = tuple(batch.schema.names)
    return [row for some in records_of(batch, Columns(names, names)) for row in some]


def test_rows() -> None:
    """Each row comes once, in order, however many there are."""
    assert [row.values["id"] for row in rows(id=list(range(2_500)))] == list(range(2_500))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_time_that_python_cannot_hold(zone: str) -> None:
    """The event builder rejects its text, in UTC; the other rows are as they are."""
    times = pa.array([0, LATE, None], pa.int64()).cast(pa.timestamp("us", zone))
    first, late, empty = rows(id=[1, 2, 3], event_time=times)
    assert first.values["event_time"] == dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    assert late == RowRecord({"id": 2, "event_time": "10000-01-01 00:00:00.000000Z"})
    assert empty.values["event_time"] is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.date32(), 10**8), (pa.timestamp("us"), -(10**17)), (pa.duration("s"), 10**15)],
)
def test_another_value_that_python_cannot_hold(kind: Any, value: int) -> None:
    """It is a violation of its row, in words without the value."""
    column = pa.array([0, value]).cast(pa.int32() if kind == pa.date32() else pa.int64())
    first, second = rows(other=column.cast(kind))
    words = f"column other: Python cannot represent this {kind}"
    assert (first.violation, second.violation) == (None, words)
    assert isinstance(second.values["other"], str)


def test_a_value_within_another() -> None:
    """What is nested is found as well."""
    inner = pa.array([0, LATE], pa.int64()).cast(pa.timestamp("us", "UTC"))
    first, second = rows(other=pa.StructArray.from_arrays([inner], ["at"]))
    assert [first.violation is None, second.violation is None] == [True, False]
    assert second.values["other"] == "unreadable"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("value", pa.array([1, None], pa.duration("s"))),
        ("email", pa.array([b"x", None], pa.binary())),
        ("event_time", pa.array([1, None], pa.time64("us"))),
        ("userData", pa.array([[("ip", "192.0.2.1")], None], pa.map_(pa.string(), pa.string()))),
        ("currency", pa.array([["USD"], None], pa.list_(pa.string()))),
    ],
)
def test_a_type_that_no_column_takes(name: str, column: Any) -> None:
    """A value of it is a violation, an empty one is not; other columns may be of any type."""
    first, second = rows(**{name: column})
    assert first.violation == f"column {name}: no event column accepts the type {column.type}"
    assert second.violation is None
    assert [row.violation for row in rows(other=column)] == [None, None]


# Reading ahead


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_TICK", 0.005)


def test_all_come_in_order() -> None:
    for given in (range(100), [], [None]):
        assert list(read_ahead(given, lambda: None)) == list(given)


def test_what_is_due_is_done_meanwhile() -> None:
    """Spark may take an hour for the next rows; a failure comes after what was read."""
    ticks = threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for _ in range(3):
            assert ticks.acquire(timeout=60)
        yield 1
        raise LookupError

    read = read_ahead(slow(), ticks.release)
    assert next(read) == 1
    with pytest.raises(LookupError):
        next(read)


def test_the_thread_ends_with_the_reader() -> None:
    """One that nobody listens to must not read on."""
    before = threading.active_count()
    read = read_ahead(iter(int, 1), lambda: None)
    next(read)
    (thread,) = (one for one in threading.enumerate() if one.name == "rows")
    read.close()  # type: ignore[attr-defined]
    thread.join(60)
    assert threading.active_count() == before
