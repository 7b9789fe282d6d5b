"""Events: identity, optional columns, the exact JSON, and the dead letters of what is not sent."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    ADDRESS,
    BARE,
    CLICK_URL,
    DEFAULTS,
    FULL,
    HUGE,
    LI_DID,
    MD5,
    NOW,
    SETTINGS,
    SHA2,
    body,
    conversion,
    counted,
    each_of,
    letter,
    md5,
    name_of,
    order,
    rejection,
    replayed,
    sent_again,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.event_model import DEAD_LETTERS, Rejection, request_body
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.mapping.stream_maps import StreamPlan
from target_liveintent.store.dead_letters import letter_of

HASHED = {"md5": MD5, "sha2": SHA2}
SHOP = "https://shop.example/"
ZERO = str(uuid.UUID(int=0))
NO_HASHES, NO_CLICK = {"email": 1, "md5": 1}, {"decision_id": 1}
CLICKED = {"decision_id": LI_DID}
PAGES = [f"{SHOP}?li_did={value}" for value in ("undefined", "", "abc", ZERO)]
JUNK: list[Any] = ["null", "Undefined", "(NOT SET)", " Nil\t", ZERO, "ann@example.com", ["x"]]
IDENTITIES: list[tuple[dict[str, Any], dict[str, str] | str, dict[str, int]]] = [
    # An address is hashed in each of the three columns, and wins over a hash that contradicts it.
    *(({"email": ..., column: ADDRESS}, HASHED, {}) for column in ("md5", "sha2")),
    ({"md5": "a" * 32, "sha2": "b" * 64}, HASHED, {"conflict": 1}),
    ({"md5": None, "sha2": ""}, HASHED, {}),
    # A junk hash is no contradiction, and is not sent.
    ({"md5": "0" * 32, "sha2": sha256("null")}, HASHED, {"md5": 1, "sha2": 1}),
    ({"email": "guest", "md5": "0" * 31, "decision_id": "d"}, {"decision_id": "d"}, NO_HASHES),
    ({"email": None, "md5": MD5}, {"md5": MD5}, {"email empty": 1}),
    # The decision ID is that of the column, or that of the click in the URL.
    ({"decision_id": " any-Thing "}, {**HASHED, "decision_id": "any-Thing"}, {}),
    ({"decision_id": "d", "source_url": CLICK_URL}, {**HASHED, "decision_id": "d"}, {}),
    ({"email": None, "source_url": CLICK_URL}, CLICKED, {"email empty": 1}),
    ({"email": "guest", "source_url": CLICK_URL}, CLICKED, {"email": 1}),
    *(
        ({"decision_id": empty, "source_url": CLICK_URL}, {**HASHED, **CLICKED}, {})
        for empty in (None, "", " ")
    ),
    # One that cannot be used is counted, and does not hide that of the URL.
    *(({"decision_id": junk}, HASHED, {"decision_id": 1}) for junk in JUNK),
    *(({"email": ..., "decision_id": junk}, "decision_id", {"decision_id": 1}) for junk in JUNK),
    *(
        ({"email": ..., "decision_id": junk, "source_url": CLICK_URL}, CLICKED, {"decision_id": 1})
        for junk in JUNK
    ),
    # So is that of a page, if the record has none that can be sent.
    *(({"email": ..., "source_url": page}, "decision_id", {"decision_id": 1}) for page in PAGES),
    ({"decision_id": "undefined", "source_url": PAGES[0]}, HASHED, {"decision_id": 1}),
    ({"decision_id": "d", "source_url": PAGES[0]}, {**HASHED, "decision_id": "d"}, {}),
    # A guest without any value is told from a column with wrong values.
    *(({"email": empty}, "", {"email empty": 1}) for empty in (None, " ")),
    ({"email": "", "decision_id": " "}, "", {"email empty": 1, "decision_id empty": 1}),
    ({"email": ..., "ip": "203.0.113.7", "idfa": LI_DID, "aaid": LI_DID}, "", {}),
    ({"email": ..., "sha2": None}, "", {"sha2 empty": 1}),
    *(({"email": junk}, "email", {"email": 1}) for junk in ("Ann Smith", sha256(""))),
    ({"email": None, "md5": "0" * 31}, "md5", {"email empty": 1, "md5": 1}),
    ({"email": 5, "decision_id": "null"}, "email and of decision_id", {"email": 1} | NO_CLICK),
]
"""Columns, whom the event is about or which columns cannot be used, and what is counted."""


@pytest.mark.parametrize(("columns", "wanted", "left_out"), IDENTITIES, ids=name_of)
def test_whom_an_event_is_about(
    columns: dict[str, Any], wanted: dict[str, str] | str, left_out: dict[str, int]
) -> None:
    """Hashes, and a decision ID; without either, the record is rejected."""
    event, found = counted(order(**columns))
    assert found == left_out
    if isinstance(wanted, dict):
        clicked = {"decision_id": event["decisionId"]} if "decisionId" in event else {}
        assert {**event["userData"], **clicked} == wanted
        return
    rejected = rejection(order(**columns))
    detail = f"the value of {wanted} cannot be used" if wanted else None
    found_in = (rejected.reason, rejected.field, rejected.event_id, rejected.detail)
    assert found_in == ("no_identity", None, "1007", detail)


@each_of(
    "page, sent, left_out",
    {
        "too long": (f"{CLICK_URL}&key={'x' * 10_000}", {}, {"source_url": 1}),
        "address in query": (f"{CLICK_URL}&e=ann@example.com", {"sourceUrl": CLICK_URL}, {}),
        "address in path": (
            f"{SHOP}for/ann@example.com?a=1&li_did={LI_DID}",
            {},
            {"source_url": 1},
        ),
    },
)
def test_the_decision_id_of_a_page_that_is_not_sent_whole(
    page: str, sent: dict[str, str], left_out: dict[str, int]
) -> None:
    """A page that is too long or has an address gives its decision ID all the same."""
    made, found = counted(order(email=..., source_url=page))
    assert (made["decisionId"], made["purchaseData"], found) == (LI_DID, sent, left_out)


@each_of(
    "changes",
    {
        "no time": {"email": None, "event_time": None},
        "no consent": {"email": None, "consent": "no"},
        "in the future, undefined decision ID": {
            "source_url": f"{SHOP}?li_did=undefined",
            "event_time": "2090-01-01T00:00:00Z",
        },
    },
)
def test_records_that_become_no_event_lack_no_identity(changes: dict[str, Any]) -> None:
    """Whose address was deleted because they do not agree say nothing of the others."""
    reason, left_out = counted(order(**changes))
    assert isinstance(reason, str)
    assert left_out == {}


def test_a_plan_knows_the_columns_that_identify() -> None:
    """The plan says which of its stream's columns do."""
    for columns, found in (
        (["event_time", "email", "source_url"], {"email", "source_url"}),
        (["md5", "decision_id", "ip"], {"md5", "decision_id"}),
        (["event_time"], set()),
    ):
        assert StreamPlan.without_map("orders", columns).identifying == found


def test_the_setting_email_normalization_decides() -> None:
    """The builder uses the normalization of the settings."""
    made = body(order(), defaults=DEFAULTS._replace(normalization="lowercase"))
    assert made["userData"]["sha2"] == sha256(ADDRESS.lower())


# Optional columns

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
    for unusable in (OPTIONAL[column][0], "ann@example.com", HUGE):
        assert counted({**FULL, column: unusable}) == (without(column), {column: 1})


@each_of(
    "mode, left",
    {
        "default": ({}, f"?a=1&li_did={LI_DID}&gclid=x#top"),
        "attribution": ({"url_parameters": "attribution"}, f"?li_did={LI_DID}&gclid=x"),
        "none": ({"url_parameters": "none"}, ""),
    },
)
def test_the_setting_source_url_parameters_decides(mode: dict[str, str], left: str) -> None:
    """It says what stays of the page; the decision ID is sent all the same, by a replay too."""
    page = f"https://shop.example/p?a=1&code=s3cr3t&li_did={LI_DID}&gclid=x#top"
    record, defaults = order(email=None, source_url=page), DEFAULTS._replace(**mode)
    event, made = body(record, defaults=defaults), conversion(record, defaults=defaults)
    assert event["purchaseData"] == {"sourceUrl": f"https://shop.example/p{left}"}
    assert event["decisionId"] == LI_DID
    assert letter(made)["source_url"] == f"https://shop.example/p{left}"
    assert sent_again(made, **mode) == made.body


# Dead letters

ADDED = {"reason", "field", "stream", "time", "run_id", "detail", "written_for"}
"""What a dead letter has beside the columns of its record."""
HASHES = [MD5, SHA2, md5("john.doe+office@gmail.com"), sha256("john.doe+office@gmail.com")]


def test_dead_letters_have_the_columns_as_mapped() -> None:
    """A dead letter has the columns as they came, with hashes in place of the address."""
    record = letter(conversion({**FULL, "value": "$87.10"}))
    wanted = {**FULL, "value": "$87.10", "order_id": 1007, "md5": MD5, "sha2": SHA2}
    del wanted["email"]
    assert {name: record[name] for name in wanted} == wanted
    assert set(record) - {*wanted} == {*ADDED, "window_end", "all_hashes"} - {"detail"}
    assert record["all_hashes"] == HASHES


@each_of(
    "record",
    {
        "addresses in texts": order(order_id="ann@example.com", user_agent="curl ann@example.com"),
        "address in the page": order(source_url="https://shop.example/for/ann@example.com"),
    },
)
def test_a_replay_gives_the_same_event(record: dict[str, Any]) -> None:
    """Byte for byte; a column that was left out for the address in it stays out."""
    made = conversion(record)
    assert sent_again(made) == made.body


def test_a_replay_takes_corrected_settings() -> None:
    """A record that was rejected because of a setting is sent once the setting is right."""
    again = sent_again(rejection(order(), defaults=BARE), pixel_id=99, source="offline")
    assert again.startswith(b'{"eventId":"1007",')
    assert b'"pixelId":99,"source":"offline"' in again


@pytest.mark.parametrize("decision_id", ["ann@example.com", "for ann@example.com"])
def test_a_replay_does_not_make_an_identity_of_an_address(decision_id: str) -> None:
    """An address in `decision_id` is not a decision ID, and neither is its hash."""
    again = replayed(rejection(order(email=None, decision_id=decision_id)))
    assert isinstance(again, Rejection)
    assert again.reason == "no_identity"


def test_a_failed_mapping_shows_keys_only() -> None:
    """The dead letter of a record that the map cannot read has its keys only, without addresses."""
    raw = {"id": 7, "who": "Ann@Example.com", "secret": "hush"}
    builder = EventBuilder("orders", ["event_time"], ["id", "who", "no"], DEFAULTS)
    rejected = builder.reject_unmapped("value", raw, "KeyError")
    assert (rejected.reason, rejected.field, rejected.columns) == ("mapping_failed", "value", {})
    record = letter(rejected)
    assert record["keys"] == {"id": 7, "who": sha256("ann@example.com")}
    assert record["detail"] == "KeyError"
    assert set(record) == {*ADDED, "event_id", "keys"}
    made = letter_of(rejected, SETTINGS.account, SETTINGS.events, "run-1", NOW)
    assert "hush" not in repr(made.row(1, NOW))


def test_a_failed_mapping_has_the_event_id_of_the_map() -> None:
    """Without one, it has the ID that is derived from the keys."""
    builder = EventBuilder("orders", ["event_id", "event_time"], ["id"], DEFAULTS)
    for given, event_id in ("order-7", "order-7"), (None, "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"):
        rejected = builder.reject_unmapped("value", {"id": 7}, "KeyError", event_id=given)
        assert (rejected.event_id, rejected.keys) == (event_id, {"id": 7})


def test_a_schema_violation_keeps_id_and_columns() -> None:
    """A record that breaks the tap's schema can be replayed."""
    rule = "value breaks the rule 'type'"
    rejected = rejection(FULL, violation=rule)
    found = (rejected.reason, rejected.event_id, rejected.field, rejected.detail)
    assert found == ("schema_violation", "1007", None, rule)
    assert letter(rejected)["detail"] == rule
    assert sent_again(rejected) == conversion(FULL).body


def test_what_undeclared_columns_lack_is_not_counted() -> None:
    """Such as those of dead letters: that a record does not have one is not the map's mistake."""
    columns = [field.name for field in FIELDS]
    for record in (order(), order(email=None)):
        assert counted(record, stream=DEAD_LETTERS, properties=(), undeclared=columns)[1] == {}


# The SCHEMA, and events on the wire: the exact JSON


def test_undeclared_columns_are_read_if_they_pass() -> None:
    """They are read if the stream passes them on, and only then."""
    properties = ["event_id", "event_time", "email"]
    priced = order(currency="USD")
    assert body(priced, properties=properties) == body(order())
    assert body(priced, properties=properties, undeclared=["currency"]) == body(priced)


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


def test_a_request_has_events_in_their_order() -> None:
    events = [conversion(order(event_id=number)) for number in range(3)]
    assert request_body(events) == b"[%b]" % b",".join(event.body for event in events)
    assert request_body([]) == b"[]"


# Conversions and rejections as values, and the age windows


def test_a_conversion_that_is_refused_becomes_a_rejection() -> None:
    """It keeps its ID and its columns, with hashes in place of the address."""
    made = conversion(order(order_id="7"), stream="sales")
    hashes = {"md5": MD5, "sha2": SHA2, "all_hashes": HASHES}
    assert made.rejected("refused_by_api", "order_id", "the API says no") == Rejection(
        "sales",
        "1007",
        "refused_by_api",
        "order_id",
        {"event_time": made.columns["event_time"], "order_id": "7", **hashes},
        "the API says no",
    )
    assert ADDRESS not in repr(made)
