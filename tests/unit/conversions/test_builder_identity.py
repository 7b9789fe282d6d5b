"""The identity of an event: hashes, and decision IDs where there are none."""

from __future__ import annotations

from typing import Any

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
    order,
    rejection,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder


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


def test_the_url_is_not_read_where_there_is_an_address() -> None:
    """With a hashed e-mail no decision ID is inferred."""
    assert "decisionId" not in body(order(source_url=CLICK_URL))
    assert "decisionId" not in body(order(email=None, md5=MD5, source_url=CLICK_URL))


@pytest.mark.parametrize("empty", [None, "", "null", "ann@example.com", ["x"]])
def test_an_unusable_decision_id_leaves_the_url(empty: Any) -> None:
    """An unusable decision ID does not hide the one in the URL."""
    assert body(order(email=None, decision_id=empty, source_url=CLICK_URL))["decisionId"] == LI_DID


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
        (["event_time", "email", "source_url"], {"email"}),
        (["userData", "decisionId"], {"md5", "sha2", "decision_id"}),
        (["event_time"], set()),
    ):
        assert EventBuilder("orders", columns, (), DEFAULTS).identifying == found
