"""Redaction of values for dead letters."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from unit_support import sha256

from target_liveintent.privacy.identity import MAX_NESTING
from target_liveintent.privacy.redaction import (
    LONGEST_TEXT,
    redact_column,
    redact_columns,
    redact_value,
)

ADDRESS = "ann@example.com"
HASH = sha256(ADDRESS)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (2**63 - 1, 2**63 - 1),
        (Decimal("1.10"), Decimal("1.10")),
        (Decimal("Infinity"), "Infinity"),
        (dt.date(2026, 8, 1), "2026-08-01"),
        (dt.datetime(2026, 8, 1, tzinfo=dt.timezone.utc), "2026-08-01T00:00:00+00:00"),
        (dt.time(1, 2), "01:02:00"),
        ("plain", "plain"),
        ("a\ud800", "a?"),
        (f"to {ADDRESS}", f"to {HASH}"),
        ([ADDRESS, (ADDRESS,)], [HASH, [HASH]]),
        ({ADDRESS: {"a": ADDRESS}, 1: 2}, {HASH: {"a": HASH}, "1": 2}),
    ],
)
def test_values(value: Any, written: Any) -> None:
    """JSON values stay, all others become text, and a hash replaces each address."""
    assert redact_value(value) == written


def test_integers_beyond_64_bits() -> None:
    """The JSON encoder writes them as decimals only."""
    for value in (2**63, -(2**63), 10**30):
        written = redact_value(value)
        assert isinstance(written, Decimal)
        assert written == value


def test_long_texts() -> None:
    """A text that is too long for any value is not kept, but its length is."""
    assert redact_value("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert redact_value("x" * (LONGEST_TEXT + 1)) == f"({LONGEST_TEXT + 1} characters)"


def nested(depth: int, innermost: Any, *, objects: bool) -> Any:
    """Return a value inside so many lists or objects."""
    for _ in range(depth):
        innermost = {"a": innermost} if objects else [innermost]
    return innermost


@pytest.mark.parametrize("objects", [False, True])
def test_the_limit_of_nesting(objects: bool) -> None:
    """What lies at the deepest level is kept; what lies deeper is left out."""
    deepest = nested(MAX_NESTING, "x", objects=objects)
    assert redact_value(deepest) == deepest
    deeper = nested(MAX_NESTING + 1, "x", objects=objects)
    assert redact_value(deeper) == nested(MAX_NESTING + 1, None, objects=objects)


def test_columns() -> None:
    """Empty columns are left out, and those with a replaced address are listed."""
    columns = {"a": None, "b": ADDRESS, "c": 1, "d": f"to {ADDRESS}", "e": [ADDRESS]}
    assert redact_columns(columns) == {
        "b": HASH,
        "c": 1,
        "d": f"to {HASH}",
        "e": [HASH],
        "scrubbed": ["b", "d"],
    }
    assert columns["b"] == ADDRESS


def test_a_column_that_needs_no_redaction_is_not_listed() -> None:
    """A replay sends it again."""
    columns = {"a": "plain"}
    redact_column(columns, "a")
    assert columns == {"a": "plain"}
