"""Events on the wire: the exact JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from unit_support import FULL, LI_DID, MD5, NOW, SETTINGS, SHA2, conversion, order

from target_liveintent.conversions.coerce import exact
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
