"""Events on the wire: the exact JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import FULL, LI_DID, MD5, NOW, SETTINGS, SHA2, conversion, order

from target_liveintent.conversions.coerce import exact
from target_liveintent.conversions.fields import FIELDS, ConversionEvent
from target_liveintent.conversions.model import request_body
from target_liveintent.store import letter_of


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
        userData={"name": "hush", "email": "hush@example.com", "ua": "UA"},
        purchaseData={"items": ["hush"], "orderId": "9"},
        _sdc_extracted_at="hush",
        Email="hush@example.com",
    )
    made = conversion(record)
    refused = made.rejected("refused_by_api", None, None)
    assert b"hush" not in made.body
    assert "hush" not in repr(letter_of(refused, SETTINGS, "run-1", NOW).row(1))


AMOUNTS = [
    (Decimal("87.10"), "87.10"),
    ("87.10", "87.10"),
    ("1,234.50", "1234.50"),
    (Decimal("0.1000"), "0.1000"),
    (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
    (10**25, "10000000000000000000000000"),
    (87, "87"),
    (87.28, "87.28"),
    (0.1, "0.1"),
    (0, "0"),  # Free orders and refunds have amounts too.
    ("-$5.00", "-5.00"),
    (Decimal("-0.01"), "-0.01"),
]


@pytest.mark.parametrize(("value", "digits"), AMOUNTS)
def test_amounts_keep_their_digits_on_the_wire(value: Any, digits: str) -> None:
    """An amount is a JSON number, and the delivered file and the report have all of its digits."""
    made = conversion(order(value=value))
    assert made.body.endswith(f'"purchaseData":{{"value":{digits}}}}}'.encode())
    assert str(exact(made.event.purchase_data.value)) == digits


def test_an_event_has_its_values_under_the_names_of_our_columns() -> None:
    event = conversion(FULL).event
    user, purchase = event.user_data, event.purchase_data
    found = {
        name: getattr(part, name)
        for part in (event, user, purchase)
        for name in part.__struct_fields__
        if name not in {"user_data", "purchase_data"}
    }
    expected = {
        **FULL,
        "md5": MD5,
        "sha2": SHA2,
        "ip": "203.0.113.7",
        "tracking_enabled": 1,
        "currency": "USD",
        "order_id": "1007",
    }
    del expected["email"]
    assert found == expected


def test_what_is_not_sent_is_none() -> None:
    event = conversion(order()).event
    assert event.decision_id is event.user_data.ip is event.purchase_data.value is None


def test_a_request_has_events_in_their_order() -> None:
    events = [conversion(order(event_id=number)) for number in range(3)]
    assert request_body(events) == b"[%b]" % b",".join(event.body for event in events)
    assert request_body([]) == b"[]"


def test_the_structs_have_the_fields_of_the_table() -> None:
    """Each field is where its path says, and a required one has no default."""
    schema = msgspec.json.schema(ConversionEvent)["$defs"]
    objects = {(): "ConversionEvent", ("userData",): "UserData", ("purchaseData",): "PurchaseData"}
    for path, name in objects.items():
        fields = [field for field in FIELDS if field.path and field.path[:-1] == path]
        properties = schema[name]["properties"].keys() - {"userData", "purchaseData"}
        assert properties == {field.path[-1] for field in fields}
        required = set(schema[name]["required"]) - {"userData", "purchaseData"}
        assert required == {field.path[-1] for field in fields if field.required}
