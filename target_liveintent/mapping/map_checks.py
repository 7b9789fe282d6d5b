"""Checks the setting `stream_maps`; the SDK would find most mistakes only when a SCHEMA comes.

Each problem is one line that names the entry and what it must be, and never its value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from target_liveintent.conversions import READ_COLUMNS
from target_liveintent.mapping.converter import FILTER
from target_liveintent.mapping.presets import NULL_VALUES
from target_liveintent.mapping.suggestions import did_you_mean


def map_problems(stream_maps: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of the setting `stream_maps`."""
    for name, definition in stream_maps.items():
        where = f"stream_maps.{name}"
        if name.startswith("__") and name != "__else__":
            yield (
                f"setting '{where}' is in the wrong place: a key of stream_maps must be the name of"
                " a stream, or __else__. If this key is an option, move it into the map of a stream"
            )
        elif isinstance(definition, dict) and name != "__else__":
            yield from _column_problems(where, definition)
        elif not _is_null(definition):
            or_map = "" if name == "__else__" else ", or an object whose keys are column names"
            yield f"setting '{where}' must be null or '__NULL__'{or_map}"


def dots_advice(stream: str) -> str:
    """Say how to write the name of a stream with dots, which Meltano reads as levels."""
    return (
        f"If '{stream}' is the name of a stream, its dots were read as separators between levels"
        f" of the setting. In this case, write ? in place of each dot: '{stream.replace('.', '?')}'"
    )


def _column_problems(where: str, definition: Mapping[str, Any]) -> Iterator[str]:
    for column, value in definition.items():
        is_valid, wanted = _MAP_OPTIONS.get(column, _COLUMN)
        if column not in _MAP_OPTIONS and column.startswith("__") and column.endswith("__"):
            near = did_you_mean(column, _MAP_OPTIONS)
            yield f"setting '{where}.{column}' is not an option of a stream map{near}"
        elif isinstance(value, dict) and column not in (*READ_COLUMNS, *_MAP_OPTIONS):
            advice = dots_advice(f"{where}.{column}".partition(".")[2])
            yield f"setting '{where}.{column}' must be an expression. {advice}"
        elif not is_valid(value):
            yield f"setting '{where}.{column}' must be {wanted}"


def _is_null(value: Any) -> bool:
    return value in NULL_VALUES


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_list_of_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(key, str) for key in value))


def _is_null_or_expression(value: Any) -> bool:
    if _is_null(value) or not isinstance(value, str):
        return _is_null(value)
    try:
        ast.parse(value.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_COLUMN = (
    _is_null_or_expression,
    (
        "a Python expression. If the expression is a fixed text, write this text in two pairs of"
        " quotes, such as \"'web'\""
    ),
)
_MAP_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "__else__": (_is_null, "null or '__NULL__'"),
    "__source__": (_is_text, "text"),
    "__key_properties__": (_is_list_of_texts, "a list of column names"),
    FILTER: _COLUMN,
}
"""The types of the options of one stream's map. A misspelled option would be read as a column."""
