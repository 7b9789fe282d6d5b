"""The table of columns: what a stream must have, and the exact JSON."""

from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    ADDRESS,
    BARE,
    DAY,
    DEFAULTS,
    FULL,
    LI_DID,
    MD5,
    NOW,
    SETTINGS,
    SHA2,
    body,
    conversion,
    order,
)

from target_liveintent.conversions.coerce import exact
from target_liveintent.conversions.fields import (
    FROM_SETTINGS,
    missing_columns,
    missing_columns_message,
)
from target_liveintent.conversions.model import MARGIN, WINDOWS, Rejection, request_body
from target_liveintent.settings import EventDefaults
from target_liveintent.store import letter_of


def test_columns_that_the_schema_does_not_name_are_not_read() -> None:
    """Columns are resolved once, when the SCHEMA arrives."""
    properties = ["event_id", "event_time", "email"]
    assert body(order(currency="USD"), properties=properties) == body(order())


# What a stream must have so that events can be built from its records

ALL = ["event_time", "email", "pixel_id", "source"]


@pytest.mark.parametrize(
    ("properties", "defaults", "missing"),
    [
        *((["event_time", name], DEFAULTS, []) for name in ("email", "md5", "sha2", "decision_id")),
        (["event_time", "source_url"], DEFAULTS, []),
        (ALL, BARE, []),
        (["email"], DEFAULTS, ["event_time"]),
        (["event_time"], DEFAULTS, ["email"]),
        (["event_time", "ip", "idfa"], DEFAULTS, ["email"]),
        (["event_time", "email"], BARE, ["pixel_id", "source"]),
        (["event_time", "email", "pixel_id"], BARE, ["source"]),
        ([], BARE, ALL),
        (["created_at", "Email"], DEFAULTS, ["event_time", "email"]),
    ],
)
def test_missing_columns(
    properties: list[str], defaults: EventDefaults, missing: list[str]
) -> None:
    """Everything that a stream lacks has a phrase of its own."""
    phrases = missing_columns(properties, defaults)
    assert len(phrases) == len(missing)
    assert all(name in phrase for phrase, name in zip(phrases, missing, strict=True))


def test_what_a_setting_can_supply() -> None:
    """The settings supply exactly the phrases that disappear when they are set."""
    missing = missing_columns([], BARE)
    supplied = set(missing) - set(missing_columns([], DEFAULTS))
    assert supplied == FROM_SETTINGS


def test_the_message() -> None:
    """It names the stream and everything that is missing."""
    assert missing_columns_message("orders", missing_columns(["email"], BARE)) == (
        "stream 'orders' cannot produce any event: it lacks event_time;"
        " pixel_id (a column, or the setting pixel_id);"
        " source (a column, or the setting default_source)."
    )


# Events on the wire: the exact JSON


def test_the_json_of_a_full_event() -> None:
    """An event with every field, byte for byte as in the API's guide, the digits kept."""
    assert conversion(FULL).body.decode() == (
        '{"eventId":"1007","eventTime":1785500000,"pixelId":12345,"source":"app",'
        f'"userData":{{"md5":"{MD5}","sha2":"{SHA2}","ip":"203.0.113.7","ua":"Mozilla/5.0",'
        f'"idfa":"{LI_DID}","aaid":"{LI_DID}","trackingEnabled":1}},'
        '"purchaseData":{"currency":"USD","value":87.10,"orderId":"1007",'
        '"sourceUrl":"https://shop.example/p?a=1","appBundle":"com.example.shop"},'
        f'"decisionId":"{LI_DID}"}}'
    )


def test_the_json_of_the_smallest_event() -> None:
    """Both objects are required; fields without a value are absent."""
    assert conversion(order()).body.decode() == (
        '{"eventId":"1007","eventTime":1785500000,"pixelId":4711,"source":"web",'
        f'"userData":{{"md5":"{MD5}","sha2":"{SHA2}"}},"purchaseData":{{}}}}'
    )


def test_nothing_else_of_the_record_is_sent_or_kept() -> None:
    """Columns that the API does not know never leave the machine."""
    record = order(
        note="hush",
        order_status_url="https://shop.example/hush",
        userData={"ua": "hush", "email": "hush@example.com"},
        _sdc_extracted_at="hush",
        Email="hush@example.com",
    )
    made = conversion(record)
    refused = made.rejected("refused_by_api", None, None)
    assert b"hush" not in made.body
    assert "hush" not in repr(letter_of(refused, SETTINGS, "run-1", NOW).row(1, NOW))


@pytest.mark.parametrize(
    ("value", "digits"),
    [(Decimal("87.10"), "87.10"), ("1,234.50", "1234.50"), (87.28, "87.28"), (0, "0")],
)
def test_amounts_keep_their_digits_on_the_wire(value: Any, digits: str) -> None:
    """An amount is a JSON number, and the delivered file and the report have all of its digits."""
    made = conversion(order(value=value))
    assert made.body.endswith(f'"purchaseData":{{"value":{digits}}}}}'.encode())
    assert str(exact(made.event.purchase_data.value)) == digits


def test_a_request_has_events_in_their_order() -> None:
    events = [conversion(order(event_id=number)) for number in range(3)]
    assert request_body(events) == b"[%b]" % b",".join(event.body for event in events)
    assert request_body([]) == b"[]"


# Conversions and rejections as values, and the age windows


def test_the_windows_are_those_of_the_guide() -> None:
    """Seven days online, thirty days offline, and a minute of margin."""
    assert WINDOWS == {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
    assert tuple(WINDOWS) == ("web", "app", "offline")
    assert MARGIN == 60


@pytest.mark.parametrize("detail", [None, "the API says no"])
def test_a_conversion_that_is_refused_becomes_a_rejection(detail: str | None) -> None:
    """It keeps its ID and its columns, with hashes in place of the address."""
    made = conversion(order(order_id="7"), stream="sales")
    assert made.rejected("refused_by_api", "order_id", detail) == Rejection(
        "sales",
        "1007",
        "refused_by_api",
        "order_id",
        {"event_time": made.columns["event_time"], "order_id": "7", "md5": MD5, "sha2": SHA2},
        detail,
    )
    assert ADDRESS not in repr(made)
