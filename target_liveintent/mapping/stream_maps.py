"""Makes plans from the stream maps of the configuration, and applies the plans to records.

A test shows that the maps work as in the SDK, with these differences:

- If an expression fails for a record, the program rejects the record and the run continues.
- The bare name of a helper always means a column.
- Each expression reads the record as the tap sent it, even if another expression changes it.
- A plan says whether the configuration names the stream. If a named stream cannot give events, the
  run fails. If another stream cannot give events, the run skips the stream.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import simpleeval

from target_liveintent.conversions.fields import COLUMNS, IDENTIFYING
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.mapping.expressions import FILTER, Compiler, Expression, TapRecord
from target_liveintent.mapping.presets import NULL_VALUES, preset_columns

DELETION_COLUMNS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
"""The columns in which log-based taps say when a row was deleted in the source."""
MELTANO_TEST_STREAM = "meltano_test_stream"
"""The stream that `meltano config test target-liveintent` sends. A run accepts this
stream, but makes no events from its records."""


class Stream(NamedTuple):
    """A stream as the SCHEMA of a tap describes it.

    Attributes:
        schema: The JSON schema of the records, which always has `properties`.
        keys: The names of the key properties.
    """

    name: str
    schema: dict[str, Any]
    keys: tuple[str, ...]


class MappingFailed(NamedTuple):
    """The failure of one expression of a map for one record.

    Attributes:
        column: The column that the expression computes, or `__filter__`.
        kind: The class name of the exception, whose text could quote the record.
        event_id: The event ID that the map gives to the record; None if it gives no ID.
    """

    column: str
    kind: str
    event_id: Any


class Computed(NamedTuple):
    """The value that an expression of a map gives for a record.

    Attributes:
        column: The column that the expression computes, or `__filter__`.
        failure: The class name of the exception if the expression failed, and else None.
    """

    column: str
    value: Any = None
    failure: str | None = None


class StreamPlan(NamedTuple):
    """The plan that says how to map the records of a stream. The default plan drops all records.

    Attributes:
        stream: The name under which the records are counted.
        named: Whether the configuration names the stream, or contains no maps.
        is_used: Whether the records are used; False if the plan drops all records.
        properties: The columns of a mapped record.
        dropped: The columns that the map drops; None if it drops all columns that it does not set.
        reads: The columns of a record that the map may need; None if it may need any column.
        origins: The expression of each column that the map sets, and of `__filter__`.
        of_preset: The columns whose expressions come from a preset.
        keys: The columns of a mapped record from which event IDs are derived. If this is None, they
            are derived from the tap's key properties, which are read before mapping.
        environment: The values of the names in the code of the expressions.
        deletion_columns: The columns that mark a deleted row, except columns that the map reads.
        consent_columns: The tap's columns for consent that a mapped record does not contain. If the
            map reads or sets the consent, this is empty.
    """

    stream: str
    named: bool
    is_used: bool = False
    properties: tuple[str, ...] = ()
    dropped: frozenset[str] | None = None
    reads: frozenset[str] | None = frozenset()
    origins: Mapping[str, Expression] = types.MappingProxyType({})
    of_preset: frozenset[str] = frozenset()
    keys: tuple[str, ...] | None = None
    environment: Mapping[str, Any] = types.MappingProxyType({})
    deletion_columns: tuple[str, ...] = DELETION_COLUMNS
    consent_columns: tuple[str, ...] = ()

    @property
    def undeclared(self) -> frozenset[str]:
        """The columns of events that `properties` lacks, but that the map passes on if present."""
        return frozenset() if self.dropped is None else COLUMNS - self.dropped - {*self.properties}

    @property
    def identifying(self) -> frozenset[str]:
        """The columns of a mapped record that can identify the person."""
        return frozenset(IDENTIFYING).intersection(self.properties)

    def gives_ids_of(self, tap_keys: Collection[str]) -> tuple[tuple[str, str], ...]:
        """Return the columns from which event IDs are made, each with its expression.

        Two plans of a stream give a record the same event ID if these values are equal.
        `tap_keys` are the key properties of the stream that last.
        """
        names: Collection[str] = self.keys or (() if tap_keys else self.properties)
        if "event_id" in self.properties:
            names = ("event_id", *names)
        return tuple((name, self._expression_of(name)) for name in sorted(names))

    def _expression_of(self, column: str) -> str:
        origin = self.origins.get(column)
        if origin is None:
            return column
        return origin.text.replace("__stream_name__", repr(self.stream))

    @classmethod
    def without_map(cls, stream: str, properties: Iterable[str]) -> StreamPlan:
        """Return the plan of a stream whose records are used without a map."""
        columns = tuple(properties)
        _, *consent_in_capitals = _spellings("consent", columns)
        return cls(
            stream,
            named=True,
            is_used=True,
            properties=columns,
            dropped=frozenset(),
            reads=COLUMNS,
            deletion_columns=_deletion_columns(columns, read=()),
            consent_columns=tuple(consent_in_capitals),
        )

    def transform(self, record: TapRecord) -> TapRecord | MappingFailed | None:
        """Return the mapped record, or the failure of an expression.

        The result is None if the filter drops the record, or if the map leaves no column.
        """
        return self.mapped(record, self.computed(record))

    def computed(self, record: TapRecord) -> Iterator[Computed]:
        """Yield the value of each expression of the map, in their order.

        The last one is a failure, or the filter if it drops the record.
        """
        for column, expression in self.origins.items():
            try:
                value = expression.compute(record)
                value = bool(value) if column == FILTER else value
            except Exception as failure:  # noqa: BLE001 (an expression may raise anything)
                yield Computed(column, failure=type(failure).__name__)
                return
            yield Computed(column, value)
            if column == FILTER and not value:
                return

    def mapped(
        self, record: TapRecord, computed: Iterable[Computed]
    ) -> TapRecord | MappingFailed | None:
        """Return the same as `transform`, given what `computed` yields for the record."""
        row = self._passed_on(record)
        for column, value, failure in computed:
            if failure is not None:
                return MappingFailed(column, failure, self._event_id(column, row, record))
            if column != FILTER:
                row[column] = value
            elif not value:
                return None
        return row if row or not self.origins else None

    def value_of(self, column: str, record: TapRecord) -> Any:
        """Return the value of one column of a mapped record, whatever the filter says.

        The result is None if the map gives no value, or if the expression fails.
        """
        if column not in self.origins:
            return self._passed_on(record).get(column)
        try:
            return self.origins[column].compute(record)
        except Exception:  # noqa: BLE001 (an expression may raise anything)
            return None

    def _passed_on(self, record: TapRecord) -> TapRecord:
        """Return the columns of a record that the map passes on unchanged."""
        dropped = self.dropped
        if dropped is None:
            return {}
        return {column: value for column, value in record.items() if column not in dropped}

    def _event_id(self, failed: str, row: TapRecord, record: TapRecord) -> Any:
        """Return the event ID that the map gives to a record although another expression failed.

        The result is None if the map gives no ID, or if the expression of `event_id` fails.
        """
        order = [*self.origins]
        if "event_id" not in order or order.index("event_id") < order.index(failed):
            return row.get("event_id")
        return self.value_of("event_id", record)


class StreamMaps:
    """The maps of the configuration. The arguments are the settings of the same names.

    Each column of the user's own map takes precedence over the same column of the preset. A null in
    the user's map removes the column, or the filter, of the preset.

    Attributes:
        presets: The name of the preset for each stream that uses a preset.
    """

    def __init__(
        self,
        stream_maps: Mapping[str, Any],
        stream_map_config: Mapping[str, Any],
        presets: Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        self.presets = presets
        self._config = stream_map_config
        self._drops_others = "__else__" in stream_maps
        self._definitions = {**stream_maps, **{one: stream_maps.get(one, {}) for one in presets}}
        self._definitions.pop("__else__", None)

    @property
    def names(self) -> list[str]:
        """The streams, and the patterns of streams, that the maps and presets name."""
        return list(dict.fromkeys(map(self._source, self._definitions)))

    @property
    def single_keys(self) -> list[str]:
        """The columns from which alone a map derives event IDs (`__key_properties__`)."""
        return [
            definition["__key_properties__"][0]
            for definition in self._definitions.values()
            if isinstance(definition, dict) and len(definition.get("__key_properties__") or ()) == 1
        ]

    @property
    def constant_pixels(self) -> list[int]:
        """The whole numbers in the expressions of `pixel_id`, which are probably pixels."""
        expressions = [
            definition.get("pixel_id")
            for definition in self._definitions.values()
            if isinstance(definition, dict)
        ]
        numbers = re.findall(r"\d{1,18}", " ".join(filter(None, map(str, expressions))), re.ASCII)
        return [*map(int, numbers)]

    def _source(self, name: str) -> str:
        """Return the stream, or the pattern of streams, to which an entry applies."""
        definition = self._definitions[name]
        source: str = definition.get("__source__", name) if isinstance(definition, dict) else name
        return source

    def plans(
        self, stream: str, schema: Mapping[str, Any], keys: Collection[str] = ()
    ) -> list[StreamPlan]:
        """Return the plan of a stream, and a plan for each map that copies it with `__source__`.

        Args:
            stream: The tap's name for the stream.
            schema: The JSON schema of the stream's records.
            keys: The names of the stream's key properties.

        Raises:
            ConfigurationError: If `__key_properties__` names a column that mapped records lack.
            StreamMappingError: If a map cannot be used for another reason.
        """
        columns = schema.get("properties", {})
        own = StreamPlan.without_map(stream, columns)._replace(named=not self._definitions)
        if self._drops_others:
            own = StreamPlan(stream, named=False)
        copies = []
        for name, definition in self._definitions.items():
            source = self._source(name)
            if stream != source and not fnmatch.fnmatch(stream, source):
                continue
            if definition in NULL_VALUES:
                own = StreamPlan(stream, named=True)
                continue
            plan = self._checked_plan(name, stream, columns, keys)
            if "__source__" in definition:
                copies.append(plan)
            else:
                own = plan
        return [own, *copies]

    def _checked_plan(
        self, name: str, stream: str, columns: Collection[str], keys: Collection[str]
    ) -> StreamPlan:
        try:
            return self._plan(name, stream, columns, keys)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 (Python's parser raises many kinds of errors)
            msg = f"the stream map of '{stream}' cannot be used: {error}"
            raise StreamMappingError(msg) from None

    def _plan(
        self, name: str, stream: str, columns: Collection[str], tap_keys: Collection[str]
    ) -> StreamPlan:
        """Return the plan of an entry for a stream with these columns and key properties."""
        own: Mapping[str, Any] = self._definitions[name]
        preset = preset_columns(self.presets[name]) if name in self.presets else {}
        rows = {FILTER: None, **preset, **own}
        keys = rows.pop("__key_properties__", None)
        source = rows.pop("__source__", None)
        passes_others = rows.pop("__else__", ...) is ...
        counted_as = name if name != source else stream
        if source is None:
            counted_as = _alias(rows.pop("__alias__", None), stream)
        values = {"__stream_name__": counted_as, "__original_stream_name__": stream}
        compiler = Compiler({"config": self._config, **values})
        dropped = frozenset(column for column, text in rows.items() if text in NULL_VALUES)
        kept = [column for column in rows if column not in dropped]
        origins = {column: compiler.compile(column, rows[column]) for column in kept}
        passed_on = [column for column in columns if column not in dropped]
        properties = [
            *(passed_on if passes_others else ()),
            *(column for column in origins if column != FILTER),
        ]
        if keys is not None:
            _check_keys(counted_as, keys, properties)
        read = _certainly_read(origins)
        return StreamPlan(
            counted_as,
            named=True,
            is_used=True,
            properties=tuple(dict.fromkeys(properties)),
            dropped=dropped if passes_others else None,
            reads=_needed_columns(origins, passes_others=passes_others),
            origins=origins,
            of_preset=frozenset(preset).difference(own),
            keys=None if keys is None or {*keys} == {*tap_keys} else tuple(keys),
            environment=compiler.environment,
            deletion_columns=_deletion_columns(columns, read),
            consent_columns=_consent_columns(columns, rows, read, passes_others=passes_others),
        )


def _without(names: Collection[str], columns: Iterable[str]) -> list[str]:
    return [column for column in columns if column not in names]


def _needed_columns(
    origins: Mapping[str, Expression], *, passes_others: bool
) -> frozenset[str] | None:
    """Return the columns of a record that a map may need; None if it may need any column."""
    needed: set[str | None] = {*COLUMNS} if passes_others else set()
    needed.update(*(expression.columns for expression in origins.values()))
    return None if None in needed else frozenset(filter(None, needed))


def _certainly_read(origins: Mapping[str, Expression]) -> frozenset[str]:
    """Return the columns of a record that a map reads under fixed names."""
    readings = (expression.reading for expression in origins.values())
    return frozenset(path[0] for reading in readings for path in reading.paths.values())


def _consent_columns(
    columns: Collection[str],
    mapped: Collection[str],
    read: frozenset[str],
    *,
    passes_others: bool,
) -> tuple[str, ...]:
    """Return the tap's columns for consent that a mapped record does not contain.

    If the map itself reads or sets the consent, the result is empty.
    """
    spellings = _spellings("consent", columns)
    if "consent" in mapped or not read.isdisjoint(spellings):
        return ()
    # If the map passes other columns on, a mapped record contains `consent` (but not `CONSENT`).
    return spellings[1:] if passes_others else spellings


def _spellings(name: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return a lower-case name, and the columns that differ from the name only in case.

    For example, Snowflake writes the names of columns in capitals.
    """
    return name, *(column for column in columns if column != name and column.lower() == name)


def _deletion_columns(columns: Collection[str], read: Collection[str]) -> tuple[str, ...]:
    """Return the columns that mark a deleted row, except columns that the map reads."""
    known = itertools.chain(*(_spellings(name, columns) for name in DELETION_COLUMNS))
    return tuple(column for column in known if column not in read)


def _alias(expression: str | None, stream: str) -> str:
    """Return the name under which a stream is counted: the value of `__alias__`, as in the SDK.

    If the expression contains an unknown name, its text counts as the name: `web_orders`.

    Raises:
        ValueError: If the result is not a printable name.
    """
    if expression is None:
        return stream
    evaluator = simpleeval.EvalWithCompoundTypes(names={"__stream_name__": stream})
    try:
        alias = evaluator.eval(expression)
    except simpleeval.NameNotDefined:
        alias = expression
    if not isinstance(alias, str) or not alias or not alias.isprintable():
        msg = "__alias__ must be a name, or a Python expression that gives a name"
        raise ValueError(msg)
    return alias


def _check_keys(stream: str, keys: Iterable[str], properties: Collection[str]) -> None:
    for key in keys:
        if key not in properties:
            msg = (
                f"'__key_properties__' in the map of '{stream}' names '{key}', but a mapped record"
                f" has no such column: map '{key}' to an expression, or remove the name from the"
                " list"
            )
            raise ConfigurationError(msg)
