"""What is probably misspelled in a map: said by a run and by `--explain` in the same words."""

from __future__ import annotations

import difflib
import fnmatch
from typing import TYPE_CHECKING, Any

from target_liveintent.conversions.model import COLUMNS, READ_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence


def did_you_mean(name: str, there: Iterable[str]) -> str:
    """The nearest of the names that there are, as the end of a sentence; empty if none is near."""
    names = {known.lower(): known for known in there}
    near = difflib.get_close_matches(name.lower(), names, 1)
    return f"; is it '{names[near[0]]}'?" if near else ""


def unknown_read(column: str, path: Sequence[str], schema: Mapping[str, Any]) -> str | None:
    """What is wrong if an expression reads what the tap's SCHEMA does not have; None if it does.

    Args:
        column: What the expression computes.
        path: What it reads: a column, and the steps into it.
        schema: The tap's schema; where it does not say what an object holds, anything may be.
    """
    inner: Any = schema
    for step in path:
        there = inner.get("properties") if isinstance(inner, dict) else None
        if not isinstance(there, dict):
            return None
        if step not in there:
            hint = did_you_mean(step, there) or "."
            return f"{column} reads '{'.'.join(path)}', which the tap's SCHEMA does not have{hint}"
        inner = there[step]
    return None


def unknown_columns(stream: str, columns: Iterable[str]) -> Iterator[str]:
    """A sentence for each column of a map that no event has."""
    for column in columns:
        if column not in READ_COLUMNS:
            hint = did_you_mean(column, [known.name for known in COLUMNS])
            yield f"the map of '{stream}' has a column '{column}' that no event has{hint}"


def absent_streams(names: Collection[str], streams: Collection[str]) -> Iterator[tuple[str, str]]:
    """Streams that the maps name and that did not come, each with a hint, which may be empty.

    Args:
        names: The streams that the maps name; patterns included.
        streams: Those that came.
    """
    others = [stream for stream in streams if stream not in names]
    for name in names:
        if not any(fnmatch.fnmatch(stream, name) for stream in streams):
            yield name, did_you_mean(name, others)
