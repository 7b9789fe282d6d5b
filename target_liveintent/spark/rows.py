"""Reads the rows of Arrow as records of plain Python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

_ROWS = 1_000
"""How many rows are in memory as Python objects at the same time."""
_VIOLATION = "Python cannot represent a value of this row"
Row = tuple[dict[str, Any], str | None]
"""The values of a row by column, and what is wrong with the row as a whole."""


def records_of(batch: pa.RecordBatch, columns: Mapping[str, str]) -> Iterator[list[Row]]:
    """Yield the rows of a batch, some at a time, with the columns that are wanted.

    Args:
        batch: The batch.
        columns: How the batch spells each column, by the name that a record has for it.
    """
    batch = batch.select(list(columns.values())).rename_columns(list(columns))
    # Event IDs must not depend on the time zone of Spark's session.
    utc = pa.timestamp("us", "UTC")
    fields = [f.with_type(utc) if getattr(f.type, "tz", None) else f for f in batch.schema]
    batch = batch.cast(pa.schema(fields))
    for start in range(0, batch.num_rows, _ROWS):
        yield _records(batch.slice(start, _ROWS))


def _records(rows: pa.RecordBatch) -> list[Row]:
    """Return rows. A value that Python cannot represent makes only its own row invalid."""
    try:
        return [(values, None) for values in rows.to_pylist()]
    except Exception:  # noqa: BLE001 (pyarrow raises many kinds: then look for the row)
        if half := rows.num_rows // 2:
            return _records(rows.slice(0, half)) + _records(rows.slice(half))
    values = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        with contextlib.suppress(Exception):
            values[name] = column[0].as_py()
    return [(values, _VIOLATION)]
