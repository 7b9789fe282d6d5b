"""Events on the wire: the exact JSON, and what is read back from it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    FULL,
    LI_DID,
    MD5,
    SHA2,
    TIME,
    body,
    conversion,
    order,
)

from target_liveintent.storage.dead_letters import dead_letter_line


def test_the_json_of_a_full_event() -> None:
    """An event with every column, byte for byte as the API's guide has it, digits kept."""
    assert body(FULL) == {
        "eventId": "1007",
        "eventTime": TIME,
        "pixelId": 12345,
        "source": "app",
        "decisionId": LI_DID,
        "userData": {
            "md5": MD5,
            "sha2": SHA2,
            "ip": "203.0.113.7",
            "ua": "Mozilla/5.0",
            "idfa": LI_DID,
            "aaid": LI_DID,
            "trackingEnabled": 1,
        },
        "purchaseData": {
            "currency": "USD",
            "value": 87.1,
            "orderId": "1007",
            "appBundle": "com.example.shop",
            "sourceUrl": "https://shop.example/p?a=1",
        },
    }
    text = conversion(FULL).body.decode()
    assert '"value":87.10' in text
    assert '"eventTime":1785500000,' in text
    assert '"trackingEnabled":1' in text


def test_the_json_of_the_smallest_event() -> None:
    """Both objects are required; what is not known is not in them."""
    assert body(order()) == {
        "eventId": "1007",
        "eventTime": TIME,
        "pixelId": 4711,
        "source": "web",
        "userData": {"md5": MD5, "sha2": SHA2},
        "purchaseData": {},
    }


def test_nothing_else_of_the_record_is_sent_or_kept() -> None:
    """Columns that the API does not know never leave the machine."""
    record = order(
        note="hush",
        order_status_url="https://shop.example/hush",
        userData={"name": "hush", "email": "hush@example.com", "ua": "UA"},
        purchaseData={"items": ["hush"], "orderId": "9"},
        _sdc_extracted_at="hush",
        Email="hush@example.com",
    )
    made = conversion(record)
    refused = made.rejected("refused_by_api", None, None)
    assert b"hush" not in made.body
    assert b"hush" not in dead_letter_line(refused)


@pytest.mark.parametrize("value", [0, "0.00", -5, "-$5.00", Decimal("-0.01")])
def test_zero_and_negative_amounts_are_sent(value: Any) -> None:
    """Free orders and refunds have amounts too."""
    assert float(body(order(value=value))["purchaseData"]["value"]) <= 0


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (Decimal("87.10"), b"87.10"),
        ("87.10", b"87.10"),
        ("1,234.50", b"1234.50"),
        (Decimal("0.1000"), b"0.1000"),
        (Decimal("12345678901234567890.123456789"), b"12345678901234567890.123456789"),
        (87, b"87"),
        (87.28, b"87.28"),
    ],
)
def test_amounts_keep_their_digits_on_the_wire(value: Any, digits: bytes) -> None:
    """A JSON number, not text, with the digits that came."""
    assert b'"value":' + digits + b"}" in conversion(order(value=value)).body
