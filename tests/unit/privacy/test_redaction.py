"""Redaction of values for dead letters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from unit_support import sha256

from target_liveintent.privacy.redaction import redact_column, redact_columns, redact_value

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
    assert redact_value("x" * 8_192) == "x" * 8_192
    assert redact_value("x" * 8_193) == "(8193 characters)"


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_the_limit_of_nesting(wrap: Callable[[Any], Any]) -> None:
    """What lies at the deepest level is kept; what lies deeper is left out."""
    deepest, emptied = "x", None
    for _ in range(50):
        deepest, emptied = wrap(deepest), wrap(emptied)
    assert redact_value(deepest) == deepest
    assert redact_value(wrap(deepest)) == wrap(emptied)


def test_columns() -> None:
    """Empty columns are left out, and those with a replaced address are listed."""
    columns = {"a": None, "b": ADDRESS, "c": 1, "d": f"to {ADDRESS}", "e": [ADDRESS]}
    written = {"b": HASH, "c": 1, "d": f"to {HASH}", "e": [HASH], "scrubbed": ["b", "d"]}
    assert redact_columns(columns) == written
    assert columns["b"] == ADDRESS


def test_a_column_that_needs_no_redaction_is_not_listed() -> None:
    """A replay sends it again."""
    columns = {"a": "plain"}
    redact_column(columns, "a")
    assert columns == {"a": "plain"}
