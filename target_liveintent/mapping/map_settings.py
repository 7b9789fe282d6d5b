"""Checks the settings `presets` and `stream_maps` before a run.

The SDK would find most mistakes in `stream_maps` only when the first SCHEMA arrives. Each problem
is one line of text that names the setting and says what is allowed. The line does not show the
value, except for the question in a proposed `__filter__`.
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
"""The beginning of a question in a proposed `__filter__`. No run starts without an answer."""
_Null: TypeAlias = Literal["__NULL__"] | None
_EXPRESSION: tuple[Any, str] = (
    str | None,
    (
        "a Python expression. If you mean a fixed text, write the text in two pairs of quotes, such"
        " as \"'web'\""
    ),
)
_OPTIONS: dict[str, tuple[Any, str]] = {
    "__else__": (_Null, "null or '__NULL__'"),
    "__source__": (
        Annotated[str, msgspec.Meta(min_length=1)],
        "the name of a stream, or a pattern of such names",
    ),
    "__alias__": (
        str,
        "a name, or a Python expression that gives a name, such as __stream_name__ + '_v2'",
    ),
    "__key_properties__": (list[str] | None, "a list of column names"),
    FILTER: _EXPRESSION,
}
"""The options in the map of a stream: the type of each value, and words for this type."""
_NAMES = (*_OPTIONS, *(field.name for field in FIELDS), *DELETION_COLUMNS)
"""The keys that this program knows in the map of a stream."""


def map_problems(presets: Mapping[str, Any], stream_maps: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each problem in the settings `presets` and `stream_maps`."""
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
    """Yield the problem of an entry that is not the map of a stream, as the end of a sentence."""
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
            yield f"setting 'presets.{name}' is an option; write the name of a stream instead"
        if preset not in [*PRESETS]:
            near = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
            yield f"setting 'presets.{name}' must be one of {', '.join(PRESETS)}{near}"


def _problem_of(column: str, value: Any, names: Collection[str]) -> str | None:
    """Return the problem of one key in a stream's map as the end of a sentence; None if correct.

    `names` are all keys of the map and of the stream's preset.
    """
    kind, wanted = _OPTIONS.get(column, _EXPRESSION)
    meant = meant_name(column, _NAMES, names)
    if column not in _OPTIONS and column.startswith("__") and column.endswith("__"):
        return f"is not an option of a stream map{did_you_mean(column, _OPTIONS)}"
    # (A map may rename a column of the tap with `email: Email` and `Email: __NULL__`.)
    if meant and not (value in NULL_VALUES and meant in names):
        return (
            f"is neither a column of events nor an option of a stream map; did you mean '{meant}'?"
        )
    if column == FILTER and isinstance(value, str) and ANSWER in value:
        return (
            f"has a question to answer:{scrub(value.partition(ANSWER)[2])}. Replace the text from"
            f" {ANSWER} to the end with a condition, such as get('status') in ('paid', 'shipped'),"
            " or with True if all records count"
        )
    if column in DELETION_COLUMNS and value not in NULL_VALUES:
        return (
            "has no effect, because the program reads this column before it applies the map. If"
            " another column marks deleted rows, write __filter__: get('deleted_at') is None"
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
    """Yield the name of each stream in `presets`, including dots, and the stream's preset.

    Meltano turns `Sales.Orders: shopify` into `Sales: {Orders: shopify}`.
    """
    for name, preset in presets.items():
        if isinstance(preset, dict):
            for stream, inner in presets_with_dots(preset):
                yield f"{name}.{stream}", inner
        else:
            yield name, preset


def maps_with_dots(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each stream in `stream_maps`, including dots, and the stream's map.

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
    """Return a stream's own map, or None, and the maps of streams inside the definition.

    Values that are objects are maps of inner streams. If all other values are null, and there are
    inner maps, a null drops an inner stream. If there are only nulls, a null may mean a column or
    an inner stream, so it drops both. Otherwise, a null drops a column.
    """
    others = {key: value for key, value in definition.items() if key not in _NAMES}
    levels = {key: value for key, value in others.items() if isinstance(value, dict)}
    own = {key: value for key, value in definition.items() if key not in levels}
    if all(key in others and value in NULL_VALUES for key, value in own.items()):
        return (None if levels else own), levels | own
    return own, levels
