"""The other coercions as tables: what taps send on the left, what the API takes on the right."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from unit_support import HUGE, LI_DID

from target_liveintent.conversions import coerce
from target_liveintent.conversions.addresses import ip
from target_liveintent.conversions.coerce import UNUSABLE

UTC = dt.timezone.utc


@pytest.mark.parametrize(
    "read",
    [
        coerce.text,
        coerce.amount,
        coerce.positive_integer,
        coerce.source,
        coerce.currency_code,
        ip,
        coerce.device_id,
        coerce.flag,
        lambda value: coerce.unix_time(value, UTC),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        HUGE,
        -HUGE,
        Decimal("sNaN"),
        Decimal("-NaN"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        Decimal("Infinity"),
        1e308,
        5e-324,
        "9" * 6_000,
        "\ud800",
        "\x00",
        b"\xff",
        [],
        {},
        dt.datetime.max,  # noqa: DTZ901
        dt.date.min,
        dt.time.max,
        uuid.UUID(int=0),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_raises(read: Any, value: Any) -> None:
    """Every coercion returns a value, None or UNUSABLE for every value."""
    read(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1007.0, "1007"),
        (1007, "1007"),
        (-7, "-7"),
        (0, "0"),
        (Decimal("1007.0"), "1007"),
        (Decimal("1007.00"), "1007"),
        (Decimal("1E+3"), "1000"),
        (Decimal("10.50"), "10.50"),
        (10.5, "10.5"),
        (5710301790323, "5710301790323"),
        ("#1007", "#1007"),
        ("gid://shopify/Order/1007", "gid://shopify/Order/1007"),
        (" x ", "x"),
        ("Ünïcode", "Ünïcode"),
        (True, "true"),
        (False, "false"),
        (dt.date(2026, 8, 1), "2026-08-01"),
        (uuid.UUID(LI_DID), LI_DID),
        ("nobody", "nobody"),
    ],
)
def test_text(value: Any, plain: str) -> None:
    """Any scalar becomes text, whole numbers without a fraction."""
    assert coerce.text(value) == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (2**127 - 1, str(2**127 - 1)),
        (2**127, UNUSABLE),
        (-(2**127), UNUSABLE),
        (Decimal("1E+37"), "1" + "0" * 37),
        (Decimal("1E+38"), UNUSABLE),
        (Decimal("-1E-37"), "-0." + "0" * 36 + "1"),
        (Decimal("1E-38"), UNUSABLE),
    ],
)
def test_the_longest_numbers_as_text(value: Any, plain: Any) -> None:
    """A number that does not fit into 128 bits, with its sign, is nobody's ID."""
    assert coerce.text(value) == plain


@pytest.mark.parametrize(
    "value", [None, "", "  ", "None", "null", " null ", "NaN", float("nan"), Decimal("NaN")]
)
@pytest.mark.parametrize(
    "read",
    [
        coerce.text,
        coerce.positive_integer,
        coerce.source,
        coerce.currency_code,
        ip,
        coerce.device_id,
        coerce.flag,
        coerce.amount,
    ],
)
def test_texts_that_mean_nothing_are_absent(read: Any, value: Any) -> None:
    """Null, empty, `None`, `null` and NaN mean that a column has no value."""
    assert read(value) is None


@pytest.mark.parametrize(
    "value",
    [[], ["x"], {}, {"a": 1}, b"x", "\ud800", "a\udfffb", float("inf"), Decimal("-Infinity")],
)
def test_unusable_text(value: Any) -> None:
    """Lists, objects, bytes, infinities and lone surrogates cannot be text."""
    assert coerce.text(value) is UNUSABLE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("USD", "USD"),
        ("usd", "USD"),
        (" eur ", "EUR"),
        ("US", UNUSABLE),
        ("USDT", UNUSABLE),
        ("U$D", UNUSABLE),
        ("US1", UNUSABLE),
        ("ÜSD", UNUSABLE),
        ("ßs", UNUSABLE),
        ("ﬀa", UNUSABLE),
        ("$", UNUSABLE),
        (840, UNUSABLE),
        (["USD"], UNUSABLE),
    ],
)
def test_currency(value: Any, code: Any) -> None:
    """Three letters, trimmed and upper-cased; nothing becomes three letters by upper-casing."""
    assert coerce.currency_code(value) == code


@pytest.mark.parametrize(
    ("value", "device"),
    [
        (LI_DID, LI_DID),
        (f" {LI_DID} ", LI_DID),
        (uuid.UUID(LI_DID), LI_DID),
        ("00000000-0000-0000-0000-000000000000", None),
        (uuid.UUID(int=0), None),
        ("6d92078a", UNUSABLE),
        (LI_DID + "0", UNUSABLE),
        ("g" + LI_DID[1:], UNUSABLE),
        (5, UNUSABLE),
        ("\u0661" * 8 + LI_DID[8:], UNUSABLE),
    ],
)
def test_device_ids(value: Any, device: Any) -> None:
    """UUIDs; the all-zero one is left out."""
    assert coerce.device_id(value) == device


def test_an_upper_case_device_id_stays_the_same_uuid() -> None:
    """Apple writes them in upper case."""
    device = coerce.device_id(LI_DID.upper())
    assert isinstance(device, str)
    assert uuid.UUID(device) == uuid.UUID(LI_DID)


@pytest.mark.parametrize(
    ("value", "bit"),
    [
        (True, 1),
        (False, 0),
        (1, 1),
        (0, 0),
        (1.0, 1),
        (Decimal(0), 0),
        ("true", 1),
        ("True", 1),
        ("FALSE", 0),
        ("1", 1),
        (" 0 ", 0),
        (2, UNUSABLE),
        (-1, UNUSABLE),
        ("2", UNUSABLE),
        ("maybe", UNUSABLE),
        ([True], UNUSABLE),
        (0.5, UNUSABLE),
    ],
)
def test_flags(value: Any, bit: Any) -> None:
    """A boolean, 0, 1, or text of these, is 0 or 1 and an integer."""
    flag = coerce.flag(value)
    assert flag == bit
    assert flag is UNUSABLE or type(flag) is int


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4711, 4711),
        ("4711", 4711),
        (" 4711 ", 4711),
        (4711.0, 4711),
        ("4711.0", 4711),
        (Decimal("4711.0"), 4711),
        (2**63 - 1, 2**63 - 1),
        (2**63, UNUSABLE),
        (-1, UNUSABLE),
        (4711.5, UNUSABLE),
        ("x", UNUSABLE),
        ("٤٧", UNUSABLE),
        ("²", UNUSABLE),
        (True, UNUSABLE),
        ([1], UNUSABLE),
        ("1" * 5_000, UNUSABLE),
    ],
)
def test_pixel_ids(value: Any, number: Any) -> None:
    """An integer that fits an int64, as a number or as text."""
    found = coerce.positive_integer(value)
    assert found == number
    assert found is UNUSABLE or type(found) is int


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("web", "web"),
        ("app", "app"),
        ("offline", "offline"),
        (" Web ", "web"),
        ("pos", UNUSABLE),
        ("shopify_draft_order", UNUSABLE),
        (580111, UNUSABLE),
        (["web"], UNUSABLE),
    ],
)
def test_source(value: Any, source: Any) -> None:
    """One of three words; a shop's own words are not translated."""
    assert coerce.source(value) == source
