"""The helper functions of expressions: null-safe, exact, and never guessing."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import body, conversion, letter, name_of_huge, order

from target_liveintent.mapping.functions import (
    amount,
    coalesce,
    getter,
    local_time,
    lower,
    minor_units,
    strip,
)

RECORD: dict[str, Any] = {
    "customer": {"email": "ann@example.com", "name": None, "0": "zero"},
    "items": [{"sku": "A-1"}, None, []],
    "nothing": None,
    "": "no name",
}


NOTHING = (
    *("customer.name", "customer.name.first", "customer.email.0", "customer.phone", "nobody", ".."),
    *("items.1.sku", "items.2.0", "items.3", "items.-4", "items.sku", "items.\u0660"),
    *("items." + "9" * 5000, "nothing.at.all"),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("customer.email", "ann@example.com"),
        ("customer", RECORD["customer"]),
        ("customer.0", "zero"),
        ("items.0.sku", "A-1"),
        ("items.-3.sku", "A-1"),
        ("", "no name"),
        *((path, None) for path in NOTHING),
    ],
)
def test_get(path: str, value: Any) -> None:
    """A path leads to what is there, and to None where anything on the way is absent or null."""
    assert getter(RECORD)(path) == value


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ((None, "", " \t", "a", "b"), "a"),
        *((nothing, None) for nothing in ((), (None, ""))),
        *(((value, 1), value) for value in (0, False, [])),
        ((" a ",), " a "),
    ],
)
def test_coalesce(values: tuple[Any, ...], first: Any) -> None:
    """The first that says something; 0 and false do."""
    assert coalesce(*values) == first


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [
        *((1250, currency, "12.50") for currency in ("usd", " EUR ")),
        *((1250, currency, "1250") for currency in ("JPY", "krw")),
        *((1250, currency, "1.250") for currency in ("KWD", "bhd")),
        (1250, "CLF", "0.1250"),
        (0, "usd", "0.00"),
        (-5, "usd", "-0.05"),
        (7, "kwd", "0.007"),
        *((amount, "usd", "12.50") for amount in (Decimal("1250.0"), 1250.0, "1250")),
        (" -1250 ", "usd", "-12.50"),
        (2**63 - 1, "usd", "92233720368547758.07"),
    ],
)
def test_minor_units(amount: Any, currency: str, value: str) -> None:
    """By the currency's own decimals, and exact to the last digit, also in JSON."""
    made = minor_units(amount, currency)
    assert str(made) == value
    assert msgspec.json.Encoder(decimal_format="number").encode(made) == value.encode()


NO_AMOUNTS: list[Any] = [
    *(None, "", "x", "12.50", "1e3", "9" * 19, True, [1], {}, 12.5, Decimal("12.5"), math.nan),
    *(math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E999999")),
    *(Decimal("9E+999999999999"), 10**400, 2**63),
]
NO_CURRENCIES: list[Any] = [
    *(None, "", "USDT", "XYZ", "XAU", "XXX", "us", "dollars", "$", 840, ["USD"]),
    *("\uff35\uff33\uff24", "\u0131ls"),
]


@pytest.mark.parametrize(
    ("amount", "currency"),
    [*((one, "USD") for one in NO_AMOUNTS), *((1250, one) for one in NO_CURRENCIES)],
    ids=name_of_huge,
)
def test_minor_units_of_nothing_known(amount: Any, currency: Any) -> None:
    """They are null: nothing is guessed."""
    assert minor_units(amount, currency) is None


NOON = dt.datetime(2026, 8, 1, 12)  # noqa: DTZ001 (a time without a zone)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-08-01T12:00:00+00:00", "2026-08-01T12:00:00"),
        ("2026-08-01T12:00:00.617280+00:00", "2026-08-01T12:00:00.617280"),
        ("2026-08-01 12:00:00.61728+00", "2026-08-01 12:00:00.61728"),
        ("2026-08-01 12:00+0000", "2026-08-01 12:00"),
        ("2026-08-01T12:00:00-00:00", "2026-08-01T12:00:00"),
        (" 2026-08-01t12:00:00 Z\n", "2026-08-01t12:00:00"),
        ("2026-08-01T12:00:00z", "2026-08-01T12:00:00"),
        (NOON.replace(tzinfo=dt.timezone.utc), NOON),
        # What is not marked as UTC stays: another offset is known to be right.
        *(
            (value, value)
            for value in (
                *(None, "", "2026-08-01T12:00:00", "2026-08-01T12:00:00+02:00", "2026-08-01"),
                *("2026-08-01T12:00:00-04:00", "2026-08-01T12:00:00+00:30", "2026-08-00", [1]),
                *("a day in May, Z", 1_785_600_000, NOON, dt.date(2026, 8, 1)),
                NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
            )
        ),
    ],
)
def test_local_time(value: Any, wanted: Any) -> None:
    """The mark of UTC is taken away, in all forms in which taps write it, and nothing else is."""
    made = local_time(value)
    assert (made, type(made)) == (wanted, type(wanted))


def test_amount() -> None:
    """Without another decimal sign it is a comma, and numbers stay as they are."""
    assert amount("1.234,50") == Decimal("1234.50")
    assert amount("1,234.50", decimal=".") == Decimal("1234.50")
    assert (amount(None), amount(7), amount(Decimal("1.50"))) == (None, 7, Decimal("1.50"))


def test_an_amount_that_cannot_be_read_is_no_null() -> None:
    """An event that goes without it counts the column, as if the tap had sent nonsense."""
    left_out: dict[str, int] = {}
    sent = body(order(value=amount("12.50")), left_out=left_out)
    assert (sent["purchaseData"], left_out) == ({}, {"value": 1})
    assert letter(conversion(order(value=amount("12.50"))))["value"] == "unusable"


@pytest.mark.parametrize("value", [None, 5, [1]])
def test_lower_and_strip(value: Any) -> None:
    assert (lower(" Ab "), strip(" Ab ")) == (" ab ", "Ab")
    assert (lower(value), strip(value)) == (value, value)
