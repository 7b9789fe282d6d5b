"""Checks stream maps: in the settings before a run, and with the SCHEMA of a stream.

The SDK would find most mistakes in the setting `stream_maps` only when a SCHEMA comes. The problem
of a setting is one line that names the entry and what it must be, and never its value.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from target_liveintent.conversions.fields import COLUMNS, FIELDS, IDENTIFYING
from target_liveintent.mapping.expressions import FILTER, Expression
from target_liveintent.mapping.map_findings import AbsentStream, Hint, MapFinding
from target_liveintent.mapping.presets import NULL_VALUES, PRESETS, preset_columns
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.schema_paths import absent_step
from target_liveintent.mapping.similar_names import did_you_mean, meant_name, similar_name
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, StreamPlan
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults

ANSWER = "ANSWER:"
"""What begins a question in a proposed `__filter__`: a run needs the answer."""
_IN_CENTS = re.compile(  # The words that `recognized.yaml` calls `minor`.
    r"(?i:(?<![a-z])(?:cents?|ct|pence|pennies|rappen|minor|centimes|centavos|centimos|centesimi"
    r"|pfennig)(?![a-z]))|Cents?(?![a-z])"
)
_CONVERSION = re.compile(r"minor_units|[*/]")
_OFTEN_FIXED = ("source", "currency", "app_bundle")
"""Columns that may have the same text in all events."""
_WORD = re.compile(r"[\w-]+")
_DECIDING = {FILTER, "event_id", "event_time"}
"""The keys of a map that decide which events are sent, and which of them are the same."""

# The settings


_Null: TypeAlias = Literal["__NULL__"] | None
_EXPRESSION: tuple[Any, str] = (
    str | None,
    (
        "a Python expression. If the expression is a fixed text, write this text in two pairs of"
        " quotes, such as \"'web'\""
    ),
)
_OPTIONS: dict[str, tuple[Any, str]] = {
    "__else__": (_Null, "null or '__NULL__'"),
    "__source__": (Annotated[str, msgspec.Meta(min_length=1)], "text"),
    "__alias__": (
        str,
        "the name of a stream, or a Python expression of it, such as __stream_name__ + '_v2'",
    ),
    "__key_properties__": (list[str] | None, "a list of column names"),
    FILTER: _EXPRESSION,
}
"""The types of the options of one stream's map. A misspelled option would be read as a column."""
_NAMES = (*_OPTIONS, *(field.name for field in FIELDS), *DELETION_COLUMNS)
"""What the keys of one stream's map mean to this program."""


def map_problems(presets: Mapping[str, Any], stream_maps: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of the settings `presets` and `stream_maps`."""
    for name, preset in presets.items():
        yield from _preset_problems(name, preset)
    for name, definition in stream_maps.items():
        if name.startswith("__") and name != "__else__":
            yield (
                f"setting 'stream_maps.{name}' is in the wrong place: a key of stream_maps must be"
                " the name of a stream, or __else__. If this key is an option, move it into the map"
                " of a stream"
            )
        elif isinstance(definition, dict) and name != "__else__":
            preset = presets.get(name)
            of_preset = preset_columns(preset) if preset in [*PRESETS] else {}
            yield from _column_problems(
                f"stream_maps.{name}", definition, {*definition, *of_preset}
            )
        else:
            yield from _null_problems(name, definition)


def _preset_problems(name: str, preset: Any) -> Iterator[str]:
    if name.startswith("__"):
        yield f"setting 'presets.{name}' must be the name of a stream, not an option"
    if not isinstance(preset, str) or preset not in PRESETS:
        near = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
        yield f"setting 'presets.{name}' must be one of {', '.join(PRESETS)}{near}"


def _null_problems(name: str, definition: Any) -> Iterator[str]:
    """Yield the problem of an entry of `stream_maps` that is not a map, but should be null."""
    if definition in NULL_VALUES and meant_name(name, ("__else__",)):
        yield f"setting 'stream_maps.{name}' is not the name of a stream; did you mean '__else__'?"
    elif not _is_valid(definition, _Null):
        or_map = "" if name == "__else__" else ", or an object whose keys are column names"
        yield f"setting 'stream_maps.{name}' must be null or '__NULL__'{or_map}"


def presets_with_dots(presets: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `presets`: of `Sales.Orders`, Meltano makes `Sales: {Orders: …}`."""
    for name, preset in presets.items():
        if isinstance(preset, dict):
            for stream, inner in presets_with_dots(preset):
                yield f"{name}.{stream}", inner
        else:
            yield name, preset


def maps_with_dots(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `stream_maps`, whose dots Meltano reads as levels.

    Of `Sales.Orders: {email: mail}`, it makes `Sales: {Orders: {email: mail}}`.
    """
    for name, definition in definitions.items():
        if not isinstance(definition, dict) or name == "__else__":
            yield name, definition
            continue
        own, levels = _own_and_levels(definition)
        if own is not None:
            yield name, own
        for stream, inner in maps_with_dots(levels):
            yield f"{name}.{stream}", inner


def _own_and_levels(
    definition: Mapping[str, Any],
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return the map of a stream itself, None if there is none, and the maps of streams inside it.

    Beside such an inner map, a null stands for a stream. If there are only nulls, each may be a
    column or a stream, so it stands for both: neither is sent.
    """
    levels = {
        key: value
        for key, value in definition.items()
        if isinstance(value, dict) and key not in _NAMES
    }
    own = {key: value for key, value in definition.items() if key not in levels}
    has_only_nulls = bool(own) and all(
        key not in _NAMES and value in NULL_VALUES for key, value in own.items()
    )
    if has_only_nulls:
        return (None if levels else own), levels | own
    is_only_level = bool(levels) and not own
    return (None if is_only_level else own), levels


def _column_problems(
    where: str, definition: Mapping[str, Any], names: Collection[str]
) -> Iterator[str]:
    """Yield the problems of one stream's map; `names` are those in it and in its preset."""
    for column, value in definition.items():
        kind, wanted = _OPTIONS.get(column, _EXPRESSION)
        meant = meant_name(column, _NAMES, names)
        if column not in _OPTIONS and column.startswith("__") and column.endswith("__"):
            near = did_you_mean(column, _OPTIONS)
            yield f"setting '{where}.{column}' is not an option of a stream map{near}"
        # (`email: Email` and `Email: __NULL__` rename a column of the tap.)
        elif meant and not (value in NULL_VALUES and meant in names):
            yield (
                f"setting '{where}.{column}' is neither a column of events nor an option of a"
                f" stream map; did you mean '{meant}'?"
            )
        elif column == FILTER and isinstance(value, str) and ANSWER in value:
            yield (
                f"setting '{where}.{column}' has a question to answer:"
                f"{scrub(value.partition(ANSWER)[2])}. Replace all from {ANSWER} on by a condition,"
                " such as get('status') in ('paid', 'shipped'), or by True if all records count"
            )
        elif column in DELETION_COLUMNS and value not in NULL_VALUES:
            yield (
                f"setting '{where}.{column}' has no effect, because the tap's own column is read."
                " To leave out deleted rows by another column, write"
                " __filter__: get('deleted_at') is None"
            )
        elif not _is_valid(value, kind):
            yield f"setting '{where}.{column}' must be {wanted}"


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
        if kind in (str, _EXPRESSION[0]) and value is not None:
            ast.parse(value.strip(), mode="eval")
    except (msgspec.ValidationError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# Maps and the SCHEMA


def map_warnings(plan: StreamPlan, schema: Mapping[str, Any]) -> Iterator[MapFinding]:
    """Yield what is probably a mistake in the map of a stream.

    - `unknown_event_column`: the map sets a column that no event has.
    - `read_column_absent`: it reads a path that the SCHEMA does not have, and `coalesce` or `or`
      gives no alternative that is there. Columns `_sdc_…`, which taps add by the way in which they
      replicate, do not count, and neither does what `needed_columns_absent` yields.
    - `amount_in_cents`: `value` reads a column whose name means cents, and does not convert it.

    What a preset reads is no mistake: not every source has it.
    """
    for column, origin in plan.origins.items():
        if column in plan.of_preset:
            continue
        if column not in {FILTER, *COLUMNS}:
            hint = _similar(column, (field.name for field in FIELDS))
            yield MapFinding("unknown_event_column", plan.stream, column, hint=hint)
        absent = origin.reading.lacks(lambda path: absent_step(path, schema) is not None)
        for path in sorted(absent - _needed_but_absent(column, origin, schema)):
            hint = _hint_of_path(path, schema)
            yield MapFinding("read_column_absent", plan.stream, column, ".".join(path), hint)
        for path in _unconverted_cents(column, origin):
            yield MapFinding("amount_in_cents", plan.stream, column, ".".join(path))


def _unconverted_cents(column: str, origin: Expression) -> list[Path]:
    """Return the paths with the name of an amount in cents that a `value` takes as they are."""
    if column != "value" or _CONVERSION.search(origin.text):
        return []
    return sorted(path for path in {*origin.reading.paths.values()} if _IN_CENTS.search(path[-1]))


def maps_with_equal_ids(plans: Iterable[StreamPlan]) -> Iterator[MapFinding]:
    """Yield the maps of a stream whose events have the IDs of an earlier map's events."""
    earlier: dict[Any, str] = {}
    for plan in plans:
        first = earlier.setdefault(plan.gives_ids_of, plan.stream)
        if first != plan.stream:
            yield MapFinding("equal_event_ids", plan.stream, earlier=first)


def lacking_for_events(
    plan: StreamPlan, schema: Mapping[str, Any], defaults: EventDefaults
) -> list[MapFinding]:
    """Return what a mapped stream lacks, so that its records cannot produce an event."""
    there = frozenset(plan.properties)
    conditions = {
        "event_time_missing": "event_time" not in there,
        "identity_missing": there.isdisjoint(IDENTIFYING),
        "pixel_id_missing": "pixel_id" not in there and defaults.pixel_id is None,
        "source_missing": "source" not in there and defaults.source is None,
    }
    missing = [MapFinding(code, plan.stream) for code, lacks in conditions.items() if lacks]
    return missing + needed_columns_absent(plan, schema)


def needed_columns_absent(plan: StreamPlan, schema: Mapping[str, Any]) -> list[MapFinding]:
    """Return the columns that the tap's schema does not have, and that the map cannot lack.

    An expression with the bare name of such a column fails for each record. And an expression that
    decides which events are sent, and under which ID, decides wrongly without it: a filter may let
    pass what is cancelled, and an event that was delivered may get another ID.
    """
    return [
        MapFinding(
            "needed_column_absent",
            plan.stream,
            column,
            ".".join(path),
            _hint_of_path(path, schema) or _hint_of_quotes(column, origin.text),
        )
        for column, origin in plan.origins.items()
        for path in sorted(_needed_but_absent(column, origin, schema))
    ]


def _needed_but_absent(column: str, origin: Expression, schema: Mapping[str, Any]) -> set[Path]:
    """Return the paths that an expression reads and cannot lack, but the schema does not have."""
    decides = column in _DECIDING or (column == "consent" and not origin.reading.fails_closed)

    names: Iterator[Path] = ((name,) for name in origin.names)
    named = {path for path in names if absent_step(path, schema, lists_all=decides)}
    if not decides:
        return named

    def is_absent(path: Path) -> bool:
        # What a record says of consent is read from it, whatever the schema says.
        is_consent = path == ("consent",) or (path[0] == "consent" and origin.reading.fails_closed)
        is_known = is_consent and "consent" not in schema["properties"]
        return not is_known and absent_step(path, schema, lists_all=True) is not None

    return named | origin.reading.lacks(is_absent, protects=True)


def _hint_of_path(path: Path, schema: Mapping[str, Any]) -> Hint | None:
    """Return what was probably meant by a path that the schema does not have."""
    step, known_steps = absent_step(path, schema, lists_all=True) or (path[0], ())
    dotted = ".".join(path)
    if dotted in known_steps:  # `get` takes a dot for a step into an object.
        return Hint("name_with_dot", dotted)
    return _similar(step, known_steps)


def _similar(name: str, known_names: Iterable[str]) -> Hint | None:
    similar = similar_name(name, known_names)
    return None if similar is None else Hint("similar_name", similar)


def _hint_of_quotes(column: str, text: str) -> Hint | None:
    """Return how to write a fixed text if an expression is only a name, as that of a column is.

    The quotes of `currency: 'EUR'` belong to YAML, so that the expression is the name `EUR`. Other
    columns need a value of each record: a fixed filter or consent would let everybody pass.
    """
    is_fixed = column in _OFTEN_FIXED and _WORD.fullmatch(text)
    return Hint("fixed_text", text) if is_fixed else None


def absent_streams(names: Collection[str], streams: Collection[str]) -> list[AbsentStream]:
    """Return the streams and patterns of maps that match no stream of the tap."""

    def is_named(stream: str) -> bool:
        return any(fnmatch.fnmatch(stream, name) for name in names)

    unnamed = [stream for stream in streams if not is_named(stream)]
    return [
        AbsentStream(name, similar_name(name, unnamed))
        for name in names
        if not any(fnmatch.fnmatch(stream, name) for stream in streams)
    ]
