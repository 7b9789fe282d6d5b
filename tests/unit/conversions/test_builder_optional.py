"""Optional columns: what is sent, what is left out, and what is counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    DEFAULTS,
    FULL,
    LI_DID,
    body,
    conversion,
    letter,
    order,
    replayed,
)

from target_liveintent.conversions.model import Conversion

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


def at(made: Any, path: tuple[str, ...]) -> Any:
    for step in path[:-1]:
        made = made[step]
    return made.get(path[-1], ...)


@pytest.mark.parametrize("column", OPTIONAL)
@pytest.mark.parametrize(
    "value", [None, "", "  ", "None", "null", "NaN", float("nan"), Decimal("NaN")]
)
def test_empty_optional_columns_are_left_out(column: str, value: Any) -> None:
    """Null and empty are never sent as null."""
    made = body({**FULL, column: value})
    assert at(made, OPTIONAL[column][1]) is ...


@pytest.mark.parametrize("column", OPTIONAL)
def test_unusable_optional_columns_are_left_out_and_counted(column: str) -> None:
    """What cannot be read is left out; the event is sent, and the column is counted."""
    unusable, path = OPTIONAL[column]
    left_out: dict[str, int] = {}
    assert at(body({**FULL, column: unusable}, left_out=left_out), path) is ...
    assert left_out == {column: 1}


@pytest.mark.parametrize("column", OPTIONAL)
@pytest.mark.parametrize(
    "value",
    [
        "ann@example.com",
        "ANN@EXAMPLE.COM",
        "x ann@example.com y",
        "https://shop.example/for/ann%40example.com?a=1",
        "https://shop.example/for/ann%2540example.com#a",
        "https://shop.example/?ann%40example.com",
        "https://shop.example/?ann@example.com=1",
        '"ann lee"@example.com',
        r"ann\u0040example.com",
        "ann&#64;example.com",
        "ann&commat;example.com",
        "ann\uff20example.com",
        "ann\ufe6bexample.com",
        "https://shop.example/?a=1&e=ann&#64;example.com",
        "https://shop.example/for/ann%26%2364%3Bexample.com",
    ],
)
def test_optional_columns_with_an_address_are_left_out_and_counted(column: str, value: str) -> None:
    """An address in any column is not sent."""
    left_out: dict[str, int] = {}
    made = conversion({**FULL, column: value}, left_out=left_out)
    assert b"example.com" not in made.body
    assert left_out == {column: 1}


QUERIES = [
    ("https://shop.example/?e=ann%40example.com", "https://shop.example/"),
    ("https://shop.example/?a=1&u=%3Fe%3Dann%2540example.com", "https://shop.example/?a=1"),
    ("https://shop.example/?key=wc_1&a=1", "https://shop.example/?a=1"),
    ("https://u:p@shop.example/?a=1", "https://shop.example/?a=1"),
]


@pytest.mark.parametrize("column", sorted(OPTIONAL.keys() - {"source_url"}))
@pytest.mark.parametrize("value", [QUERIES[0][0], QUERIES[1][0]])
def test_only_the_page_url_is_cleaned(column: str, value: str) -> None:
    """A URL with an address in any other column is left out whole, and counted."""
    left_out: dict[str, int] = {}
    made = conversion({**FULL, column: value}, left_out=left_out)
    assert b"example.com" not in made.body
    assert at(body({**FULL, column: value}), OPTIONAL[column][1]) is ...
    assert left_out == {column: 1}


@pytest.mark.parametrize(("value", "sent"), QUERIES)
@pytest.mark.parametrize("spelling", ["ours", "theirs"])
def test_page_urls_lose_what_must_not_be_sent(value: str, sent: str, spelling: str) -> None:
    """The rest of the URL is sent; dead letter and replay have this rest, in either spelling."""
    left_out: dict[str, int] = {}
    page = {"source_url": value} if spelling == "ours" else {"purchaseData": {"sourceUrl": value}}
    made = conversion(order(**page), left_out=left_out)
    assert body(order(**page))["purchaseData"] == {"sourceUrl": sent}
    assert left_out == {}
    assert letter(made)["source_url"] == sent
    again = replayed(made)
    assert isinstance(again, Conversion)
    assert again.body == made.body


@pytest.mark.parametrize("column", ["idfa", "aaid"])
def test_the_all_zero_device_id_is_left_out(column: str) -> None:
    """Phones send it when tracking is off."""
    made = body({**FULL, column: "00000000-0000-0000-0000-000000000000"})
    assert column not in made["userData"]


@pytest.mark.parametrize("value", ["ann@localhost", "ann@[10.1.2.3]", r"ann\u0040localhost"])
def test_an_address_without_a_domain_is_left_out(value: str) -> None:
    """Addresses of a machine or a network are addresses."""
    left_out: dict[str, int] = {}
    assert b"ann" not in conversion(order(order_id=value), left_out=left_out).body
    assert left_out == {"order_id": 1}


MODES = {
    "all_but_secrets": f"https://shop.example/p?a=1&li_did={LI_DID}&gclid=x#top",
    "attribution": f"https://shop.example/p?li_did={LI_DID}&gclid=x",
    "none": "https://shop.example/p",
}


@pytest.mark.parametrize("mode", MODES)
def test_the_setting_source_url_parameters(mode: str) -> None:
    """It says what stays of the page; the decision ID is sent all the same, by a replay too."""
    defaults = DEFAULTS._replace(url_parameters=mode)
    page = f"https://shop.example/p?a=1&code=s3cr3t&li_did={LI_DID}&gclid=x#top"
    made = conversion(order(email=None, source_url=page), defaults=defaults)
    event = body(order(email=None, source_url=page), defaults=defaults)
    assert event["purchaseData"] == {"sourceUrl": MODES[mode]}
    assert event["decisionId"] == LI_DID
    assert letter(made)["source_url"] == MODES[mode]
    again = replayed(made, url_parameters=mode)
    assert isinstance(again, Conversion)
    assert again.body == made.body


def test_what_stays_of_a_page_by_default() -> None:
    """All but secrets."""
    page = f"https://shop.example/p?a=1&code=s3cr3t&li_did={LI_DID}&gclid=x#top"
    assert body(order(source_url=page))["purchaseData"]["sourceUrl"] == MODES["all_but_secrets"]
