"""The other coercions as tables: what taps send on the right, what the API takes on the left."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from unit_support import HUGE, LI_DID

from target_liveintent.conversions import coerce
from target_liveintent.conversions.addresses import ip
from target_liveintent.conversions.coerce import UNUSABLE

UTC = dt.timezone.utc
ZERO = uuid.UUID(int=0)
READ: list[Callable[[Any], Any]] = [
    *(coerce.text, coerce.amount, coerce.positive_integer, coerce.source, coerce.currency_code),
    *(ip, coerce.device_id, coerce.flag, lambda value: coerce.unix_time(value, UTC)),
]
ODD: list[Any] = [
    *(HUGE, -HUGE, Decimal("sNaN"), Decimal("-NaN"), Decimal("1E+999999"), Decimal("1E-999999")),
    *(Decimal("Infinity"), 1e308, 5e-324, "9" * 6_000, "\ud800", "\x00", b"\xff", [], {}, ZERO),
    *(dt.datetime.max, dt.date.min, dt.time.max, object()),  # noqa: DTZ901
]


@pytest.mark.parametrize("read", READ)
def test_nothing_raises_and_what_means_nothing_is_absent(read: Callable[[Any], Any]) -> None:
    """Every coercion returns a value, None or UNUSABLE; null, empty texts and NaN are None."""
    for value in ODD:
        read(value)
    for nothing in (None, "", "  ", "None", "null", " null ", "NaN", float("nan"), Decimal("NaN")):
        assert read(nothing) is None


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
        (2**127 - 1, str(2**127 - 1)),
        (2**127, UNUSABLE),
        (-(2**127), UNUSABLE),
        (Decimal("1E+37"), "1" + "0" * 37),
        (Decimal("1E+38"), UNUSABLE),
        (Decimal("-1E-37"), "-0." + "0" * 36 + "1"),
        (Decimal("1E-38"), UNUSABLE),
    ],
)
def test_text(value: Any, plain: Any) -> None:
    """Any scalar becomes text, whole numbers without a fraction, if it fits into 128 bits."""
    assert coerce.text(value) == plain


UPPER = LI_DID.upper()


@pytest.mark.parametrize(
    ("read", "expected", "values"),
    [
        (coerce.text, UNUSABLE, [[], ["x"], {}, {"a": 1}, b"x", "\ud800", "a\udfffb"]),
        (coerce.text, UNUSABLE, [float("inf"), Decimal("-Infinity")]),
        (coerce.currency_code, "USD", ["USD", "usd", " Usd "]),
        (coerce.currency_code, UNUSABLE, ["US", "USDT", "U$D", "US1", "ÜSD", "ßs", "ﬀa", "$"]),
        (coerce.currency_code, UNUSABLE, [840, ["USD"]]),
        (coerce.device_id, LI_DID, [LI_DID, f" {LI_DID} ", uuid.UUID(LI_DID)]),
        (coerce.device_id, UPPER, [UPPER]),  # Apple writes them in upper case.
        (coerce.device_id, None, [str(ZERO), ZERO]),
        (coerce.device_id, UNUSABLE, ["6d92078a", LI_DID + "0", "g" + LI_DID[1:], 5]),
        (coerce.device_id, UNUSABLE, ["\u0661" * 8 + LI_DID[8:]]),
        (coerce.flag, 1, [True, 1, 1.0, "true", "True", "1"]),
        (coerce.flag, 0, [False, 0, Decimal(0), "FALSE", " 0 "]),
        (coerce.flag, UNUSABLE, [2, -1, "2", "maybe", [True], 0.5]),
        (coerce.positive_integer, 4711, [4711, "4711", " 4711 ", 4711.0, "4711.0", Decimal(4711)]),
        (coerce.positive_integer, 2**63 - 1, [2**63 - 1]),
        (coerce.positive_integer, UNUSABLE, [2**63, 0, -1, 4711.5, "x", True, [1], "1" * 5_000]),
        (coerce.positive_integer, UNUSABLE, ["0" * 19 + "1" + "9" * 30, "0" * 200 + "1"]),
        (coerce.positive_integer, 7, ["0" * 30 + "7"]),
        (coerce.positive_integer, UNUSABLE, ["٤٧", "²"]),
        (coerce.source, "web", ["web", " Web "]),
        (coerce.source, "app", ["app"]),
        (coerce.source, "offline", ["offline"]),
        (coerce.source, UNUSABLE, ["pos", "shopify_draft_order", 580111, ["web"]]),
    ],
)
def test_the_other_types(read: Callable[[Any], Any], expected: Any, values: list[Any]) -> None:
    """Currencies, UUIDs of devices, flags, pixel IDs that fit an int64, and the three sources."""
    found = [read(value) for value in values]
    assert found == [expected] * len(values)
    assert {type(one) for one in found} == {type(expected)}
