"""Amounts: numbers that keep their digits, and what is not a number."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import HUGE, name_of_huge

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE

AMOUNTS: list[tuple[Any, str]] = [
    *((digits, digits) for digits in ("87.28", "87.10", "-5.00", "0", "0.00")),
    ("$12.50", "12.50"),
    ("1,234.50", "1234.50"),
    ("$1,234,567.89", "1234567.89"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("+5", "5"),
    ("€12", "12"),
    ("£0.99", "0.99"),
    ("  12 ", "12"),
    ("007.50", "7.50"),
    (Decimal("87.10"), "87.10"),
    (Decimal(-3), "-3"),
    (Decimal("0.1000"), "0.1000"),
    (87.28, "87.28"),
    (0.1, "0.1"),
    (0, "0"),
    (0.0, "0.0"),
    (-5, "-5"),
    (1_234, "1234"),
    (12345678901234567890, "12345678901234567890"),
    (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
    *((number, str(number)) for number in (2**63, -(2**63), 10**19, 10**25)),
    *((str(number), str(number)) for number in (2**63, -(2**63), 10**19, 10**25)),
]


@pytest.mark.parametrize(("value", "digits"), AMOUNTS)
def test_amounts_keep_their_digits(value: Any, digits: str) -> None:
    """An amount is a JSON number with the digits that the tap sent."""
    number = coerce.amount(value)
    assert isinstance(number, (int, float, Decimal)), number
    assert msgspec.json.Encoder(decimal_format="number").encode(number).decode() == digits


@pytest.mark.parametrize(
    "value",
    [
        *("12,50", "1.234,50", "1,23.5", "1,2345", "1234,567", ",123", "1,,234", "1,234,", "x5"),
        *("1,234.5,6", "12.50.1", "abc", "$", "-", "--5", "-$-5", "$$5", "USD 12", "12 USD"),
        *("1_000", "0x10", "\uff11\uff12", "٣", "(5)", "inf", "Infinity", "-Infinity", "1e400"),
        *("\ud800", "9" * 400, True, False, float("inf"), float("-inf"), Decimal("Infinity")),
        *(Decimal("1E+400"), HUGE, [5], {"amount": 5}, b"5", dt.date(2026, 8, 1)),
    ],
    ids=name_of_huge,
)
def test_unusable_amounts(value: Any) -> None:
    """Only a finite number with dots and groups of three is usable; nothing is guessed."""
    assert coerce.amount(value) is UNUSABLE


# Text whose decimal sign is known


@pytest.mark.parametrize(
    ("decimal", "number", "texts"),
    [
        (",", "12.50", ["12,50", " 12,50 \u20ac ", "12,50\u00a0\u20ac", "\u20ac12,50"]),
        (",", "12.50", ["\u20ac\u00a012,50", "12,50\u20ac"]),
        (",", "-12.50", ["-12,50", "\u221212,50", "-12,50 \u20ac"]),
        (",", "1234.50", ["1.234,50", "1 234,50", "1\u00a0234,50", "1\u202f234,50"]),
        (",", "1234567.5", ["1.234.567,5"]),
        (",", "1234", ["1.234", "1234"]),
        (".", "1234.50", ["1,234.50", "1'234.50", "1\u2019234.50"]),
        (".", "12.50", ["12.50 $"]),
        (",", "unusable", ["12.50", "1,234.50", "12.34,50", "1,2,3", "1.234,", "x", "12 EUR"]),
        (",", "unusable", ["\u20ac", "1  234", "\u20ac12\u20ac", "--5", True, [5]]),
        (".", "unusable", ["12,50", "1.234,50"]),
        (",", "None", [None, "", "  ", "null", "NaN", "\u00a0"]),
        # A number has no decimal sign.
        (",", "12.5", [12.5]),
        (",", "1.10", [Decimal("1.10")]),
    ],
)
def test_local_amounts(decimal: str, number: str, texts: list[Any]) -> None:
    """The amount keeps its digits; what could be read in another way is not read at all."""
    assert [str(coerce.local_amount(text, decimal)) for text in texts] == [number] * len(texts)


@pytest.mark.parametrize("decimal", ["", ";", ",."])
def test_a_decimal_sign_that_is_none(decimal: str) -> None:
    """It is a mistake in the map, and fails."""
    with pytest.raises(ValueError, match="decimal sign"):
        coerce.local_amount("1,5", decimal)
