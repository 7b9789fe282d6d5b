"""Stream maps: which maps a stream has, and what they make of its records.

The maps mean what they mean to the SDK, and a test compares them with the SDK's own. The
differences: an expression that fails rejects one record and does not end the run; a mapped stream
needs no `__key_properties__`, and cannot have an `__alias__`; and a plan says whether a map names
the stream at all, so that a misspelled name does not send a whole table.
"""

from __future__ import annotations

import fnmatch
import re
import time
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import COLUMNS, unix_time
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.conversions.usual import usual_way
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.expressions import FILTER, Compiler, Expression
from target_liveintent.mapping.functions import coalesce
from target_liveintent.mapping.presets import NULL_VALUES, expand_presets
from target_liveintent.settings import Settings

DELETION_COLUMNS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
"""The columns in which log-based taps say when a row was deleted in the source."""
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


class StreamPlan(NamedTuple):
    """What is done with the records of a stream. By default, they are dropped.

    Attributes:
        stream: The name under which the records are counted.
        named: Whether the user's configuration names the stream, or has no maps at all.
        is_used: Whether records of it are mapped at all.
        properties: The columns of a mapped record.
        passes_others: Whether columns that the map does not name are passed on.
        reads: The columns of a record that the map needs; None for all.
        origins: What the map computes each column from; the filter comes first if there is one.
        dropped: The columns that the map drops.
        environment: What names in the code of the expressions mean.
    """

    stream: str
    named: bool
    is_used: bool = False
    properties: tuple[str, ...] = ()
    passes_others: bool = False
    reads: frozenset[str] | None = frozenset()
    origins: Mapping[str, Expression] = types.MappingProxyType({})
    dropped: frozenset[str] = frozenset()
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
        return cls(
            stream, named, is_used=True, properties=columns, passes_others=True, reads=COLUMNS
        )

    def transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Map one record; None if the map's filter drops it, or the map leaves nothing of it.

        Raises:
            MappingFailedError: If one of the expressions fails.
        """
        row = dict(record) if self.passes_others else {}
        for column in self.dropped:
            row.pop(column, None)
        for column, expression in self.origins.items():
            try:
                value = expression.compute(record)
            except Exception as failure:  # noqa: BLE001 (an expression may raise anything)
                kind = type(failure).__name__
                raise MappingFailedError(column, kind, self._event_id(record)) from None
            if column != FILTER:
                row[column] = value
            elif not value:
                return None
        return row if row or not self.origins else None

    def _event_id(self, record: dict[str, Any]) -> Any:
        """Return the event ID that the map gives to a record; None if it gives none, or fails."""
        if (expression := self.origins.get("event_id")) is None:
            passes = self.passes_others and "event_id" not in self.dropped
            return record.get("event_id") if passes else None
        try:
            return expression.compute(record)
        except Exception:  # noqa: BLE001 (an expression of the user may raise anything)
            return None


def _plan_of(
    name: str,
    options: Mapping[str, Any],
    compiler: Compiler,
    columns: Iterable[str],
    shipped: Collection[str],
) -> StreamPlan:
    """Return the plan of one entry of `stream_maps`, applied to one stream.

    Args:
        name: The name under which the records are counted.
        options: The entry.
        compiler: Compiles its expressions.
        columns: The columns of the tap's schema.
        shipped: The columns whose expressions are a preset's.
    """
    rows = {FILTER: options.get(FILTER), **options}
    rows.pop("__key_properties__", None)  # The keys are those of the tap.
    passes_others = rows.pop("__else__", ...) is ...
    dropped = frozenset(column for column, text in rows.items() if text in NULL_VALUES)
    origins = {}
    read: set[str | None] = {*COLUMNS} if passes_others else set()
    for column, text in rows.items():
        if column in dropped:
            continue
        expression = compiler.compile(column, text)
        read |= {None} if expression.columns is None else expression.columns
        unchecked = expression._replace(reads=frozenset())
        origins[column] = unchecked if column in shipped else expression
    properties = [column for column in columns if passes_others and column not in dropped]
    properties += [column for column in origins if column != FILTER]
    return StreamPlan(
        name,
        named=True,
        is_used=True,
        properties=tuple(dict.fromkeys(properties)),
        passes_others=passes_others,
        reads=None if None in read else frozenset(filter(None, read)),
        origins=origins,
        dropped=dropped,
        environment=compiler.environment,
    )


class StreamMaps:
    """The maps of the configuration.

    Args:
        definitions: The setting `stream_maps`.
        config: The setting `stream_map_config`.
        shipped: The columns of each stream whose expressions are a preset's.
    """

    def __init__(
        self,
        definitions: Mapping[str, Any],
        config: Mapping[str, Any],
        shipped: Mapping[str, Collection[str]] = types.MappingProxyType({}),
    ) -> None:
        self._definitions = {name: one for name, one in definitions.items() if name != "__else__"}
        self._drops_others = "__else__" in definitions
        self._config = config
        self._shipped = shipped

    @property
    def names(self) -> list[str]:
        """The streams that the maps name, including patterns."""
        sources = (
            definition.get("__source__", name) if isinstance(definition, dict) else name
            for name, definition in self._definitions.items()
        )
        return list(dict.fromkeys(sources))

    def plans(self, stream: str, schema: dict[str, Any]) -> list[StreamPlan]:
        """Return the plan of a stream, followed by one plan for each of its `__source__` copies.

        Raises:
            StreamMappingError: If a map does not fit.
        """
        columns = schema.get("properties", {})
        own = StreamPlan.without_map(stream, columns, named=not self._definitions)
        if self._drops_others:
            own = StreamPlan(stream, named=False)
        copies = []
        for name, definition in self._definitions.items():
            options = dict(definition) if isinstance(definition, dict) else {}
            source = options.pop("__source__", None)
            if stream != (source or name) and not fnmatch.fnmatch(stream, source or name):
                continue
            if definition in NULL_VALUES:
                own = StreamPlan(stream, named=True)
                continue
            counted_as = stream if source is None else name
            names = {"__stream_name__": counted_as, "__original_stream_name__": stream}
            compiler = Compiler({"config": self._config, **names})
            shipped = self._shipped.get(name, ())
            try:
                plan = _plan_of(counted_as, options, compiler, columns, shipped)
            except Exception as error:  # noqa: BLE001 (Python's parser raises many kinds)
                msg = f"the stream map of '{stream}' cannot be used: {error}"
                raise StreamMappingError(msg) from None
            if source is None:
                own = plan
            else:
                copies.append(plan)
        return [own, *copies]


def stream_maps_of(settings: Settings) -> StreamMaps:
    """Return the maps of the settings, including those of their presets."""
    maps, shipped = expand_presets(settings.presets, settings.stream_maps)
    return StreamMaps(maps, settings.stream_map_config, shipped)


class RecordConverter:
    """Converts the records of one stream, and counts in `left_out` the columns that it cannot use.

    The map comes first, and then the event builder.
    """

    def __init__(
        self,
        plan: StreamPlan,
        builder: EventBuilder,
        left_out: dict[str, int],
        now: Callable[[], float] = time.time,
    ) -> None:
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
            mapped = self._transform(record) or {}
        except MappingFailedError:
            return None
        event_time = unix_time(mapped.get("event_time"), self._builder.defaults.zone)
        return event_time if isinstance(event_time, int) else None

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
