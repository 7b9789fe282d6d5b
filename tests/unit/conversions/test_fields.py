"""The table of fields: its columns, and the places in a record where they are read."""

from __future__ import annotations

from typing import Any

import pytest
from unit_support import (
    FULL,
    LI_DID,
    MD5,
    SHA2,
    body,
    conversion,
    order,
)

from target_liveintent.conversions.fields import FIELDS

COLUMNS = {
    "event_id",
    "event_time",
    "pixel_id",
    "source",
    "decision_id",
    "email",
    "md5",
    "sha2",
    "ip",
    "user_agent",
    "idfa",
    "aaid",
    "tracking_enabled",
    "currency",
    "value",
    "order_id",
    "source_url",
    "app_bundle",
    "consent",
}


def test_the_columns_are_those_of_the_specification() -> None:
    """No column more, none less."""
    assert {field.name for field in FIELDS} == COLUMNS


def test_the_api_spelling_is_accepted() -> None:
    """A tap that sends LiveIntent's own event gets the same event."""
    record = {
        "eventId": "1007",
        "eventTime": "2026-07-31T12:13:20Z",
        "pixelId": "12345",
        "source": "app",
        "decisionId": LI_DID,
        "userData": {
            "md5": MD5.upper(),
            "sha2": SHA2,
            "ip": "203.0.113.7",
            "ua": "Mozilla/5.0",
            "idfa": LI_DID,
            "aaid": LI_DID,
            "trackingEnabled": "true",
        },
        "purchaseData": {
            "currency": "USD",
            "value": "87.10",
            "orderId": "1007",
            "appBundle": "com.example.shop",
            "sourceUrl": "https://shop.example/p?a=1",
        },
    }
    assert conversion(record).body == conversion(FULL).body


def test_our_column_before_the_api_spelling() -> None:
    """Where both are there, ours counts; where ours is null, the other."""
    both = order(eventId="no", userData={"ip": "203.0.113.9"}, ip="203.0.113.7")
    assert body(both)["eventId"] == "1007"
    assert body(both)["userData"]["ip"] == "203.0.113.7"
    assert body({**both, "event_id": None, "ip": None})["eventId"] == "no"
    assert body({**both, "event_id": None, "ip": None})["userData"]["ip"] == "203.0.113.9"


@pytest.mark.parametrize("value", [None, "text", 5, [], [{"ip": "203.0.113.7"}], {"ip": None}, {}])
def test_nested_objects_that_are_none(value: Any) -> None:
    """A `userData` that is no object holds nothing, and raises nothing."""
    made = body(order(userData=value, purchaseData=value))
    assert made["userData"] == {"md5": MD5, "sha2": SHA2}
    assert made["purchaseData"] == {}


def test_columns_that_the_schema_does_not_name_are_not_read() -> None:
    """Columns are resolved once, when the SCHEMA arrives."""
    properties = ["event_id", "event_time", "email"]
    assert "currency" not in body(order(currency="USD"), properties=properties)["purchaseData"]
