"""The SDK's stream maps: which of them a stream goes through, and what comes out.

The expressions, their evaluator and the schema of what they give are the SDK's. What is different
here: the configuration is not changed by reading it; an expression that fails rejects one record
and not the run; a mapped stream needs no `__key_properties__`; and whether a map names a stream at
all is known, so that a misspelled name does not send a whole table.
"""

from __future__ import annotations

import ast
import copy
import fnmatch
import functools
from typing import TYPE_CHECKING, Any

import simpleeval
from singer_sdk.mapper import CustomStreamMap, PluginMapper

from target_liveintent.conversions.fields import READ_COLUMNS
from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import MappingFailedError, Source, StreamPlan
from target_liveintent.mapping.expressions import Compiled, Expression, Names, compile_row
from target_liveintent.mapping.functions import FUNCTIONS, GET, getter
from target_liveintent.mapping.suggestions import unknown_read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NULL = (None, "__NULL__")


class StreamMap(CustomStreamMap):
    """One entry of `stream_maps`, applied to one stream: the SDK's checks and schema, our code.

    Attributes:
        columns: Those that it computes.
        passes_others: Whether columns that it does not name come out as well.
        reads: The columns of a record that it needs; None for all.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Compile the map; takes what the SDK's own class takes."""
        super().__init__(**kwargs)
        definitions = dict(kwargs["map_transform"])
        rule = definitions.pop("__filter__", None)
        rule = None if rule in _NULL else rule
        definitions.pop("__key_properties__", None)
        self.passes_others = "__else__" not in definitions
        definitions.pop("__else__", None)
        self._texts = {FILTER: rule, **definitions}
        self._dropped = [column for column, text in definitions.items() if text in _NULL]
        self._names = Names(
            self.expr_evaluator.functions,
            self.map_config,
            self.stream_alias,
            kwargs["stream_name"],
        )
        columns = [
            self._expression(column, text)
            for column, text in definitions.items()
            if text not in _NULL
        ]
        filtering = None if rule is None else self._expression(FILTER, rule)
        self.columns = tuple(expression.column for expression in columns)
        self._expressions = [filtering, *columns] if filtering else columns
        compiled = compile_row(columns, self._names, filtering)
        self._row, self.reads = compiled.run, compiled.reads
        if self.passes_others and self.reads is not None:
            self.reads |= READ_COLUMNS

    def _expression(self, column: str, text: str) -> Expression:
        tree = ast.parse(text).body[0]
        own = None if column == FILTER else column
        return Expression(column, tree, lambda record: self._eval(text, tree, record, own))  # type: ignore[arg-type]

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The SDK's functions and our helpers."""
        return {**super().functions, **{name: call for name, _, _, call in FUNCTIONS}}

    def _eval(
        self, expr: str, expr_parsed: ast.Expr, record: dict[str, Any], property_name: str | None
    ) -> Any:
        self.expr_evaluator.functions[GET] = getter(record)
        return super()._eval(expr, expr_parsed, record, property_name)

    def transform(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Map one record.

        Raises:
            MappingFailedError: If one of the expressions fails.
            StreamMappingError: If it names a column that the tap does not know either.
        """
        try:
            row = self._row(record)
        except Exception:  # noqa: BLE001 (expressions are the user's, and may do anything)
            raise self._failure(record) from None
        if row is not None and self.passes_others:
            row = {**record, **row}
            for column in self._dropped:
                row.pop(column, None)
        return row or None

    def _failure(self, record: dict[str, Any]) -> MappingFailedError:
        """Which expression fails; they are tried one by one."""
        for column, single in self._singly.items():
            try:
                single.run(record)
            except Exception as failure:  # noqa: BLE001, PERF203
                name = _absent_name(failure, single)
                if name is None or name in record:
                    return MappingFailedError(column, type(failure.__cause__ or failure).__name__)
                self._refuse_unknown(column, name)
                return MappingFailedError(column, "NameNotDefined")  # As the SDK calls it.
        return MappingFailedError("?", "now and then")

    def _refuse_unknown(self, column: str, name: str) -> None:
        """End the run if no record can be expected to have a column."""
        wrong = unknown_read(column, (name,), self.raw_schema)
        if wrong is not None and name != "self":
            msg = (
                f"a mistake in the map of '{self.stream_alias}': {wrong} (A column that only some"
                " records have is read with get, its name in quotes.)"
            )
            raise StreamMappingError(msg) from None

    @functools.cached_property
    def _singly(self) -> dict[str, Compiled]:
        return {e.column: compile_row([e], self._names) for e in self._expressions}

    @property
    def sources(self) -> dict[str, Source]:
        """What each column is computed of, the filter first if there is one."""
        return {
            column: Source(self._texts[column].strip(), single.paths)
            for column, single in self._singly.items()
        }

    def _init_faker_instance(self) -> None:
        """Invented people are no conversions."""


def _absent_name(failure: Exception, single: Compiled) -> str | None:
    """The name whose absence is why an expression failed; None if it failed otherwise."""
    if isinstance(failure, KeyError):
        name = failure.args[0]
        return name if name in single.names or name == "self" else None
    cause = failure.__cause__  # Of the SDK's evaluator.
    return cause.name if isinstance(cause, simpleeval.NameNotDefined) else None


FILTER = "__filter__"
"""The rule that a record must meet, among a map's columns."""


class StreamMaps:
    """The configured maps.

    Args:
        definitions: The setting `stream_maps`.
        config: The setting `stream_map_config`.
    """

    def __init__(self, definitions: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Copy what is given: the SDK's mapper would take `__else__` out of it."""
        self._definitions = copy.deepcopy(dict(definitions))
        self._config = dict(config)
        self._drops_others = "__else__" in self._definitions
        self._definitions.pop("__else__", None)

    @property
    def names(self) -> list[str]:
        """The streams that the maps name; patterns included."""
        sources = (
            definition.get("__source__", name) if isinstance(definition, dict) else name
            for name, definition in self._definitions.items()
        )
        return list(dict.fromkeys(sources))

    def plans(self, stream: str, schema: dict[str, Any]) -> list[StreamPlan]:
        """What is done with a stream: one plan for itself, one for each `__source__` copy.

        Raises:
            StreamMappingError: If a map does not fit.
        """
        if stream == DEAD_LETTERS:
            return [_as_it_is(stream, schema, named=True)]
        own = self._unnamed(stream, schema)
        copies = []
        for name, definition in self._definitions.items():
            options = dict(definition) if isinstance(definition, dict) else {}
            source = options.pop("__source__", None)
            if stream != (source or name) and not fnmatch.fnmatch(stream, source or name):
                continue
            if definition in _NULL:
                own = _dropped(stream, named=True)
                continue
            alias = options.pop("__alias__", None)
            counted_as = stream if source is None else name
            if alias is not None:
                counted_as = _alias(alias, stream)
            plan = self._mapped(stream, counted_as, options, schema)
            if source is None:
                own = plan
            else:
                copies.append(plan)
        return [own, *copies]

    def _unnamed(self, stream: str, schema: dict[str, Any]) -> StreamPlan:
        if self._drops_others:
            return _dropped(stream, named=False)
        return _as_it_is(stream, schema, named=not self._definitions)

    def _mapped(
        self, stream: str, counted_as: str, options: dict[str, Any], schema: dict[str, Any]
    ) -> StreamPlan:
        try:
            stream_map = StreamMap(
                stream_alias=counted_as,
                map_config=self._config,
                faker_config={},
                raw_schema=schema,
                # Only whoever writes tables needs key properties after mapping.
                key_properties=[],
                map_transform=options,
                flattening_options=None,
                stream_name=stream,
            )
        except Exception as error:  # noqa: BLE001 (the SDK raises many kinds)
            msg = f"the stream map of '{stream}' does not fit: {error}"
            raise StreamMappingError(msg) from None
        properties = tuple(stream_map.transformed_schema.get("properties", {}))
        return StreamPlan(
            counted_as,
            named=True,
            properties=properties,
            passes_others=stream_map.passes_others,
            reads=stream_map.reads,
            transform=stream_map.transform,
            map=stream_map,
        )


def _alias(expression: str, stream: str) -> str:
    try:
        return PluginMapper._eval_stream(expression, stream)  # noqa: SLF001 (the SDK's rule)
    except Exception as error:  # noqa: BLE001 (expressions may do anything)
        msg = f"the __alias__ of stream '{stream}' cannot be computed: {type(error).__name__}"
        raise StreamMappingError(msg) from None


def _as_it_is(stream: str, schema: Mapping[str, Any], *, named: bool) -> StreamPlan:
    return StreamPlan.without_map(stream, schema.get("properties", {}), named=named)


def _dropped(stream: str, *, named: bool) -> StreamPlan:
    return StreamPlan(stream, named, (), passes_others=False, reads=frozenset(), transform=None)
