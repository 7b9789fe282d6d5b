"""What the rows of a DataFrame are: records of a stream, or rows of the table of outcomes.

A write of the table of outcomes is a replay: it sends the rows whose records were rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.conversions.fields import COLUMNS
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import MapFinding, lacking_for_events
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.kinds import REPLAY_RUN, USUAL_RUN, RunKind
from target_liveintent.run.replay import LETTER_COLUMNS, ReplayChoice, ReplayConverter
from target_liveintent.settings import EventDefaults, Settings

_OUTCOME_COLUMNS = ("outcome", "record")
"""By these columns, rows of the table of outcomes are recognized."""
_EVENT_COLUMNS = (*sorted(COLUMNS), *DELETION_COLUMNS)
ConvertRow = Callable[[dict[str, Any], str | None], Conversion | Rejection | None]
"""Converts the values of a row, given what is wrong with the row, if anything."""
_decode_record = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class RowInput(NamedTuple):
    """What the rows of a DataFrame are.

    Attributes:
        kind: The kind of the run that takes the rows.
        stream: The name of the stream; `DEAD_LETTERS` if rows come from the table of outcomes.
        keys: The key properties.
        columns: The columns that are needed: how the DataFrame spells each, by its own name.
        problems: What is wrong with the columns, in words.
    """

    kind: RunKind
    stream: str
    keys: tuple[str, ...]
    columns: dict[str, str]
    problems: tuple[str, ...] = ()

    def lacking(self, defaults: EventDefaults) -> list[MapFinding]:
        """Return what the columns lack to give an event."""
        if not self.kind.reads_source:
            return []
        plan = StreamPlan.without_map(self.stream, self.columns)
        return lacking_for_events(plan, {}, defaults)

    def converter(
        self, settings: Settings, counts: StreamCounts, suppressions: Suppressions
    ) -> ConvertRow:
        """Return what converts the rows; `counts` learns which columns there are."""
        if self.kind.reads_source:
            stream = Stream(self.stream, {}, self.keys)
            plan = StreamPlan.without_map(self.stream, self.columns)
            counts.mapped |= plan.identifying
            return RecordConverter(stream, plan, settings.events, suppressions).convert
        counts.mapped |= LETTER_COLUMNS
        letters = ReplayConverter(settings, suppressions, ReplayChoice())

        def convert(row: dict[str, Any], _: str | None) -> Conversion | Rejection | None:
            if not row["record"]:  # The row does not say that a record was rejected.
                return None
            return letters.convert(_decode_record(row["record"]))

        return convert


def names_of(columns: Iterable[str], keys: Iterable[str] = ()) -> dict[str, str]:
    """Return columns by the names that a record has for them; upper and lower case do not matter.

    Spark takes `VALUE` and `value` for the same column, and Snowflake writes names in capitals.
    """
    known = {name.lower(): name for name in (*keys, *_EVENT_COLUMNS)}
    return {known.get(name.lower(), name): name for name in columns}


def input_of(columns: Sequence[str], stream: str, keys: str) -> RowInput:
    """Return what the rows with these columns are.

    Args:
        columns: The columns of the DataFrame.
        stream: The name of the stream, if the rows are its records.
        keys: The names of the key properties, with commas between them.
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
            problems.append(f"option 'key_properties' names unknown columns: {', '.join(unknown)}")
    needed = {name: given for name, given in names.items() if name in wanted}
    return RowInput(kind, stream, key_names, needed, tuple(problems))


def _equal_columns(columns: Sequence[str], names: dict[str, str]) -> Iterator[str]:
    """Yield a problem if names of columns are equal except for upper and lower case."""
    if same := {*columns} - {*names.values()}:
        yield f"columns differ from others only in upper and lower case: {', '.join(same)}"
