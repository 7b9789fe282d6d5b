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

from target_liveintent.conversions import COLUMNS
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import FILTER, MappingFailedError, StreamPlan
from target_liveintent.mapping.expressions import Compiler
from target_liveintent.mapping.presets import NULL_VALUES, expand_presets
from target_liveintent.settings import Settings


class _Map:
    """One entry of `stream_maps`, applied to one stream.

    Args:
        name: The name under which the records are counted.
        options: The entry.
        compiler: Compiles its expressions; raises a `ValueError` if one cannot be used.
        columns: The columns of the tap's schema.
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
        self._dropped = {column for column, text in rows.items() if text in NULL_VALUES}
        self._expressions = {
            column: compiler.compile(column, text)
            for column, text in rows.items()
            if column not in self._dropped
        }
        passed = columns if self._passes_others else ()
        properties = [column for column in passed if column not in self._dropped]
        read: set[str | None] = {*COLUMNS} if self._passes_others else set()
        for column, expression in self._expressions.items():
            read |= {None} if expression.columns is None else expression.columns
            if column in shipped:
                self._expressions[column] = expression._replace(reads=frozenset())
        properties += [column for column in self._expressions if column != FILTER]
        self.plan = StreamPlan(
            name,
            named=True,
            properties=tuple(dict.fromkeys(properties)),
            passes_others=self._passes_others,
            reads=None if None in read else frozenset(filter(None, read)),
            transform=self._transform,
            origins=self._expressions,
            environment=compiler.environment,
        )

    def _transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Map one record; raises a `MappingFailedError` if one of the expressions fails."""
        row = dict(record) if self._passes_others else {}
        for column in self._dropped:
            row.pop(column, None)
        for column, expression in self._expressions.items():
            try:
                value = expression.compute(record)
            except Exception as failure:  # noqa: BLE001 (an expression may raise anything)
                kind = type(failure).__name__
                raise MappingFailedError(column, kind, self._event_id(record)) from None
            if column != FILTER:
                row[column] = value
            elif not value:
                return None
        return row or None

    def _event_id(self, record: dict[str, Any]) -> Any:
        """Return the event ID that the map gives to a record; None if it gives none, or fails."""
        if (expression := self._expressions.get("event_id")) is None:
            passes = self._passes_others and "event_id" not in self._dropped
            return record.get("event_id") if passes else None
        try:
            return expression.compute(record)
        except Exception:  # noqa: BLE001 (an expression of the user may raise anything)
            return None


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
                plan = _Map(counted_as, options, compiler, columns, shipped).plan
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
