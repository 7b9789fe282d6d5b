"""Reads the rows of a partition as records of plain Python."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from decimal import Decimal
from typing import Any

import pyarrow as pa

from target_liveintent.run.run import TICK

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
SparkRow = tuple[dict[str, Any], str | None]
"""The values of a row by column, and what is wrong with the row."""


def rows_of(batch: pa.RecordBatch, columns: Mapping[str, str]) -> Iterator[SparkRow]:
    """Yield the rows of a batch. A value that Python cannot represent makes its row invalid.

    `columns` are those that are wanted: how the batch spells each, by the name in a record.
    """
    batch = batch.select([*columns.values()])
    try:
        rows = [*zip(*map(_values, batch.columns), strict=True)]
    except Exception:  # noqa: BLE001 (pyarrow raises many kinds)
        yield from (_row(batch.slice(number, 1), columns) for number in range(batch.num_rows))
    else:
        yield from ((dict(zip(columns, row, strict=True)), None) for row in rows)


def _row(row: pa.RecordBatch, columns: Iterable[str]) -> SparkRow:
    values = {}
    for name, column in zip(columns, row.columns, strict=True):
        with contextlib.suppress(Exception):
            values[name] = _values(column)[0]
    is_valid = len(values) == row.num_columns
    return values, None if is_valid else "Python cannot represent a value of this row"


def _values(column: pa.Array) -> list[Any]:
    # (For decimals and times, `to_pylist` takes three and ten times as long.)
    if pa.types.is_decimal(column.type):
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None else Decimal(text) for text in texts]
    if getattr(column.type, "tz", None) is None:
        return [*column.to_pylist()]
    # Event IDs must not depend on the zone of Spark's session.
    times = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return [None if at is None else _EPOCH + dt.timedelta(0, 0, at) for at in times]


def read_ahead(
    batches: Iterable[pa.RecordBatch], tick: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    """Yield batches that a thread reads, one ahead; raise what reading them raises.

    `tick` does what is due; it is also called while no batch comes: the next may take an hour.
    """
    rows, reader = iter(batches), futures.ThreadPoolExecutor(1)
    reading = reader.submit(next, rows, None)
    while True:
        tick()
        futures.wait([reading], TICK)
        if reading.done():
            if (batch := reading.result()) is None:
                return
            reading = reader.submit(next, rows, None)
            yield batch
