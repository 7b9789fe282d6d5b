"""The helper functions of expressions: null-safe, exact, and never guessing."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_support import body, conversion, letter, order

from target_liveintent.mapping.functions import (
    FUNCTIONS,
    amount,
    coalesce,
    getter,
    local_time,
    lower,
    minor_units,
    strip,
    walk,
)

RECORD: dict[str, Any] = {
    "customer": {"email": "ann@example.com", "name": None, "0": "zero"},
    "items": [{"sku": "A-1"}, None, []],
    "nothing": None,
    "": "no name",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("customer.email", "ann@example.com"),
        ("customer", RECORD["customer"]),
        ("customer.0", "zero"),
        ("customer.name", None),
        ("customer.name.first", None),
        ("customer.email.0", None),
        ("customer.phone", None),
        ("items.0.sku", "A-1"),
        ("items.-3.sku", "A-1"),
        ("items.1.sku", None),
        ("items.2.0", None),
        ("items.3", None),
        ("items.-4", None),
        ("items.sku", None),
        ("items.\u0660", None),
        ("items." + "9" * 5000, None),
        ("nothing.at.all", None),
        ("nobody", None),
        ("", "no name"),
        ("..", None),
    ],
)
def test_get(path: str, value: Any) -> None:
    """A path leads to what is there, and to None where anything on the way is absent or null."""
    assert getter(RECORD)(path) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from("ab0"), json_values), st.text("ab01.-", max_size=9))
def test_get_never_fails(record: dict[str, Any], path: str) -> None:
    """Whatever the record is, any path is walked to its end."""
    found = getter(record)(path)
    assert found is None or repr(found) in repr(record)
    assert walk(record, path.split(".")) == found


@pytest.mark.parametrize("path", [None, 5, {"email": "x"}])
def test_get_without_quotes(path: Any) -> None:
    """A path that is not text is a mistake in the map, and fails."""
    with pytest.raises(AttributeError):
        getter(RECORD)(path)


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ((), None),
        ((None, "", " \t", "a", "b"), "a"),
        ((None, ""), None),
        ((0, 1), 0),
        ((False, 1), False),
        (([], 1), []),
        ((" a ",), " a "),
    ],
)
def test_coalesce(values: tuple[Any, ...], first: Any) -> None:
    """The first that says something; 0 and false do."""
    assert coalesce(*values) == first


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [
        (1250, "usd", "12.50"),
        (1250, " EUR ", "12.50"),
        (1250, "JPY", "1250"),
        (1250, "krw", "1250"),
        (1250, "KWD", "1.250"),
        (1250, "bhd", "1.250"),
        (1250, "CLF", "0.1250"),
        (0, "usd", "0.00"),
        (-5, "usd", "-0.05"),
        (7, "kwd", "0.007"),
        (Decimal("1250.0"), "usd", "12.50"),
        (1250.0, "usd", "12.50"),
        ("1250", "usd", "12.50"),
        (" -1250 ", "usd", "-12.50"),
        (2**63 - 1, "usd", "92233720368547758.07"),
    ],
)
def test_minor_units(amount: Any, currency: str, value: str) -> None:
    """By the currency's own decimals, and exact to the last digit, also in JSON."""
    made = minor_units(amount, currency)
    assert str(made) == value
    encoded = msgspec.json.Encoder(decimal_format="number").encode(made)
    assert encoded.decode() == value


@pytest.mark.parametrize(
    "amount",
    [
        *(None, "", "x", "12.50", "1e3", "9" * 19, True, [1], {}, 12.5, Decimal("12.5"), 2**63),
        *(math.nan, math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")),
        *(Decimal("1E999999"), Decimal("9E+999999999999"), 10**400),
    ],
)
def test_minor_units_of_no_amount(amount: Any) -> None:
    """An amount that is not an integer of minor units gives null: nothing is guessed."""
    assert minor_units(amount, "USD") is None


@pytest.mark.parametrize(
    "currency",
    [
        None,
        "",
        "USDT",
        "XYZ",
        "XAU",
        "XXX",
        "us",
        "dollars",
        "$",
        840,
        ["USD"],
        "\uff35\uff33\uff24",
        "\u0131ls",
    ],
)
def test_minor_units_of_no_currency(currency: Any) -> None:
    """An unknown currency has no decimals that could be known."""
    assert minor_units(1250, currency) is None


@given(st.integers(-(2**62), 2**62), st.sampled_from(["USD", "JPY", "KWD", "UYW"]))
def test_minor_units_lose_nothing(amount: int, currency: str) -> None:
    """No digit is rounded, regardless of the context's precision."""
    decimals = {"USD": 2, "JPY": 0, "KWD": 3, "UYW": 4}[currency]
    with decimal.localcontext() as context:
        context.prec = 3
        made = minor_units(amount, currency)
    assert made is not None
    assert int(str(made).replace(".", "")) == amount
    assert len(str(made).partition(".")[2]) == decimals


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
        (dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc), dt.datetime(2026, 8, 1, 12)),  # noqa: DTZ001
    ],
)
def test_local_time(value: Any, wanted: Any) -> None:
    """The mark of UTC is taken away, in all forms in which taps write it."""
    assert local_time(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "2026-08-01T12:00:00",
        "2026-08-01T12:00:00+02:00",
        "2026-08-01T12:00:00-04:00",
        "2026-08-01T12:00:00+00:30",
        "2026-08-01",
        "2026-08-00",
        "a day in May, Z",
        1_785_600_000,
        [1],
        dt.datetime(2026, 8, 1, 12),  # noqa: DTZ001 (that is the case)
        dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.date(2026, 8, 1),
    ],
)
def test_local_time_of_anything_else(value: Any) -> None:
    """What is not marked as UTC stays: another offset is known to be right."""
    assert local_time(value) is value


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


@pytest.mark.parametrize(("value", "wanted"), [(" Ab ", " ab "), (None, None), (5, 5), ([1], [1])])
def test_lower(value: Any, wanted: Any) -> None:
    assert lower(value) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(" Ab ", "Ab"), (None, None), (5, 5), ([1], [1])])
def test_strip(value: Any, wanted: Any) -> None:
    assert strip(value) == wanted


def test_the_table() -> None:
    """Each helper is there once, and its example of use calls it."""
    names = [function.name for function in FUNCTIONS]
    assert names == ["get", "coalesce", "minor_units", "amount", "local_time", "lower", "strip"]
    assert all(f.signature.startswith(f.name + "(") and f.meaning for f in FUNCTIONS)
