"""Reads the rows of a partition as records of plain Python."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

_ROWS = 1_000
"""How many rows are in memory as Python objects at the same time."""
_TICK = 1.0
"""The most seconds between two calls of `tick`."""
_VIOLATION = "Python cannot represent a value of this row"
Row = tuple[dict[str, Any], str | None]
"""The values of a row by column, and what is wrong with the row as a whole."""


def rows_of(
    batches: Iterable[pa.RecordBatch],
    columns: Mapping[str, str],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Yield the rows of batches, with the columns that are wanted.

    Args:
        batches: The batches. A thread reads them.
        columns: How the batches spell each column, by the name that a record has for it.
        tick: Does what is due. Called after some rows, and once a second while no batch comes.
    """
    utc = pa.timestamp("us", "UTC")
    for whole in _read_ahead(batches, tick):
        batch = whole.select([*columns.values()]).rename_columns([*columns])
        # Event IDs must not depend on the time zone of Spark's session.
        fields = [f.with_type(utc) if getattr(f.type, "tz", None) else f for f in batch.schema]
        batch = batch.cast(pa.schema(fields))
        for start in range(0, batch.num_rows, _ROWS):
            yield from _records(batch.slice(start, _ROWS))
            tick()


def _read_ahead(
    batches: Iterable[pa.RecordBatch], tick: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    """Yield batches that a thread reads, one ahead; raise what reading them raises.

    The thread ends with the process if nobody takes any more: the next batch may take an hour.
    """
    read: queue.Queue[Any] = queue.Queue(maxsize=1)

    def work() -> None:
        try:
            for batch in batches:
                read.put(batch)
            read.put(None)
        except Exception as failure:  # noqa: BLE001 (whoever takes the batches raises it)
            read.put(failure)

    threading.Thread(target=work, name="rows", daemon=True).start()
    while True:
        try:
            item = read.get(timeout=_TICK)
        except queue.Empty:
            tick()
            continue
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _records(rows: pa.RecordBatch) -> list[Row]:
    try:
        return [(values, None) for values in rows.to_pylist()]
    except Exception:  # noqa: BLE001 (pyarrow raises many kinds)
        return [_record(rows.slice(number, 1)) for number in range(rows.num_rows)]


def _record(row: pa.RecordBatch) -> Row:
    """Return a row; a value that Python cannot represent makes it invalid."""
    values = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        with contextlib.suppress(Exception):
            values[name] = column[0].as_py()
    return values, None if len(values) == row.num_columns else _VIOLATION
