"""The identity of an event: hashes, and decision IDs where there are none."""

from typing import Any
from urllib.parse import quote

import pytest
from unit_support import (
    ADDRESS,
    CLICK_URL,
    DEFAULTS,
    LI_DID,
    MD5,
    SHA2,
    body,
    conversion,
    counted,
    letter,
    order,
    rejection,
    sent_again,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder

HASHED = {"md5": MD5, "sha2": SHA2}
SHOP = "https://shop.example/"
ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("column", ["email", "md5", "sha2"])
def test_an_address_in_any_column(column: str) -> None:
    """A raw address is hashed in each of the three columns."""
    assert body({**order(email=...), column: ADDRESS})["userData"] == HASHED


@pytest.mark.parametrize(
    ("hashes", "left_out"),
    [
        ({"md5": "a" * 32, "sha2": "b" * 64}, {"conflict": 1}),
        ({"md5": "0" * 32, "sha2": sha256("null")}, {"md5": 1, "sha2": 1}),
    ],
)
def test_hashes_beside_an_address(hashes: dict[str, str], left_out: dict[str, int]) -> None:
    """The address wins over a hash that contradicts it; a junk hash is not a contradiction."""
    made, found = counted(order(**hashes))
    assert (made["userData"], found) == (HASHED, left_out)


def test_junk_is_counted_and_not_sent() -> None:
    """Junk beside a decision ID is not in the event."""
    made, left_out = counted(order(email="guest", md5="0" * 31, decision_id="d"))
    assert (made["userData"], left_out) == ({}, {"email": 1, "md5": 1})


def test_the_setting_email_normalization() -> None:
    """The builder uses the normalization of the settings."""
    made = body(order(), defaults=DEFAULTS._replace(normalization="lowercase"))
    assert made["userData"]["sha2"] == sha256(ADDRESS.lower())


# Decision IDs


@pytest.mark.parametrize(
    ("identity", "decision_id", "user_data"),
    [
        ({"decision_id": " any-Thing "}, "any-Thing", HASHED),
        ({"email": None, "decision_id": "any-Thing"}, "any-Thing", {}),
        ({"email": None}, LI_DID, {}),
        ({"email": None, "md5": MD5}, LI_DID, {"md5": MD5}),
        ({"email": "guest"}, LI_DID, {}),
        ({}, LI_DID, HASHED),
    ],
)
def test_the_decision_id(
    identity: dict[str, Any], decision_id: str, user_data: dict[str, str]
) -> None:
    """The column's text, or that of the click in the URL; with or without a hashed e-mail."""
    made = body(order(**identity, source_url=CLICK_URL))
    assert (made["decisionId"], made["userData"]) == (decision_id, user_data)
    assert made["purchaseData"]["sourceUrl"] == CLICK_URL


@pytest.mark.parametrize(
    "unusable", ["null", "Undefined", "(NOT SET)", " Nil\t", ZERO, "ann@example.com", ["x"]]
)
def test_an_unusable_decision_id(unusable: Any) -> None:
    """It identifies nobody, and is counted; it does not hide the one in the URL."""
    made, left_out = counted(order(decision_id=unusable))
    assert ("decisionId" in made, left_out) == (False, {"decision_id": 1})
    without_address = order(email=..., decision_id=unusable)
    assert counted(without_address) == ("no_identity", {"decision_id": 1})
    clicked = {**without_address, "source_url": CLICK_URL}
    made, left_out = counted(clicked)
    assert (made["decisionId"], left_out) == (LI_DID, {"decision_id": 1})
    assert letter(conversion(clicked))["decision_id"] == LI_DID


@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_empty_decision_id_leaves_the_url(empty: Any) -> None:
    """The one in the URL is sent, and nothing is counted."""
    made, left_out = counted(order(decision_id=empty, source_url=CLICK_URL))
    assert (made["decisionId"], left_out) == (LI_DID, {})


@pytest.mark.parametrize("value", ["undefined", "", "abc", ZERO])
def test_an_unusable_decision_id_of_the_url_is_counted(value: str) -> None:
    """A page whose `li_did` is none identifies nobody, and the summary says so."""
    page = f"{SHOP}?li_did={value}"
    reason = counted(order(email=..., source_url=page))
    assert reason == ("no_identity", {"decision_id": 1})
    made, left_out = counted(order(decision_id="undefined", source_url=page))
    assert ("decisionId" in made, left_out) == (False, {"decision_id": 1})
    made, left_out = counted(order(decision_id="d-1", source_url=page))
    assert (made["decisionId"], left_out) == ("d-1", {})


@pytest.mark.parametrize(
    ("columns", "unusable"),
    [
        ({"email": None}, None),
        ({"email": "", "decision_id": " "}, None),
        ({"email": ..., "ip": "203.0.113.7", "idfa": LI_DID, "aaid": LI_DID}, None),
        ({"email": ..., "source_url": f"{SHOP}?li_did=x"}, "decision_id"),
        ({"email": "Ann Smith"}, "email"),
        ({"email": sha256("")}, "email"),
        ({"email": None, "md5": "0" * 31}, "md5"),
        ({"email": 5, "decision_id": "null"}, "email and of decision_id"),
        ({"email": None, "decision_id": ADDRESS}, "decision_id"),
        ({"email": ..., "decision_id": ["x"]}, "decision_id"),
    ],
)
def test_a_rejection_names_the_columns_that_cannot_be_used(
    columns: dict[str, Any], unusable: str | None
) -> None:
    """A guest without any value is told from a column with wrong values, which are not shown."""
    rejected = rejection(order(**columns))
    detail = unusable and f"the value of {unusable} cannot be used"
    found = (rejected.reason, rejected.field, rejected.event_id, rejected.detail)
    assert found == ("no_identity", None, "1007", detail)


def test_the_decision_id_of_a_parameter_that_is_removed() -> None:
    """It is read before the URL is cleaned, and a replay sends it again."""
    inner = quote(f"{SHOP}?li_did={LI_DID}&e=ann@example.com", safe="")
    record = order(email=None, source_url=f"https://x.example/?next={inner}")
    event = body(record)
    assert event["decisionId"] == LI_DID
    assert event["purchaseData"] == {"sourceUrl": "https://x.example/"}
    assert sent_again(conversion(record)) == conversion(record).body


@pytest.mark.parametrize(
    ("page", "sent", "left_out"),
    [
        (f"{CLICK_URL}&x={'x' * 10_000}", {}, {"source_url": 1}),
        (f"{CLICK_URL}&e=ann@example.com", {"sourceUrl": CLICK_URL}, {}),
        (f"{CLICK_URL}&e=ann%40example.com", {"sourceUrl": CLICK_URL}, {}),
        (f"{SHOP}for/ann@example.com?a=1&li_did={LI_DID}", {}, {"source_url": 1}),
        (f"{SHOP}for/ann%40example.com?a=1&li_did={LI_DID}", {}, {"source_url": 1}),
    ],
)
def test_the_decision_id_of_a_page_that_is_not_sent_whole(
    page: str, sent: dict[str, str], left_out: dict[str, int]
) -> None:
    """A page that is too long or has an address gives its decision ID all the same."""
    made, found = counted(order(email=..., source_url=page))
    assert (made["decisionId"], made["purchaseData"], found) == (LI_DID, sent, left_out)


@pytest.mark.parametrize(
    ("columns", "left_out"),
    [
        ({"email": None}, {"email empty": 1}),
        ({"email": " "}, {"email empty": 1}),
        ({"email": "Ann Smith"}, {"email": 1}),
        ({"email": 5, "md5": None}, {"email": 1, "md5 empty": 1}),
        ({"email": None, "md5": MD5}, {"email empty": 1}),
        ({"email": ..., "sha2": None}, {"sha2 empty": 1}),
        ({"email": ADDRESS, "md5": None, "sha2": ""}, {}),
    ],
)
def test_columns_that_identify_nobody(columns: dict[str, Any], left_out: dict[str, int]) -> None:
    """Without an address, each column that gives no hash is counted, also for a `no_identity`."""
    assert counted(order(**columns))[1] == left_out
    assert counted(order(decision_id="d", **columns))[1] == left_out


@pytest.mark.parametrize(
    "changes",
    [
        {"email": None, "event_time": None},
        {"email": None, "event_time": 10**9},
        {"email": None, "consent": "no"},
        {"source_url": f"{SHOP}?li_did=undefined", "event_time": "2020-01-01T00:00:00Z"},
    ],
)
def test_records_that_become_no_event_lack_no_identity(changes: dict[str, Any]) -> None:
    """Whose address was deleted because they do not agree say nothing of the others."""
    reason, left_out = counted(order(**changes))
    assert isinstance(reason, str)
    assert left_out == {}


def test_the_columns_that_identify() -> None:
    """The builder says which of its stream's columns do."""
    for columns, found in (
        (["event_time", "email", "source_url"], {"email", "source_url"}),
        (["md5", "decision_id", "ip"], {"md5", "decision_id"}),
        (["event_time"], set()),
    ):
        assert EventBuilder("orders", columns, (), DEFAULTS).identifying == found
