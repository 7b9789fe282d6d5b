"""Optional columns: what is sent, what is left out, and what is counted."""

from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    DEFAULTS,
    FULL,
    HUGE,
    LI_DID,
    NOW,
    body,
    conversion,
    counted,
    letter,
    order,
    sent_again,
)

from target_liveintent.conversions.builder import EventBuilder

OPTIONAL = {
    "ip": ("203.0.113", ("userData", "ip")),
    "user_agent": (["x"], ("userData", "ua")),
    "idfa": ("x", ("userData", "idfa")),
    "aaid": ("x", ("userData", "aaid")),
    "tracking_enabled": ("maybe", ("userData", "trackingEnabled")),
    "currency": ("dollars", ("purchaseData", "currency")),
    "value": ("12,50", ("purchaseData", "value")),
    "order_id": ({"a": 1}, ("purchaseData", "orderId")),
    "source_url": (["x"], ("purchaseData", "sourceUrl")),
    "app_bundle": ("\ud800", ("purchaseData", "appBundle")),
    "decision_id": (["x"], ("decisionId",)),
}
"""Each optional column with a value that cannot be read, and the place of its field."""
ADDRESS = "ann@example.com"


def without(column: str) -> Any:
    """Return the full event without a column, by which all else is what it was."""
    return body({name: value for name, value in FULL.items() if name != column})


@pytest.mark.parametrize("column", OPTIONAL)
def test_a_column_with_nothing_usable_is_left_out(column: str) -> None:
    """Empty values are never sent as null; what cannot be read or has an address is counted."""
    *path, last = OPTIONAL[column][1]
    place = body(FULL)
    for step in path:
        place = place[step]
    assert last in place
    for empty in (None, "", "  ", "None", "null", "NaN", float("nan"), Decimal("NaN")):
        assert body({**FULL, column: empty}) == without(column)
    for unusable in (OPTIONAL[column][0], ADDRESS, HUGE):
        assert counted({**FULL, column: unusable}) == (without(column), {column: 1})


@pytest.mark.parametrize(
    "value",
    [
        "https://shop.example/for/ann%2540example.com#a",
        "https://shop.example/?ann@example.com=1",
        "https://shop.example/?a=1&e=ann&#64;example.com",
    ],
)
def test_a_page_with_an_address_is_left_out_and_counted(value: str) -> None:
    """Wherever cleaning leaves one; `test_addresses.py` has all ways to write an address."""
    assert counted({**FULL, "source_url": value}) == (without("source_url"), {"source_url": 1})


QUERIES = [
    ("https://shop.example/?e=ann%40example.com", "https://shop.example/"),
    ("https://shop.example/?a=1&u=%3Fe%3Dann%2540example.com", "https://shop.example/?a=1"),
    ("https://shop.example/?key=wc_1&a=1", "https://shop.example/?a=1"),
    ("https://u:p@shop.example/?a=1", "https://shop.example/?a=1"),
]


@pytest.mark.parametrize("value", [QUERIES[0][0], QUERIES[1][0]])
def test_only_the_page_url_is_cleaned(value: str) -> None:
    """A URL with an address in any other column is left out whole, and counted."""
    for column in OPTIONAL.keys() - {"source_url"}:
        assert counted({**FULL, column: value}) == (without(column), {column: 1})


@pytest.mark.parametrize(("value", "sent"), QUERIES)
def test_page_urls_lose_what_must_not_be_sent(value: str, sent: str) -> None:
    """The rest of the URL is sent; dead letter and replay have this rest."""
    event, left_out = counted(order(source_url=value))
    assert (event["purchaseData"], left_out) == ({"sourceUrl": sent}, {})
    made = conversion(order(source_url=value))
    assert letter(made)["source_url"] == sent
    assert sent_again(made) == made.body


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        ({}, f"?a=1&li_did={LI_DID}&gclid=x#top"),
        ({"url_parameters": "all_but_secrets"}, f"?a=1&li_did={LI_DID}&gclid=x#top"),
        ({"url_parameters": "attribution"}, f"?li_did={LI_DID}&gclid=x"),
        ({"url_parameters": "none"}, ""),
    ],
)
def test_the_setting_source_url_parameters(mode: dict[str, str], left: str) -> None:
    """It says what stays of the page; the decision ID is sent all the same, by a replay too."""
    page = f"https://shop.example/p?a=1&code=s3cr3t&li_did={LI_DID}&gclid=x#top"
    record, defaults = order(email=None, source_url=page), DEFAULTS._replace(**mode)
    event, made = body(record, defaults=defaults), conversion(record, defaults=defaults)
    assert event["purchaseData"] == {"sourceUrl": f"https://shop.example/p{left}"}
    assert event["decisionId"] == LI_DID
    assert letter(made)["source_url"] == f"https://shop.example/p{left}"
    assert sent_again(made, **mode) == made.body


def test_the_longest_page_is_cleaned() -> None:
    """A longer one is left out whole."""
    page = "https://shop.example/?key=1&a="
    longest = page + "x" * (8_192 - len(page))
    assert body(order(source_url=longest))["purchaseData"] == {
        "sourceUrl": longest.replace("key=1&", "")
    }
    assert counted(order(source_url=f"{longest}x"))[1] == {"source_url": 1}


def test_causes_are_bounded() -> None:
    """Values of many forms do not fill the memory."""
    builder = EventBuilder("orders", [*order(), "value"], (), DEFAULTS)
    for number in range(300):
        record = order(value=f"{number:09b}".replace("0", "a-").replace("1", "9-"))
        builder.build(record, record, NOW, {})
    assert len(builder.causes) == 200
