"""Amounts: numbers that keep their digits, and what is not a number."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import HUGE, name_of_huge

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE

AMOUNTS: list[tuple[Any, Any]] = [
    ("87.28", "87.28"),
    ("87.10", "87.10"),
    ("$12.50", "12.50"),
    ("1,234.50", "1234.50"),
    ("$1,234,567.89", "1234567.89"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("-5.00", "-5.00"),
    ("+5", "5"),
    ("€12", "12"),
    ("£0.99", "0.99"),
    ("0", "0"),
    ("0.00", "0.00"),
    ("  12 ", "12"),
    ("007.50", "7.50"),
    (Decimal("87.10"), "87.10"),
    (Decimal(-3), "-3"),
    (87.28, "87.28"),
    (0.1, "0.1"),
    (0, "0"),
    (0.0, "0.0"),
    (-5, "-5"),
    (1_234, "1234"),
    (12345678901234567890, "12345678901234567890"),
    (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
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
        "12,50",
        "1.234,50",
        "1,23.5",
        "1,2345",
        "1234,567",
        ",123",
        "1,,234",
        "1,234,",
        "1,234.5,6",
        "12.50.1",
        "abc",
        "$",
        "-",
        "--5",
        "-$-5",
        "$$5",
        "USD 12",
        "12 USD",
        "1_000",
        "0x10",
        "\uff11\uff12",
        "٣",
        "x5",
        "(5)",
        "inf",
        "Infinity",
        "-Infinity",
        "1e400",
        "\ud800",
        "9" * 400,
        True,
        False,
        float("inf"),
        float("-inf"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        HUGE,
        [5],
        {"amount": 5},
        b"5",
        dt.date(2026, 8, 1),
    ],
    ids=name_of_huge,
)
def test_unusable_amounts(value: Any) -> None:
    """Only a finite number with dots and groups of three is usable; nothing is guessed."""
    assert coerce.amount(value) is UNUSABLE


@pytest.mark.parametrize(
    "value", [None, "", " ", "None", "null", "NaN", float("nan"), Decimal("NaN")]
)
def test_absent_amounts(value: Any) -> None:
    """Postgres' NaN and a stream map's str(null) mean that there is no amount."""
    assert coerce.amount(value) is None


def test_a_whole_number_means_the_same_as_its_text() -> None:
    """A whole number gives one amount, as a number and as text."""
    for value in (2**63, -(2**63), 10**19, 10**25):
        assert coerce.amount(str(value)) == value
        assert coerce.amount(value) == value


def test_floats_are_written_as_they_came() -> None:
    """No digit of an amount changes on its way to JSON."""
    number = coerce.amount(Decimal("0.10"))
    assert isinstance(number, Decimal)
    assert str(number) == "0.10"
    assert math.isclose(float(number), 0.1)
