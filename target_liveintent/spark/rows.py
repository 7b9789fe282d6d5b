"""Reads the rows of a DataFrame as records with values of Python.

The rows are records of a stream, or rows of the table of outcomes. A write of the table of outcomes
is a replay: it sends the records that were rejected.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.conversions.fields import COLUMNS
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import MapFinding, lacking_for_events
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.kinds import REPLAY_RUN, USUAL_RUN, RunKind
from target_liveintent.run.replay_converter import LETTER_COLUMNS, ReplayChoice, ReplayConverter
from target_liveintent.run.run import TICK
from target_liveintent.settings import Account, EventDefaults

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
SparkRow = tuple[dict[str, Any], str | None]
"""The values of a row by column, and what is wrong with the row; None if nothing is wrong."""
_OUTCOME_COLUMNS = ("outcome", "record")
"""The columns by which the program recognizes rows of the table of outcomes."""
_EVENT_COLUMNS = (*sorted(COLUMNS), *DELETION_COLUMNS)
ConvertRow = Callable[[dict[str, Any], str | None], Conversion | Rejection | None]
"""Converts both parts of a `SparkRow` to an event or a rejection; None if the row is left out."""
_decode_record = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class RowInput(NamedTuple):
    """How the rows of a DataFrame are read.

    Attributes:
        kind: The kind of the run that takes the rows.
        stream: The name of the stream; `DEAD_LETTERS` if rows come from the table of outcomes.
        keys: The names of the key properties.
        columns: The spelling of each needed column in the DataFrame, by its name in a record.
        problems: Sentences about what is wrong with the columns.
    """

    kind: RunKind
    stream: str
    keys: tuple[str, ...]
    columns: dict[str, str]
    problems: tuple[str, ...] = ()

    def lacking(self, defaults: EventDefaults) -> list[MapFinding]:
        """Return what the rows lack to give an event; nothing for rows of the table of outcomes."""
        if not self.kind.reads_source:
            return []
        plan = StreamPlan.without_map(self.stream, self.columns)
        return lacking_for_events(plan, {}, defaults)

    def converter(
        self,
        account: Account,
        events: EventDefaults,
        counts: StreamCounts,
        suppressions: Suppressions,
    ) -> ConvertRow:
        """Return a function that converts a row; note in `counts` which columns are mapped."""
        if self.kind.reads_source:
            stream = Stream(self.stream, {}, self.keys)
            plan = StreamPlan.without_map(self.stream, self.columns)
            counts.mapped |= plan.identifying
            return RecordConverter(stream, plan, events, suppressions).convert
        counts.mapped |= LETTER_COLUMNS
        letters = ReplayConverter(account, events, suppressions, ReplayChoice())

        def convert(row: dict[str, Any], _: str | None) -> Conversion | Rejection | None:
            if not row["record"]:  # The row does not say that a record was rejected.
                return None
            return letters.convert(_decode_record(row["record"]))

        return convert


def names_of(columns: Iterable[str], keys: Iterable[str] = ()) -> dict[str, str]:
    """Return the spelling of each column in the DataFrame, by its name in a record.

    Case does not matter: Spark takes `VALUE` and `value` for the same column, and Snowflake writes
    names in capitals.
    """
    known = {name.lower(): name for name in (*keys, *_EVENT_COLUMNS)}
    return {known.get(name.lower(), name): name for name in columns}


def input_of(columns: Sequence[str], stream: str, keys: str) -> RowInput:
    """Return how rows with these columns are read.

    Args:
        columns: The columns of the DataFrame.
        stream: The name of the stream, if the rows are its records.
        keys: The names of the key properties, separated by commas.
    """
    key_names = tuple(names_of(filter(None, map(str.strip, keys.split(",")))))
    if {*_OUTCOME_COLUMNS} <= {name.lower() for name in columns}:
        names = names_of(columns, _OUTCOME_COLUMNS)
        wanted: Iterable[str] = _OUTCOME_COLUMNS
        kind, stream, problems = REPLAY_RUN, DEAD_LETTERS, [*_equal_columns(columns, names)]
    else:
        names = names_of(columns, key_names)
        # Without keys, event IDs may be derived from all columns.
        wanted = (*_EVENT_COLUMNS, *key_names) if key_names else names
        kind, problems = USUAL_RUN, [*_equal_columns(columns, names)]
        if unknown := {*key_names} - {*names}:
            names_given = ", ".join(sorted(unknown))
            problems.append(
                f"option 'key_properties' names columns that the DataFrame lacks: {names_given}"
            )
    needed = {name: given for name, given in names.items() if name in wanted}
    return RowInput(kind, stream, key_names, needed, tuple(problems))


def _equal_columns(columns: Sequence[str], names: dict[str, str]) -> Iterator[str]:
    """Yield a problem if the names of columns differ only in upper and lower case."""
    kept = {name.lower(): name for name in names.values()}
    for name in sorted({*columns} - {*names.values()}):
        yield (
            f"the columns '{name}' and '{kept[name.lower()]}' differ only in upper and lower case:"
            " rename or drop one of them"
        )


def rows_of(batch: pa.RecordBatch, columns: Mapping[str, str]) -> Iterator[SparkRow]:
    """Yield the rows of a batch. A value that Python cannot represent makes its row invalid.

    `columns` has the spelling of each wanted column in the batch, by its name in a record.
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
    # For decimals, `to_pylist` takes three times as long as this, and for times ten times as long.
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
    """Yield batches while a thread reads the next batch; raise the exceptions of this thread.

    A wait for a batch may take an hour, so this function calls `tick` once a second meanwhile.
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
