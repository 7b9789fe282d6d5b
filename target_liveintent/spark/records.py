"""Reads the rows of Arrow as records of plain Python.

What Python cannot hold, such as a time after the year 9999, and what no column takes, such as an
interval, is a violation of that record alone: it never raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from target_liveintent.conversions import FIELDS, READ_COLUMNS
from target_liveintent.spark.columns import Columns

_ROWS = 1_000
"""Rows that are in memory as Python objects at the same time."""
_TIMES = ("event_time", "eventTime")
"""The columns whose unreadable values the event builder names itself."""
_PATHS = [field.path for field in FIELDS if "." in field.wire_name]
_WITHIN = {
    outer: {inner.lower(): inner for first, *rest in _PATHS if first == outer for inner in rest}
    for outer, *_ in _PATHS
}
"""The fields of each object of an event, by their names in lower case."""
_UNDERSTOOD = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating),
    *(pa.types.is_decimal, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_timestamp, pa.types.is_date),
)


class RowRecord(NamedTuple):
    """A row.

    Attributes:
        values: Its values by column.
        violation: What is wrong with it as a whole, in words without values; None if nothing is.
    """

    values: dict[str, Any]
    violation: str | None = None


def records_of(batch: pa.RecordBatch, columns: Columns) -> Iterator[list[RowRecord]]:
    """Yield the rows of a batch, some at a time, with the columns that are wanted."""
    chosen = _renamed(batch, columns)
    kinds = {field.name: field.type for field in chosen.schema if field.name in READ_COLUMNS}
    foreign = {name: str(kind) for name, kind in kinds.items() if not _is_understood(kind)}
    for start in range(0, chosen.num_rows, _ROWS):
        rows = _rows(chosen.slice(start, _ROWS))
        yield [_checked(row, foreign) for row in rows] if foreign else rows


def _renamed(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Return the columns of an Arrow batch that are needed, under the names of a record."""
    batch = batch.select(list(columns.given)).rename_columns(list(columns.names))
    for number, name in enumerate(columns.names):
        column = batch.column(number)
        is_object = name in _WITHIN and pa.types.is_struct(column.type)
        names = [field.name for field in column.type] if is_object else []
        wanted = [_WITHIN[name].get(one.lower(), one) for one in names]
        if wanted != names:
            batch = batch.set_column(number, name, _with_fields(column, wanted))
    return batch


def _with_fields(structs: Any, names: Sequence[str]) -> Any:
    """Return structs whose fields have other names."""
    fields = [field.with_name(name) for field, name in zip(structs.type, names, strict=True)]
    parts = [structs.field(number) for number in range(len(fields))]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=structs.is_null())


def _checked(row: RowRecord, foreign: dict[str, str]) -> RowRecord:
    """Return a row with what is wrong with it if it has a value of a type that no column takes."""
    for name, kind in foreign.items():
        if row.violation is None and row.values[name] is not None:
            return row._replace(violation=f"column {name}: no event column accepts the type {kind}")
    return row


def _rows(batch: pa.RecordBatch) -> list[RowRecord]:
    try:
        return [RowRecord(row) for row in _in_utc(batch).to_pylist()]
    except Exception:  # noqa: BLE001 (pyarrow raises many kinds: one value at a time, then)
        columns = {name: _values(batch.column(name)) for name in batch.schema.names}
    return [
        _row({name: values[row] for name, values in columns.items()})
        for row in range(batch.num_rows)
    ]


class _Unreadable(NamedTuple):
    """A value that Python cannot hold, as text."""

    text: str
    kind: str


def _row(values: dict[str, Any]) -> RowRecord:
    violation = None
    for name, value in values.items():
        if isinstance(value, _Unreadable):
            values[name] = value.text
            if name not in _TIMES:
                violation = f"column {name}: Python cannot represent this {value.kind}"
    return RowRecord(values, violation)


def _values(column: Any) -> list[Any]:
    """Return the values of a column, those that Python cannot hold as `_Unreadable`."""
    column = column.cast(_utc(column.type))
    try:
        return list(column.to_pylist())
    except Exception:  # noqa: BLE001 (as above)
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception:  # noqa: BLE001 (as above)
        return _Unreadable(_text(scalar), str(scalar.type))


def _text(value: Any) -> str:
    try:
        return str(value.cast(pa.string()).as_py())
    except Exception:  # noqa: BLE001 (as above)
        return "unreadable"


def _is_understood(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return all(_is_understood(field.type) for field in kind)
    return any(is_kind(kind) for is_kind in _UNDERSTOOD)


def _in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with its times in UTC: event IDs must not depend on Spark's time zone."""
    wanted = pa.schema([field.with_type(_utc(field.type)) for field in batch.schema])
    return batch if wanted.equals(batch.schema) else batch.cast(wanted)


def _utc(kind: Any) -> Any:
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_utc(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_utc(kind.value_type)))
    return kind
