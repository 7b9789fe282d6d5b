"""The identity of an event: hashes, and decision IDs where there are none."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from unit_support import (
    ADDRESS,
    CLICK_URL,
    DEFAULTS,
    LI_DID,
    MD5,
    SHA2,
    body,
    build,
    conversion,
    letter,
    order,
    rejection,
    replayed,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion


@pytest.mark.parametrize("column", ["email", "md5", "sha2"])
def test_an_address_in_any_column(column: str) -> None:
    """A raw address is hashed in each of the three columns."""
    assert body({**order(email=...), column: ADDRESS})["userData"] == {"md5": MD5, "sha2": SHA2}


def test_conflicts_are_counted() -> None:
    """The address wins over a hash that contradicts it, and the record is counted."""
    left_out: dict[str, int] = {}
    made = body(order(md5="a" * 32, sha2="b" * 64), left_out=left_out)
    assert made["userData"] == {"md5": MD5, "sha2": SHA2}
    assert left_out == {"conflict": 1}


@pytest.mark.parametrize("hashes", [{"md5": "a" * 32}, {"sha2": "b" * 64}])
def test_one_contradicting_hash_is_counted(hashes: dict[str, str]) -> None:
    """Either hash alone may contradict the address."""
    left_out: dict[str, int] = {}
    assert body(order(**hashes), left_out=left_out)["userData"] == {"md5": MD5, "sha2": SHA2}
    assert left_out == {"conflict": 1}


def test_a_junk_hash_is_not_counted_as_a_conflict() -> None:
    """The hash of an empty text beside an address is junk."""
    left_out: dict[str, int] = {}
    record = order(md5="0" * 32, sha2=sha256("null"))
    assert body(record, left_out=left_out)["userData"] == {"md5": MD5, "sha2": SHA2}
    assert left_out == {"md5": 1, "sha2": 1}


def test_junk_is_counted_and_not_sent() -> None:
    """Junk beside a decision ID is not in the event."""
    left_out: dict[str, int] = {}
    record = order(email="guest", md5="0" * 31, decision_id="d")
    made = body(record, left_out=left_out)
    assert made["userData"] == {}
    assert sum(left_out.values()) == 2


def test_the_setting_email_normalization() -> None:
    """The builder uses the normalization of the settings."""
    made = body(order(), defaults=DEFAULTS._replace(normalization="lowercase"))
    assert made["userData"]["sha2"] == sha256(ADDRESS.lower())


# Decision IDs


def test_a_decision_id_is_sent_as_given() -> None:
    """Any text, trimmed, with or without a hashed e-mail."""
    assert body(order(decision_id=" any-Thing "))["decisionId"] == "any-Thing"
    alone = body(order(email=None, decision_id="any-Thing", source_url=CLICK_URL))
    assert alone["decisionId"] == "any-Thing"
    assert alone["userData"] == {}


def test_the_decision_id_of_the_url() -> None:
    """A guest who came from a click in an e-mail has the decision ID of the click."""
    made = body(order(email=None, source_url=CLICK_URL))
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"]["sourceUrl"] == CLICK_URL


@pytest.mark.parametrize("identity", [{}, {"email": None, "md5": MD5}, {"email": "guest"}])
def test_the_decision_id_of_the_url_goes_beside_a_hash(identity: dict[str, Any]) -> None:
    """It is sent whenever it is found: more identifiers match better."""
    made = body(order(**identity, source_url=CLICK_URL))
    assert made["decisionId"] == LI_DID
    assert (made["userData"].get("md5") == MD5) == ("guest" not in identity.values())


@pytest.mark.parametrize(
    ("unusable", "counted"),
    [
        (None, 0),
        ("", 0),
        (" ", 0),
        ("null", 1),
        ("Undefined", 1),
        ("(NOT SET)", 1),
        ("00000000-0000-0000-0000-000000000000", 1),
        ("ann@example.com", 1),
        (["x"], 1),
    ],
)
@pytest.mark.parametrize("email", [ADDRESS, ...])
def test_an_unusable_decision_id_leaves_the_url(unusable: Any, counted: int, email: Any) -> None:
    """It does not hide the one in the URL, and is counted unless it is empty."""
    left_out: dict[str, int] = {}
    made = conversion(
        order(email=email, decision_id=unusable, source_url=CLICK_URL), left_out=left_out
    )
    assert msgspec.json.decode(made.body)["decisionId"] == LI_DID
    assert left_out == ({"decision_id": 1} if counted else {})
    assert letter(made)["decision_id"] == LI_DID


@pytest.mark.parametrize("spelling", ["decision_id", "decisionId"])
@pytest.mark.parametrize(
    "placeholder",
    [
        *("undefined", "none", "null", "nil", "nan", "unknown", "(not set)", "n/a"),
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_a_placeholder_is_no_decision_id(placeholder: str, spelling: str) -> None:
    """It is treated as absent in any case, and counted; so it identifies nobody."""
    for text in (placeholder, placeholder.upper(), f" {placeholder.title()}\t"):
        left_out: dict[str, int] = {}
        assert "decisionId" not in body({**order(), spelling: text}, left_out=left_out)
        assert left_out == {"decision_id": 1}
        rejected = rejection({**order(email=...), spelling: text}, left_out=left_out)
        assert rejected.reason == "no_identity"
        assert left_out == {"decision_id": 2}


@pytest.mark.parametrize("value", ["undefined", "", "abc", "00000000-0000-0000-0000-000000000000"])
def test_an_unusable_decision_id_of_the_url_is_counted(value: str) -> None:
    """A page whose `li_did` is none identifies nobody, and the summary says so."""
    left_out: dict[str, int] = {}
    page = f"https://shop.example/?li_did={value}"
    rejected = rejection(order(email=..., source_url=page), left_out=left_out)
    assert (rejected.reason, left_out) == ("no_identity", {"decision_id": 1})
    made = body(order(decision_id="undefined", source_url=page), left_out=left_out)
    assert "decisionId" not in made
    assert left_out == {"decision_id": 2}
    assert body(order(decision_id="d-1", source_url=page), left_out=left_out)["decisionId"] == "d-1"
    assert left_out == {"decision_id": 2}


@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        ({"email": None, "decision_id": " "}, None),
        ({"email": "Ann Smith"}, "the value of email cannot be used"),
        ({"email": None, "md5": "0" * 31}, "the value of md5 cannot be used"),
        (
            {"email": 5, "decision_id": "null"},
            "the value of email and of decision_id cannot be used",
        ),
        ({"email": None, "decision_id": ADDRESS}, "the value of decision_id cannot be used"),
        (
            {"email": None, "source_url": "https://shop.example/?li_did=undefined"},
            "the value of decision_id cannot be used",
        ),
    ],
)
def test_a_rejection_names_the_columns_that_cannot_be_used(
    columns: dict[str, Any], detail: str | None
) -> None:
    """A guest without any value is told from a column with wrong values, which are not shown."""
    rejected = rejection(order(**columns), left_out={})
    assert (rejected.reason, rejected.detail) == ("no_identity", detail)


def test_what_is_no_event_counts_no_decision_id() -> None:
    """The share of events without an identity is one of those whose columns were all read."""
    left_out: dict[str, int] = {}
    page = "https://shop.example/?li_did=undefined"
    old = order(source_url=page, event_time="2020-01-01T00:00:00Z")
    assert rejection(old, left_out=left_out).reason == "event_too_old"
    assert left_out == {}


def test_the_decision_id_of_a_parameter_that_is_removed() -> None:
    """It is read before the URL is cleaned, and a replay sends it again."""
    inner = quote(f"https://shop.example/?li_did={LI_DID}&e=ann@example.com", safe="")
    made = conversion(order(email=None, source_url=f"https://x.example/?next={inner}"))
    event = msgspec.json.decode(made.body)
    assert (event["decisionId"], event["purchaseData"]) == (
        LI_DID,
        {"sourceUrl": "https://x.example/"},
    )
    again = replayed(made)
    assert isinstance(again, Conversion)
    assert again.body == made.body


def test_the_decision_id_of_a_page_that_is_too_long() -> None:
    """The page is left out, and its decision ID sent."""
    left_out: dict[str, int] = {}
    page = f"{CLICK_URL}&x={'x' * 10_000}"
    made = body(order(email=..., source_url=page), left_out=left_out)
    assert (made["decisionId"], made["purchaseData"]) == (LI_DID, {})
    assert left_out == {"source_url": 1}


def test_a_page_without_a_column_of_decision_ids_counts_nothing() -> None:
    """That a page has no `li_did` is no fault."""
    left_out: dict[str, int] = {}
    assert "decisionId" not in body(order(source_url="https://shop.example/"), left_out=left_out)
    assert left_out == {}


@pytest.mark.parametrize("address", ["ann@example.com", "ann%40example.com"])
def test_the_decision_id_beside_an_address(address: str) -> None:
    """Links in e-mails have the address beside li_did: it is removed, and the rest is sent."""
    left_out: dict[str, int] = {}
    made = body(order(email=None, source_url=f"{CLICK_URL}&e={address}"), left_out=left_out)
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"] == {"sourceUrl": CLICK_URL}
    assert left_out == {"email empty": 1}


@pytest.mark.parametrize("address", ["ann@example.com", "ann%40example.com"])
def test_the_decision_id_of_a_url_that_is_not_sent(address: str) -> None:
    """A URL with an address in its path is left out, but its decision ID is used."""
    left_out: dict[str, int] = {}
    page = f"https://shop.example/for/{address}?a=1&li_did={LI_DID}"
    made = body(order(email=None, source_url=page), left_out=left_out)
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"] == {}
    assert left_out == {"email empty": 1, "source_url": 1}


@pytest.mark.parametrize(
    ("columns", "counted"),
    [
        ({"email": None}, {"email empty": 1}),
        ({"email": " "}, {"email empty": 1}),
        ({"email": "Ann Smith"}, {"email": 1}),
        ({"email": 5, "md5": None}, {"email": 1, "md5 empty": 1}),
        ({"email": None, "md5": MD5}, {"email empty": 1}),
        ({"email": ..., "sha2": None}, {"sha2 empty": 1}),
        ({"email": ..., "userData": {"md5": None}}, {"md5 empty": 1, "sha2 empty": 1}),
        ({"email": ADDRESS, "md5": None, "sha2": ""}, {}),
    ],
)
def test_columns_that_identify_nobody(columns: dict[str, Any], counted: dict[str, int]) -> None:
    """Without an address, each column that gives no hash is counted, also for a `no_identity`."""
    left_out: dict[str, int] = {}
    build(order(**columns), left_out=left_out)
    assert left_out == counted
    left_out.clear()
    build(order(decision_id="d", **columns), left_out=left_out)
    assert left_out == counted


@pytest.mark.parametrize("why", [{"event_time": None}, {"event_time": 1}, {"consent": "no"}])
def test_records_that_become_no_event_lack_no_identity(why: dict[str, Any]) -> None:
    """Whose address was deleted because they do not agree say nothing of the others."""
    left_out: dict[str, int] = {}
    rejection(order(email=None, **why), left_out=left_out)
    assert left_out == {}


def test_the_columns_that_identify() -> None:
    """The builder says which of its stream's columns do, in the API's spelling too."""
    for columns, found in (
        (["event_time", "email", "source_url"], {"email", "source_url"}),
        (["userData", "decisionId"], {"md5", "sha2", "decision_id"}),
        (["event_time"], set()),
    ):
        assert EventBuilder("orders", columns, (), DEFAULTS).identifying == found
