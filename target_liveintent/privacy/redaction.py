"""What a dead letter may hold of a record: JSON values, with hashes in place of addresses."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_liveintent.conversions import coerce
from target_liveintent.privacy.identity import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST = 50
"""Levels of nesting that a letter shows."""


def redact_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as a dead letter may hold them: JSON values that say something, no address.

    Columns in which a hash stands for an address are named in one more, `scrubbed`: a replay leaves
    them out, as the event did.
    """
    written = {name: value for name, value in columns.items() if value is not None}
    for name in list(written):
        redact_column(written, name)
    return written


def redact_column(columns: dict[str, Any], name: str) -> None:
    """Put what a letter may hold in a column's place, and note where that was another text."""
    before = columns[name]
    columns[name] = redact_value(before)
    if isinstance(before, str) and columns[name] != before:
        columns["scrubbed"] = [*columns.get("scrubbed", ()), name]


def redact_value(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 (a table of types)
    """A value as a letter may hold it; what is nested too deeply is left out."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {_letter_text(str(k)): redact_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    if isinstance(value, int):
        return value if abs(value) < 2**63 else Decimal(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return _letter_text(str(value))


def _letter_text(value: str) -> str:
    if len(value) > coerce.LONGEST_TEXT:
        return f"({len(value)} characters)"
    return scrub(value if value.isascii() else value.encode(errors="replace").decode())
