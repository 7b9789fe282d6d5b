"""Redaction of values for dead letters: JSON values with hashes in place of addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from target_liveintent.privacy.identity import MAX_NESTING, scrub

LONGEST_TEXT = 8_192
"""Characters; a longer text is not a value: no order ID, page or browser is that long."""


def redact_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns as a dead letter may hold them: JSON values without addresses and nulls.

    A further column, `scrubbed`, lists the columns in which a hash stands for an address: a replay
    leaves them out, as the event did.
    """
    written = {name: value for name, value in columns.items() if value is not None}
    for name in list(written):
        redact_column(written, name)
    return written


def redact_column(columns: dict[str, Any], name: str) -> None:
    """Redact one column in place."""
    before = columns[name]
    columns[name] = redact_value(before)
    if isinstance(before, str) and columns[name] != before:
        columns["scrubbed"] = [*columns.get("scrubbed", ()), name]


def redact_value(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 (a table of types)
    """Return a value as a dead letter may hold it; what is nested too deeply becomes None."""
    if depth > MAX_NESTING:
        return None
    if isinstance(value, dict):
        return {_redact_text(str(k)): redact_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    if isinstance(value, int):  # The JSON encoder takes at most 64 bits.
        return value if abs(value) < 2**63 else Decimal(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return _redact_text(str(value))


def _redact_text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        return f"({len(value)} characters)"
    return scrub(value if value.isascii() else value.encode(errors="replace").decode())
