"""Applies the SDK's stream maps: selects the maps of a stream, and maps its records.

The expressions, their evaluator and the schema of a mapped stream are the SDK's. The differences:
reading the configuration does not change it; an expression that fails rejects one record and does
not end the run; a mapped stream needs no `__key_properties__`; and a plan says whether a map names
the stream at all, so that a misspelled name does not send a whole table.
"""

from __future__ import annotations

import ast
import copy
import fnmatch
import functools
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

import simpleeval
from singer_sdk.mapper import CustomStreamMap, PluginMapper

from target_liveintent.config import joined
from target_liveintent.conversions import READ_COLUMNS
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping import (
    FILTER,
    FUNCTIONS,
    GET,
    NULL_VALUES,
    ColumnOrigin,
    Compiled,
    Expression,
    MappingFailedError,
    StreamPlan,
    compile_row,
    expand_presets,
    getter,
    reads_of,
    shipped_columns,
    unknown_read,
)


class StreamMap(CustomStreamMap):
    """One entry of `stream_maps`, applied to one stream.

    The SDK's class checks the entry and computes the schema; this class maps the records.

    Args:
        kwargs: The arguments of the SDK's class.

    Attributes:
        passes_others: Whether columns that the map does not name are passed on.
        reads: The columns of a record that the map needs; None for all.
        origins: What the map computes each column from; the filter comes first if there is one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        definitions = dict(kwargs["map_transform"])
        definitions.pop("__key_properties__", None)
        self.passes_others = "__else__" not in definitions  # It can only be null, as in a column.
        rows = {FILTER: definitions.pop(FILTER, None), **definitions}
        texts = {column: text for column, text in rows.items() if text not in NULL_VALUES}
        self._dropped = definitions.keys() - texts
        self._values = {
            "config": self.map_config,
            "__stream_name__": self.stream_alias,
            "__original_stream_name__": kwargs["stream_name"],
        }
        self._expressions = [self._expression(column, text) for column, text in texts.items()]
        compiled = self._compiled(self._expressions)
        self._row, self.reads = compiled.run, compiled.reads
        self.code, self.environment = compiled.code, compiled.environment
        if self.passes_others and self.reads is not None:
            self.reads |= READ_COLUMNS
        other_names = self.expr_evaluator.functions.keys() | self._values
        self.origins = {
            e.column: ColumnOrigin(texts[e.column].strip(), reads_of(e.tree, other_names))
            for e in self._expressions
        }

    def _compiled(self, expressions: list[Expression]) -> Compiled:
        return compile_row(expressions, self.expr_evaluator.functions, self._values)

    def _expression(self, column: str, text: str) -> Expression:
        tree = ast.parse(text).body[0]
        own = None if column == FILTER else column
        return Expression(column, tree, lambda record: self._eval(text, tree, record, own))  # type: ignore[arg-type]

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The SDK's functions, and the helpers of `mapping.functions`."""
        return {**super().functions, **{helper.name: helper.call for helper in FUNCTIONS}}

    def _eval(
        self, expr: str, expr_parsed: ast.Expr, record: dict[str, Any], property_name: str | None
    ) -> Any:
        self.expr_evaluator.functions[GET] = getter(record)
        return super()._eval(expr, expr_parsed, record, property_name)

    def transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Map one record.

        Raises:
            MappingFailedError: If one of the expressions fails.
            StreamMappingError: If an expression names a column that neither the record nor the
                tap's schema has.
        """
        try:
            row = self._row(record)
        except Exception:  # noqa: BLE001 (an expression of the user may raise anything)
            raise self._failure(record) from None
        if row is not None and self.passes_others:
            row = {**record, **row}
            for column in self._dropped:
                row.pop(column, None)
        return row or None

    def _failure(self, record: dict[str, Any]) -> MappingFailedError:
        """Find the expression that fails, by evaluating one after the other."""
        for column, single in self._singly.items():
            try:
                single.run(record)
            except Exception as failure:  # noqa: BLE001, PERF203
                name = _absent_name(failure, single)
                if name is None or name in record:
                    kind = type(failure.__cause__ or failure).__name__
                else:
                    self._check_known(column, name)
                    kind = "NameNotDefined"  # As the SDK calls it.
                return MappingFailedError(column, kind, self._event_id(record))
        return MappingFailedError("unknown", "intermittent failure")

    def _event_id(self, record: dict[str, Any]) -> Any:
        """Return the event ID that the map gives to a record; None if it gives none, or fails."""
        if "event_id" not in self._singly:
            passes = self.passes_others and "event_id" not in self._dropped
            return record.get("event_id") if passes else None
        try:
            return (self._singly["event_id"].run(record) or {}).get("event_id")
        except Exception:  # noqa: BLE001 (an expression of the user may raise anything)
            return None

    def _check_known(self, column: str, name: str) -> None:
        """Raise an error that ends the run if the tap's schema does not have a column either."""
        properties = self.raw_schema.get("properties", {})
        if name not in properties and name != "self":
            said, end = unknown_read(column, (name,), 0, properties)
            msg = (
                f"the map of '{self.stream_alias}' has a mistake: {said}{end} To read a column"
                " that only some records have, use get('name')."
            )
            raise StreamMappingError(msg) from None

    @functools.cached_property
    def _singly(self) -> dict[str, Compiled]:
        return {e.column: self._compiled([e]) for e in self._expressions}

    def _init_faker_instance(self) -> None:
        """Disables Faker: fabricated values must never be sent."""


def _absent_name(failure: Exception, single: Compiled) -> str | None:
    """Return the name whose absence made an expression fail; None if another reason did."""
    if isinstance(failure, KeyError):
        name = failure.args[0]
        return name if name in single.names or name == "self" else None
    cause = failure.__cause__  # Of the SDK's evaluator.
    return cause.name if isinstance(cause, simpleeval.NameNotDefined) else None


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
        self._shipped = shipped
        self._definitions = copy.deepcopy(dict(definitions))
        self._config = dict(config)
        self._drops_others = "__else__" in self._definitions
        self._definitions.pop("__else__", None)

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
            alias = options.pop("__alias__", None)
            counted_as = stream if source is None else name
            if alias is not None:
                counted_as = _alias(alias, stream)
            plan = self._mapped(stream, counted_as, options, schema)
            plan = plan._replace(origins=_marked(plan.origins, self._shipped.get(name, ())))
            if source is None:
                own = plan
            else:
                copies.append(plan)
        if self._drops_in_parts(stream):
            own = StreamPlan(stream, named=True)
        return [own, *copies]

    def _drops_in_parts(self, stream: str) -> bool:
        """Return whether a stream is dropped under a name that Meltano has split at a dot.

        Nothing tells `Sales.Old: __NULL__` from a map of `Sales` that leaves out a column `Old`, so
        it is both.
        """
        if stream in self._definitions:
            return False
        parts = stream.split(".")
        halves = ((".".join(parts[:n]), ".".join(parts[n:])) for n in range(1, len(parts)))
        maps = ((self._definitions.get(name), column) for name, column in halves)
        return any(
            isinstance(one, dict) and column in one and one[column] in NULL_VALUES
            for one, column in maps
        )

    def _mapped(
        self, stream: str, counted_as: str, options: dict[str, Any], schema: dict[str, Any]
    ) -> StreamPlan:
        try:
            stream_map = StreamMap(
                stream_alias=counted_as,
                map_config=self._config,
                faker_config={},
                raw_schema=schema,
                # Only a target that writes tables needs key properties after mapping.
                key_properties=[],
                map_transform=options,
                flattening_options=None,
                stream_name=stream,
            )
        except Exception as error:  # noqa: BLE001 (the SDK raises many kinds)
            msg = f"the stream map of '{stream}' cannot be used: {error}"
            raise StreamMappingError(msg) from None
        return StreamPlan(
            counted_as,
            named=True,
            properties=tuple(stream_map.transformed_schema.get("properties", {})),
            passes_others=stream_map.passes_others,
            reads=stream_map.reads,
            transform=stream_map.transform,
            origins=stream_map.origins,
            code=stream_map.code,
            environment=stream_map.environment,
        )


def stream_maps_of(settings: Mapping[str, Any]) -> StreamMaps:
    """Return the maps of a configuration, including those of its presets."""
    given = joined(settings)
    presets = given.get("presets") or {}
    own = given.get("stream_maps") or {}
    maps = expand_presets(presets, own)
    config = given.get("stream_map_config") or {}
    return StreamMaps(maps, config, shipped_columns(presets, own))


def _marked(
    origins: Mapping[str, ColumnOrigin], shipped: Collection[str]
) -> Mapping[str, ColumnOrigin]:
    """Mark the expressions that are those of a preset."""
    return {
        column: origin._replace(is_shipped=column in shipped) for column, origin in origins.items()
    }


def _alias(expression: str, stream: str) -> str:
    try:
        return PluginMapper._eval_stream(expression, stream)  # noqa: SLF001 (the SDK's rule)
    except Exception as error:  # noqa: BLE001 (expressions may do anything)
        msg = (
            f"the __alias__ of stream '{stream}' cannot be computed ({type(error).__name__}):"
            " correct the expression"
        )
        raise StreamMappingError(msg) from None
