"""Joins the names of streams that arrive split at their dots.

Meltano takes a dot in a key for a step into an object: of `stream_maps: {Sales.EU-Orders: {…}}`,
the target gets `{"Sales": {"EU-Orders": {…}}}`, and of `presets` the same. A preset is text, and a
column of a map is text or null; so an object in the place of one holds streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from target_liveintent.conversions import READ_COLUMNS
from target_liveintent.mapping import NULL_VALUES


def joined(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose `presets` and `stream_maps` have the whole names of streams.

    An object beside the columns of a map stays as it is: what it is cannot be known.
    """
    return {**config, **{setting: dict(streams) for setting, streams in _streams(config)}}


def unflattened(given: dict[str, Any]) -> dict[str, Any]:
    """Return the object that Meltano has flattened for an environment variable.

    Of `{"orders": {"email": "mail"}}`, the variable has `{"orders.email": "mail"}`. An object that
    has objects in it is not flattened, and is returned as it is.
    """
    is_flat = not any(isinstance(value, Mapping) for value in given.values())
    if not is_flat or all("." not in name or given[name] in NULL_VALUES for name in given):
        return given
    nested: dict[str, Any] = {}
    for name, value in given.items():
        *path, last = name.split(".")
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):  # A name is both: the rules for maps will say so.
                return given
        inner[last] = value
    return nested


def nesting_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each stream that a configuration, before `joined`, has twice."""
    for setting, streams in _streams(config):
        for name, times in Counter(name for name, _ in streams).items():
            if times > 1:
                yield (
                    f"setting '{setting}.{name}' is set twice: as the single key '{name}', and as"
                    f" nested keys, one key for each part of '{name}'. Remove one of the two"
                )


def is_column(name: str) -> bool:
    """Return whether a key of a map is a column of an event, or looks like an option."""
    return name in READ_COLUMNS or name.startswith("__")


def _streams(config: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Yield the settings that are given by stream, each with the streams' whole names."""
    for setting, holds_streams in _HOLDS_STREAMS.items():
        given = config.get(setting)
        if isinstance(given, Mapping):
            yield setting, list(_whole_names(given, holds_streams, ""))


def _whole_names(
    given: Mapping[str, Any], holds_streams: Callable[[Mapping[str, Any]], bool], before: str
) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        whole = f"{before}{name}"
        if isinstance(value, Mapping) and not whole.startswith("__") and holds_streams(value):
            yield from _whole_names(value, holds_streams, f"{whole}.")
        else:
            yield whole, value


def _holds_maps(value: Mapping[str, Any]) -> bool:
    """Return whether an object holds maps of streams, and otherwise streams that are dropped."""
    objects = {name for name, inner in value.items() if isinstance(inner, Mapping)}
    return bool(objects) and all(
        not is_column(name) and (name in objects or inner in NULL_VALUES)
        for name, inner in value.items()
    )


_HOLDS_STREAMS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "presets": bool,
    "stream_maps": _holds_maps,
}
"""The settings that are given by stream; whether an object in the place of a stream's value holds
streams in its turn."""
