"""The table of fields: its columns, and the places in a record where they are read."""

from __future__ import annotations

from typing import Any

import pytest
from unit_support import FULL, LI_DID, MD5, SHA2, body, conversion, order

from target_liveintent.conversions.fields import first_value, places_of


def test_places() -> None:
    """Our name comes before the API's spelling; columns that a stream lacks have no place."""
    assert places_of(["source", "ip", "userData", "eventId", "note"]) == {
        "event_id": (("eventId",),),
        "source": (("source",),),
        "md5": (("userData", "md5"),),
        "sha2": (("userData", "sha2"),),
        "ip": (("ip",), ("userData", "ip")),
        "user_agent": (("userData", "ua"),),
        "idfa": (("userData", "idfa"),),
        "aaid": (("userData", "aaid"),),
        "tracking_enabled": (("userData", "trackingEnabled"),),
    }


@pytest.mark.parametrize(
    ("record", "value"),
    [
        ({"ip": 1, "userData": {"ip": 2}}, 1),
        ({"ip": None, "userData": {"ip": 2}}, 2),
        ({"userData": {"ip": 0}}, 0),
        ({"userData": {"ip": None}}, None),
        ({"userData": "text"}, None),
        ({}, None),
    ],
)
def test_the_first_value(record: dict[str, Any], value: Any) -> None:
    """Null counts as absent, and a record may lack a place."""
    assert first_value(record, [("ip",), ("userData", "ip")]) == value


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
    """Where a record has both, ours counts unless it is null."""
    both = order(eventId="no", userData={"ip": "203.0.113.9"}, ip="203.0.113.7")
    ours, theirs = body(both), body({**both, "event_id": None, "ip": None})
    assert (ours["eventId"], ours["userData"]["ip"]) == ("1007", "203.0.113.7")
    assert (theirs["eventId"], theirs["userData"]["ip"]) == ("no", "203.0.113.9")


@pytest.mark.parametrize("value", [None, "text", 5, [], [{"ip": "203.0.113.7"}], {"ip": None}, {}])
def test_values_in_place_of_nested_objects(value: Any) -> None:
    """A `userData` that is not an object counts as empty and raises nothing."""
    assert body(order(userData=value, purchaseData=value)) == body(order())


def test_columns_that_the_schema_does_not_name_are_not_read() -> None:
    """Columns are resolved once, when the SCHEMA arrives."""
    properties = ["event_id", "event_time", "email"]
    assert body(order(currency="USD"), properties=properties) == body(order())
