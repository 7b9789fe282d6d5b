"""Converts a record of the tap to a conversion or a rejection: stream map, then event builder."""

from __future__ import annotations

import re
import time
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from target_liveintent.conversions import (
    COLUMNS,
    Conversion,
    EventBuilder,
    Rejection,
    usual_way,
)
from target_liveintent.mapping.functions import coalesce

FILTER = "__filter__"
"""The key of a map's filter, among its columns."""
DELETION_COLUMNS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
"""The columns in which log-based taps say when a row was deleted in the source."""

Path = tuple[str, ...]
"""A column, and the steps into it. The empty path is the whole record."""
MELTANO_TEST_STREAM = "meltano_test_stream"
"""The stream that `meltano config test target-liveintent` sends. It is read, and never sent on."""


class Stream(NamedTuple):
    """A stream as a tap describes it: its JSON schema with `properties`, its key properties."""

    name: str
    schema: dict[str, Any]
    keys: tuple[str, ...]


class MappingFailedError(Exception):
    """An expression failed for one record, for a column or for `__filter__`.

    `kind` is the name of the exception. Its text could hold what is in the record. `event_id` is
    the ID that the map gives to the event, if this expression does not fail.
    """

    def __init__(self, column: str, kind: str, event_id: Any = None) -> None:
        super().__init__(column, kind)
        self.column = column
        self.kind = kind
        self.event_id = event_id


class Expression(NamedTuple):
    """An expression of a map.

    Attributes:
        column: The column that it computes, or `__filter__`.
        reads: What it reads: groups of paths, and of each group it needs one. The paths within a
            `coalesce` or an `or` are one group; any other path is a group of its own. Empty for a
            preset's expression, which may read what not every source has.
        compute: Computes its value for a record.
        code: It, as Python code that reads `record`.
        columns: The columns of a record that it needs; None if that is not known.
        names: Those of them that it reads by their names, so that it fails without them.
    """

    column: str
    text: str
    reads: frozenset[frozenset[Path]]
    compute: Callable[[dict[str, Any]], Any]
    code: str
    columns: frozenset[str] | None = frozenset()
    names: frozenset[str] = frozenset()


class StreamPlan(NamedTuple):
    """What is done with the records of a stream. By default, they are dropped.

    Attributes:
        stream: The name under which the records are counted.
        named: Whether the user's configuration names the stream, or has no maps at all.
        properties: The columns of a mapped record.
        passes_others: Whether columns that the map does not name are passed on.
        reads: The columns of a record that the map needs; None for all.
        transform: Returns the mapped record, or None if the map's filter drops it. The attribute
            itself is None if all records are dropped.
        origins: What the map computes each column from; the filter comes first if there is one.
        environment: What names in the code of these expressions mean.
    """

    stream: str
    named: bool
    properties: tuple[str, ...] = ()
    passes_others: bool = False
    reads: frozenset[str] | None = frozenset()
    transform: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    origins: Mapping[str, Expression] = types.MappingProxyType({})
    environment: Mapping[str, Any] = types.MappingProxyType({})

    @property
    def deletion_columns(self) -> tuple[str, ...]:
        """The columns that mark a deleted row, except those that the map reads."""
        texts = " ".join(origin.text for origin in self.origins.values())
        return tuple(name for name in DELETION_COLUMNS if not re.search(rf"\b{name}\b", texts))

    @classmethod
    def without_map(
        cls, stream: str, properties: Iterable[str], *, named: bool = True
    ) -> StreamPlan:
        """Return the plan of a stream whose records are used as they are."""
        columns = tuple(properties)
        return cls(stream, named, columns, passes_others=True, reads=COLUMNS, transform=dict)


class RecordConverter:
    """Converts the records of one stream, and counts in `left_out` the columns that it cannot use.

    Its plan must not drop all records.
    """

    def __init__(
        self,
        plan: StreamPlan,
        builder: EventBuilder,
        left_out: dict[str, int],
        now: Callable[[], float] = time.time,
    ) -> None:
        assert plan.transform is not None  # noqa: S101 (a dropped stream needs no converter)
        self._transform = plan.transform
        self._deletion_columns = plan.deletion_columns
        self._builder = builder
        self._left_out = left_out
        self._now = now
        code = {name: f"record.get({name!r})" for name in builder.columns}
        code |= {name: origin.code for name, origin in plan.origins.items()}
        test, empty = code.pop(FILTER, None), plan.deletion_columns
        self._usual = usual_way(builder, code, plan.environment, test=test, empty=empty)

    def event_time(self, record: dict[str, Any]) -> int | None:
        """Return the Unix time of a record's event; None if it has none, or will be dropped."""
        if any(_is_set(record.get(column)) for column in self._deletion_columns):
            return None
        try:
            mapped = self._transform(record)
        except MappingFailedError:
            return None
        return None if mapped is None else self._builder.event_time_of(mapped)

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert a record as the tap sent it; None if the map's filter drops it.

        A row that was deleted in the source is rejected before the map can hide that.

        Args:
            record: The record.
            violation: How the record breaks the tap's schema.
        """
        if violation is None:
            try:
                return self._usual(record, self._now(), self._left_out)
            except Exception:  # noqa: BLE001, S110 (the careful way says what is odd)
                pass
        return self.convert_carefully(record, violation)

    def convert_carefully(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert a record as `convert` does, but without the usual way."""
        for column in self._deletion_columns:
            if column in record and _is_set(record[column]):
                return self._builder.reject_unmapped(column, record, reason="deleted")
        try:
            mapped = self._transform(record)
        except MappingFailedError as failure:
            return self._builder.reject_unmapped(
                failure.column, record, failure.kind, event_id=failure.event_id
            )
        if mapped is None:
            return None
        return self._builder.build(mapped, record, self._now(), self._left_out, violation)


def _is_set(value: Any) -> bool:
    return coalesce(value) is not None and value is not False
