"""What a tap's SCHEMA says of a path: whether it has it, lacks it, or does not say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from target_liveintent.mapping.reading import Path

_COMPOSED = ("anyOf", "oneOf", "allOf")
_REFERRING = frozenset({"$ref", "if", "propertyNames"})
"""What may say more than is read here."""
_INDEX = re.compile(r"-?\d{1,9}", re.ASCII)
_TAPS_OWN = "_sdc_"
_ADDED_BY_TAPS = frozenset(
    {"_sdc_batched_at", "_sdc_deleted_at", "_sdc_extracted_at", "_sdc_lsn", "_sdc_lsn_deleted_at"}
    | {"_sdc_received_at", "_sdc_sequence", "_sdc_sync_started_at", "_sdc_table_version"}
)
"""Columns that come with the way in which a tap replicates, whatever its SCHEMA says."""


class AbsentStep(NamedTuple):
    """A step of a path that the SCHEMA does not have, and the names that it has in its place."""

    step: str
    known: tuple[str, ...]


def absent_step(
    path: Path, schema: Mapping[str, Any], *, lists_all: bool = False
) -> AbsentStep | None:
    """Return the step of a path that the SCHEMA lacks; None if it has the path or does not say.

    It does not say it of an object without properties, or with additional ones, nor of columns
    `_sdc_…`, which taps add. But if it `lists_all`, the columns that it has are all that there are,
    even if it allows others, but for those that taps usually add.
    """
    if path[0] in _ADDED_BY_TAPS or (path[0].startswith(_TAPS_OWN) and not lists_all):
        return None
    inner: Any = schema
    for depth, step in enumerate(path):
        parts = [*_parts(inner)]
        known = _names_in(parts, step)
        if step not in known:
            has_all = lists_all and depth == 0 and bool(known)
            is_certain = has_all or not any(_may_have(part, step) for part in parts)
            return AbsentStep(step, tuple(known)) if is_certain else None
        inner = known[step]
    return None


def _names_in(parts: Iterable[Any], step: str) -> dict[str, Any]:
    """Return the names that the parts of a schema have where a step is looked for."""
    known: dict[str, Any] = {}
    for part in parts:
        known.update(_inside(part, step))
    return known


def _parts(schema: Any) -> Iterator[Any]:
    """Yield a schema, and those that it is put together from."""
    yield schema
    if isinstance(schema, Mapping):
        for word in _COMPOSED:
            for inner in schema.get(word) or ():
                yield from _parts(inner)


def _inside(part: Any, step: str) -> Mapping[str, Any]:
    """Return the schemas of what an object has inside, or a list if the step is an index."""
    if not isinstance(part, Mapping):
        return {}
    if _INDEX.fullmatch(step) and isinstance(part.get("items"), Mapping):
        return {step: part["items"]}
    properties = part.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _may_have(part: Any, step: str) -> bool:
    """Return whether a value of a schema may have a step that is not among its properties."""
    if not isinstance(part, Mapping) or not _REFERRING.isdisjoint(part):
        return True
    types = part.get("type")
    if types is None and any(word in part for word in _COMPOSED):
        return False  # Its parts say it.
    names = [types] if isinstance(types, str) else types
    if isinstance(names, list) and "object" not in names:
        return "array" in names and _INDEX.fullmatch(step) is not None
    if any(re.search(pattern, step) for pattern in part.get("patternProperties") or ()):
        return True
    return not _inside(part, step) or part.get("additionalProperties", False) is not False
