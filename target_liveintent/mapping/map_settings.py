"""Checks the settings `presets` and `stream_maps` before a run.

The SDK would find most mistakes in `stream_maps` only when a SCHEMA comes. The problem of a setting
is one line that says what the entry must be. It never shows the value.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.presets import NULL_VALUES, PRESETS, preset_columns
from target_liveintent.mapping.similar_names import did_you_mean, meant_name
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS
from target_liveintent.privacy.addresses import scrub

ANSWER = "ANSWER:"
"""The beginning of a question in a proposed `__filter__`: a run needs the answer."""
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
"""The keys of a stream's map that this program knows."""


def map_problems(presets: Mapping[str, Any], stream_maps: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of the settings `presets` and `stream_maps`."""
    yield from _preset_problems(presets)
    for name, definition in stream_maps.items():
        where = f"setting 'stream_maps.{name}"
        if not isinstance(definition, dict) or name.startswith("__"):
            yield from (f"{where}' {problem}" for problem in _entry_problems(name, definition))
            continue
        preset = presets.get(name)
        names = {*definition, *(preset_columns(preset) if preset in [*PRESETS] else ())}
        problems = {key: _problem_of(key, value, names) for key, value in definition.items()}
        yield from (f"{where}.{key}' {problem}" for key, problem in problems.items() if problem)


def _entry_problems(name: str, definition: Any) -> Iterator[str]:
    """Yield the problem of an entry that is not a stream's map, as the end of a sentence."""
    if name.startswith("__") and name != "__else__":
        yield (
            "is in the wrong place: a key of stream_maps must be the name of a stream, or __else__."
            " If this key is an option, move it into the map of a stream"
        )
    elif definition in NULL_VALUES and meant_name(name, ("__else__",)):
        yield "is not the name of a stream; did you mean '__else__'?"
    elif not _is_valid(definition, _Null):
        or_map = "" if name == "__else__" else ", or an object whose keys are column names"
        yield f"must be null or '__NULL__'{or_map}"


def _preset_problems(presets: Mapping[str, Any]) -> Iterator[str]:
    for name, preset in presets.items():
        if name.startswith("__"):
            yield f"setting 'presets.{name}' must be the name of a stream, not an option"
        if preset not in [*PRESETS]:
            near = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
            yield f"setting 'presets.{name}' must be one of {', '.join(PRESETS)}{near}"


def _problem_of(column: str, value: Any, names: Collection[str]) -> str | None:
    """Return the problem of a key of one stream's map, as the end of a sentence.

    `names` are the keys of the map and of its preset.
    """
    kind, wanted = _OPTIONS.get(column, _EXPRESSION)
    meant = meant_name(column, _NAMES, names)
    if column not in _OPTIONS and column.startswith("__") and column.endswith("__"):
        return f"is not an option of a stream map{did_you_mean(column, _OPTIONS)}"
    # (`email: Email` and `Email: __NULL__` rename a column of the tap.)
    if meant and not (value in NULL_VALUES and meant in names):
        return (
            f"is neither a column of events nor an option of a stream map; did you mean '{meant}'?"
        )
    if column == FILTER and isinstance(value, str) and ANSWER in value:
        return (
            f"has a question to answer:{scrub(value.partition(ANSWER)[2])}. Replace all from"
            f" {ANSWER} on by a condition, such as get('status') in ('paid', 'shipped'), or by True"
            " if all records count"
        )
    if column in DELETION_COLUMNS and value not in NULL_VALUES:
        return (
            "has no effect, because the tap's own column is read. To leave out deleted rows by"
            " another column, write __filter__: get('deleted_at') is None"
        )
    return None if _is_valid(value, kind) else f"must be {wanted}"


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
        if kind in (str, _EXPRESSION[0]) and value is not None:
            ast.parse(value.strip(), mode="eval")
    except (msgspec.ValidationError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# Names of streams with dots, which Meltano turns into levels


def presets_with_dots(presets: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `presets`: Meltano turns `Sales.Orders` into `Sales: {Orders: …}`."""
    for name, preset in presets.items():
        if isinstance(preset, dict):
            for stream, inner in presets_with_dots(preset):
                yield f"{name}.{stream}", inner
        else:
            yield name, preset


def maps_with_dots(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the streams of `stream_maps`, whose dots Meltano reads as levels.

    Meltano turns `Sales.Orders: {email: mail}` into `Sales: {Orders: {email: mail}}`.
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


def _own_and_levels(definition: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the map of a stream, None without one, and the maps of streams inside this map.

    Beside an inner map, a null stands for a stream. If all values are nulls, each null may mean a
    column or a stream, so it stands for both: neither is sent.
    """
    others = {key: value for key, value in definition.items() if key not in _NAMES}
    levels = {key: value for key, value in others.items() if isinstance(value, dict)}
    own = {key: value for key, value in definition.items() if key not in levels}
    if all(key in others and value in NULL_VALUES for key, value in own.items()):
        return (None if levels else own), levels | own
    return own, levels
