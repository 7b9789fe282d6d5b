"""The columns of a DataFrame as those of a record: names match as Spark's do, in any case.

Snowflake and others write names in capitals. Spark takes `VALUE` and `value` for the same column,
so a user who spells it either way means the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from target_liveintent.conversions import FIELDS, READ_COLUMNS
from target_liveintent.mapping import DELETION_COLUMNS, nearest

_KNOWN = (*sorted(READ_COLUMNS), *DELETION_COLUMNS)
_SIMILAR = 0.8
"""How similar a name must be to be taken for a slip: `emial` is to `email`, but no `user_id` is to
`order_id`."""


class Columns(NamedTuple):
    """The columns of a DataFrame that a write needs.

    Attributes:
        given: How the DataFrame spells them, in its order.
        names: How a record spells them, in the same order.
    """

    given: tuple[str, ...]
    names: tuple[str, ...]


def columns_of(given: Sequence[str], keys: Iterable[str]) -> Columns:
    """Return all columns of a DataFrame, some of which are key properties."""
    known = {name.lower(): name for name in (*keys, *_KNOWN)}
    return Columns(tuple(given), tuple(known.get(name.lower(), name) for name in given))


def spelled(keys: Iterable[str]) -> tuple[str, ...]:
    """Return key properties as a record spells them."""
    known = {name.lower(): name for name in _KNOWN}
    return tuple(known.get(key.lower(), key) for key in keys)


def needed(columns: Columns, keys: Sequence[str]) -> Columns:
    """Return the columns from which events are made; without keys, IDs are derived from all."""
    if not keys:
        return columns
    wanted = {*_KNOWN, *keys}
    pairs = [pair for pair in zip(*columns, strict=True) if pair[1] in wanted]
    return Columns(tuple(given for given, _ in pairs), tuple(name for _, name in pairs))


def case_problems(columns: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for columns that Spark cannot tell from each other."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in columns:
        spellings[name.lower()].append(name)
    for found in spellings.values():
        if len(found) > 1:
            names = " and ".join(found)
            yield f"columns {names} differ only in upper and lower case: rename or drop one of them"


def similar_columns(stream: str, columns: Columns, keys: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each column that is ignored and nearly has the name of one that counts.

    A column that has nearly the name of one that is there as well is not misspelled.
    """
    absent = [field.name for field in FIELDS if field.name not in columns.names]
    for name in columns.names:
        if name not in (*_KNOWN, *keys) and (near := nearest(name, absent, _SIMILAR)):
            yield (
                f"stream '{stream}' has a column '{name}', which is not an event column and is"
                f" ignored. Did you mean '{near}'?"
            )
