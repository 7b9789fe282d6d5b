"""Applies stream maps: selects the maps of a stream, and maps its records.

The maps mean what they mean to the SDK, and a test compares them with the SDK's own. The
differences: an expression that fails rejects one record and does not end the run; a mapped stream
needs no `__key_properties__`, and cannot have an `__alias__`; and a plan says whether a map names
the stream at all, so that a misspelled name does not send a whole table.
"""

from __future__ import annotations

import fnmatch
import types
from collections.abc import Collection, Mapping
from typing import Any

import simpleeval

from target_liveintent.conversions import COLUMNS
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import (
    FILTER,
    Expression,
    MappingFailedError,
    StreamPlan,
)
from target_liveintent.mapping.expressions import Compiler
from target_liveintent.mapping.map_checks import unknown_read
from target_liveintent.mapping.presets import NULL_VALUES, expand_presets
from target_liveintent.settings import Settings


class _Map:
    """One entry of `stream_maps`, applied to one stream with the columns of the tap's schema.

    Args:
        name: The name under which the records are counted.
        options: The entry.
        compiler: Compiles its expressions; raises a `ValueError` if one cannot be used.
        columns: The columns.
        shipped: The columns whose expressions are a preset's.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        compiler: Compiler,
        columns: Collection[str],
        shipped: Collection[str],
    ) -> None:
        rows = {FILTER: options.get(FILTER), **options}
        rows.pop("__key_properties__", None)  # The keys are those of the tap.
        self._passes_others = rows.pop("__else__", ...) is ...
        self._name = name
        self._columns = columns
        self._dropped = {column for column, text in rows.items() if text in NULL_VALUES}
        self._expressions = {
            column: compiler.compile(column, text)
            for column, text in rows.items()
            if column not in self._dropped
        }
        for column in self._expressions.keys() & set(shipped):
            self._expressions[column] = self._expressions[column]._replace(reads=frozenset())
        passed = [one for one in columns if one not in self._dropped] if self._passes_others else []
        computed = [column for column in self._expressions if column != FILTER]
        needed = [expression.columns for expression in self._expressions.values()]
        known = [one for one in needed if one is not None]
        passed_on: frozenset[str] = COLUMNS if self._passes_others else frozenset()
        self.plan = StreamPlan(
            name,
            named=True,
            properties=tuple(dict.fromkeys([*passed, *computed])),
            passes_others=self._passes_others,
            reads=passed_on.union(*known) if len(known) == len(needed) else None,
            transform=self._transform,
            origins=self._expressions,
            environment=compiler.environment,
        )

    def _transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Map one record.

        Raises:
            MappingFailedError: If one of the expressions fails.
            StreamMappingError: If an expression names a column that neither the record nor the
                tap's schema has.
        """
        row = dict(record) if self._passes_others else {}
        for column in self._dropped:
            row.pop(column, None)
        for column, expression in self._expressions.items():
            try:
                value = expression.compute(record)
            except Exception as failure:  # noqa: BLE001 (an expression may raise anything)
                raise self._failure(expression, failure, record) from None
            if column != FILTER:
                row[column] = value
            elif not value:
                return None
        return row or None

    def _failure(
        self, expression: Expression, failure: Exception, record: dict[str, Any]
    ) -> Exception:
        """Return the error for an expression that fails; it names the column that is absent."""
        kind, name = type(failure).__name__, _absent_name(failure, expression)
        if name is not None and name not in record:
            if name not in self._columns and name != "self":
                said = unknown_read(expression.column, (name,), 0, self._columns)
                return StreamMappingError(
                    f"the map of '{self._name}' has a mistake: {said} To read a column"
                    " that only some records have, use get('name')."
                )
            kind = "NameNotDefined"  # As the SDK calls it.
        return MappingFailedError(expression.column, kind, self._event_id(record))

    def _event_id(self, record: dict[str, Any]) -> Any:
        """Return the event ID that the map gives to a record; None if it gives none, or fails."""
        if (expression := self._expressions.get("event_id")) is None:
            passes = self._passes_others and "event_id" not in self._dropped
            return record.get("event_id") if passes else None
        try:
            return expression.compute(record)
        except Exception:  # noqa: BLE001 (an expression of the user may raise anything)
            return None


def _absent_name(failure: Exception, expression: Expression) -> str | None:
    """Return the name whose absence made an expression fail; None if another reason did."""
    if isinstance(failure, simpleeval.NameNotDefined):
        return str(failure.name)
    name = failure.args[0] if isinstance(failure, KeyError) else None
    is_read = name == "self" or any((name,) in group for group in expression.reads)
    return name if is_read else None


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
        properties = schema.get("properties", {})
        own = StreamPlan.without_map(stream, properties, named=not self._definitions)
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
                plan = _Map(counted_as, options, compiler, properties, shipped).plan
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
