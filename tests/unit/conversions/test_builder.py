"""A mapped record in; an event, exactly, or a rejection with its reason and field out."""

from __future__ import annotations

import datetime as dt
import uuid
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import (
    ADDRESS,
    BARE,
    DAY,
    DEFAULTS,
    LI_DID,
    MD5,
    NOW,
    SHA2,
    TIME,
    body,
    build,
    conversion,
    order,
    rejection,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.conversions.requirements import missing_columns
from target_liveintent.privacy.redaction import redact_columns
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.singer.reader import decode_message, decode_object
from target_liveintent.storage.dead_letters import dead_letter_line, to_replay

if TYPE_CHECKING:
    import pathlib

    from target_liveintent.settings import EventDefaults

COLUMNS = {
    "event_id",
    "event_time",
    "pixel_id",
    "source",
    "decision_id",
    "email",
    "md5",
    "sha2",
    "ip",
    "user_agent",
    "idfa",
    "aaid",
    "tracking_enabled",
    "currency",
    "value",
    "order_id",
    "source_url",
    "app_bundle",
    "consent",
}
FULL: dict[str, Any] = {
    "event_id": "1007",
    "event_time": TIME,
    "pixel_id": 12345,
    "source": "app",
    "decision_id": LI_DID,
    "email": ADDRESS,
    "ip": "::ffff:203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "idfa": LI_DID,
    "aaid": LI_DID,
    "tracking_enabled": True,
    "currency": "usd",
    "value": Decimal("87.10"),
    "order_id": 1007.0,
    "source_url": "https://shop.example/p?a=1",
    "app_bundle": "com.example.shop",
}


def test_the_columns_are_those_of_the_specification() -> None:
    """No column more, none less."""
    assert {field.name for field in FIELDS} == COLUMNS


def test_the_json_of_a_full_event() -> None:
    """An event with every column, byte for byte as the API's guide has it, digits kept."""
    assert body(FULL) == {
        "eventId": "1007",
        "eventTime": TIME,
        "pixelId": 12345,
        "source": "app",
        "decisionId": LI_DID,
        "userData": {
            "md5": MD5,
            "sha2": SHA2,
            "ip": "203.0.113.7",
            "ua": "Mozilla/5.0",
            "idfa": LI_DID,
            "aaid": LI_DID,
            "trackingEnabled": 1,
        },
        "purchaseData": {
            "currency": "USD",
            "value": 87.1,
            "orderId": "1007",
            "appBundle": "com.example.shop",
            "sourceUrl": "https://shop.example/p?a=1",
        },
    }
    text = conversion(FULL).body.decode()
    assert '"value":87.10' in text
    assert '"eventTime":1785500000,' in text
    assert '"trackingEnabled":1' in text


def test_the_json_of_the_smallest_event() -> None:
    """Both objects are required; what is not known is not in them."""
    assert body(order()) == {
        "eventId": "1007",
        "eventTime": TIME,
        "pixelId": 4711,
        "source": "web",
        "userData": {"md5": MD5, "sha2": SHA2},
        "purchaseData": {},
    }


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
    assert b"hush" not in dead_letter_line(refused)


# Rejections

REJECTED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"event_time": None}, "missing_event_time", "event_time"),
    ({"event_time": ""}, "missing_event_time", "event_time"),
    ({"event_time": "None"}, "missing_event_time", "event_time"),
    ({"event_time": ...}, "missing_event_time", "event_time"),
    ({"event_time": "soon"}, "invalid_event_time", "event_time"),
    ({"event_time": ["x"]}, "invalid_event_time", "event_time"),
    ({"event_time": True}, "invalid_event_time", "event_time"),
    ({"event_time": int(NOW) - 8 * DAY}, "event_too_old", "event_time"),
    ({"event_time": "2019-01-01"}, "event_too_old", "event_time"),
    ({"event_time": int(NOW) - 31 * DAY, "source": "offline"}, "event_too_old", "event_time"),
    ({"event_time": int(NOW) + 3_600}, "event_in_future", "event_time"),
    ({"event_time": "9999-12-31T23:59:59+00:00"}, "event_in_future", "event_time"),
    ({"source": "pos"}, "invalid_source", "source"),
    ({"source": 7}, "invalid_source", "source"),
    ({"pixel_id": "abc"}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": 1.5}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": True}, "invalid_pixel_id", "pixel_id"),
    ({"pixel_id": 2**63}, "invalid_pixel_id", "pixel_id"),
    ({"email": None}, "no_identity", None),
    ({"email": ""}, "no_identity", None),
    ({"email": "guest"}, "no_identity", None),
    ({"email": sha256("")}, "no_identity", None),
    ({"email": ..., "ip": "203.0.113.7", "idfa": LI_DID, "aaid": LI_DID}, "no_identity", None),
    ({"email": ..., "source_url": "https://shop.example/?li_did=x"}, "no_identity", None),
    ({"email": ..., "decision_id": "ann@example.com"}, "no_identity", None),
    ({"email": ..., "decision_id": ["x"]}, "no_identity", None),
]


@pytest.mark.parametrize(("changes", "reason", "field"), REJECTED)
def test_rejections(changes: dict[str, Any], reason: str, field: str | None) -> None:
    """A bad record is a rejection with its reason and its column, and keeps its event ID."""
    rejected = rejection(order(**changes))
    assert (rejected.reason, rejected.field) == (reason, field)
    assert rejected.reason in REASONS
    assert (rejected.event_id, rejected.stream) == ("1007", "orders")


@pytest.mark.parametrize(
    ("missing", "reason"), [("source", "invalid_source"), ("pixel_id", "invalid_pixel_id")]
)
def test_neither_record_nor_setting(missing: str, reason: str) -> None:
    """A required field that neither record nor settings fill is a rejection."""
    record = order(source="web", pixel_id=1)
    for empty in (None, "", "null"):
        rejected = rejection({**record, missing: empty}, defaults=BARE)
        assert (rejected.reason, rejected.field) == (reason, missing)


def test_record_before_settings() -> None:
    """The record's own pixel and source win; an empty one takes the setting's."""
    assert body(order(pixel_id="9", source="APP"))["pixelId"] == 9
    assert body(order(pixel_id="9", source="APP"))["source"] == "app"
    filled = body(order(pixel_id="", source=None))
    assert (filled["pixelId"], filled["source"]) == (4711, "web")


def test_a_wrong_value_is_not_replaced_by_a_setting() -> None:
    """Nothing is guessed: a source that is none is a rejection, whatever the default."""
    assert rejection(order(source="pos")).reason == "invalid_source"


# Windows


@pytest.mark.parametrize(("source", "days"), [("web", 7), ("app", 7), ("offline", 30)])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.999])
def test_windows_are_cut_a_minute_inside(source: str, days: int, fraction: float) -> None:
    """Events are sent up to 60 seconds before their window ends, not later."""
    now = NOW + fraction
    last = int(now) - days * DAY + 60
    assert isinstance(build(order(event_time=last + 1, source=source), now=now), Conversion)
    late = build(order(event_time=last - 1, source=source), now=now)
    assert isinstance(late, Rejection)
    assert (late.reason, late.field) == ("event_too_old", "event_time")
    at_the_line = build(order(event_time=last, source=source), now=now)
    assert isinstance(at_the_line, Rejection)


@pytest.mark.parametrize(("source", "days"), [("web", 7), ("app", 7), ("offline", 30)])
def test_an_event_knows_when_it_expires(source: str, days: int) -> None:
    """Age is judged again before each send, by the same line."""
    made = conversion(order(source=source))
    assert made.expires_at == TIME + days * DAY - 60


def test_the_default_source_decides_the_window_too() -> None:
    """An offline shop's events without a source have 30 days."""
    old = order(event_time=int(NOW) - 20 * DAY)
    assert rejection(old).reason == "event_too_old"
    assert isinstance(build(old, defaults=DEFAULTS._replace(source="offline")), Conversion)


@pytest.mark.parametrize("ahead", [0, 1, 30, 59, 60])
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_clock_that_is_ahead_is_forgiven(ahead: int, fraction: float) -> None:
    """Up to 60 seconds in the future is one second before now."""
    now = NOW + fraction
    assert body(order(event_time=int(NOW) + ahead), now=now)["eventTime"] == int(NOW) - 1


@pytest.mark.parametrize("ahead", [61, 62, 3_600])
def test_the_future_is_not_forgiven(ahead: int) -> None:
    """More than 60 seconds ahead is a rejection, to the second."""
    assert rejection(order(event_time=int(NOW) + ahead)).reason == "event_in_future"


def test_the_past_is_left_alone() -> None:
    """One second ago stays one second ago."""
    for ago in (1, 2, 60):
        assert body(order(event_time=int(NOW) - ago))["eventTime"] == int(NOW) - ago


def test_the_setting_timezone() -> None:
    """A time without a zone is in the zone of the settings."""
    defaults = DEFAULTS._replace(zone=zoneinfo.ZoneInfo("America/New_York"))
    assert body(order(event_time="2026-07-31 12:00:00"), defaults=defaults)["eventTime"] == (
        int(dt.datetime(2026, 7, 31, 16, tzinfo=dt.timezone.utc).timestamp())
    )


# Event IDs


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("1007", "1007"),
        (1007, "1007"),
        (1007.0, "1007"),
        (Decimal("1007.0"), "1007"),
        (10.5, "10.5"),
        (True, "true"),
        (" gid://shopify/Order/1 ", "gid://shopify/Order/1"),
        (0, "0"),
    ],
)
def test_an_event_id_is_any_scalar(given: Any, sent: str) -> None:
    """An ID is sent as text, 1007.0 as 1007."""
    made = conversion(order(event_id=given), keys=["id"], raw={"id": 1})
    assert made.event_id == body(order(event_id=given))["eventId"] == sent


@pytest.mark.parametrize("absent", [None, "", " ", "None", "null", "NaN", float("nan"), ...])
def test_absent_event_ids_are_derived_from_the_keys(absent: Any) -> None:
    """Stream and key values give the ID, for all time: it is pinned."""
    made = conversion(order(event_id=absent), raw={"id": 7}, keys=["id"])
    assert made.event_id == "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"
    assert uuid.UUID(made.event_id).version == 5


@pytest.mark.parametrize("unusable", [["x"], {"a": 1}, float("inf"), "\ud800"])
def test_unusable_event_ids_are_derived_and_counted(unusable: Any) -> None:
    """An ID that cannot be text is as good as none, but it is said."""
    left_out: dict[str, int] = {}
    made = conversion(order(event_id=unusable), raw={"id": 7}, keys=["id"], left_out=left_out)
    assert made.event_id == "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"
    assert left_out == {"event_id": 1}


PINNED: list[tuple[str, list[str], dict[str, Any], str]] = [
    ("orders", ["id"], {"id": 7}, "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"),
    ("orders", ["id"], {"id": "7"}, "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"),
    ("orders", ["id"], {"id": 7.0}, "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"),
    ("refunds", ["id"], {"id": 7}, "b3732df1-e718-5fa3-be5c-4b3e11ea7b0e"),
    ("orders", ["a", "b"], {"a": 1, "b": "x"}, "2233b1ec-8d3d-5460-9f76-14cb295c1cf9"),
    ("orders", ["b", "a"], {"a": 1, "b": "x"}, "a2f88c73-c6ec-5994-beb6-e4894bd84213"),
    ("orders", ["a", "b"], {"a": 1, "b": None}, "e4946787-149f-517c-b7d1-de58a771f5a2"),
]


@pytest.mark.parametrize(("stream", "keys", "raw", "event_id"), PINNED)
def test_derived_ids_are_pinned(
    stream: str, keys: list[str], raw: dict[str, Any], event_id: str
) -> None:
    """A new release must not make every event a new one."""
    record = order(event_id=...)
    assert conversion(record, stream=stream, keys=keys, raw=raw).event_id == event_id


def test_derived_ids_come_from_before_the_mapping() -> None:
    """What the map makes of the key column, or of any other, does not matter."""
    one = conversion(order(event_id=..., id="mapped"), raw={"id": 7, "x": 1}, keys=["id"])
    two = conversion(order(event_id=..., value=5), raw={"id": 7, "x": 2}, keys=["id"])
    assert one.event_id == two.event_id == "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"


def test_without_keys_the_mapped_record_gives_the_id() -> None:
    """The whole mapped record, without `_sdc_*`, in whatever order."""
    plain = order(event_id=..., value=Decimal("87.10"), nested={"a": [1, None], "b": "ü"})
    pinned = conversion(plain).event_id
    assert pinned == "b1f0cb6c-5bfa-5733-a0e5-6e5fa3b3d4cc"
    noisy = dict(reversed([*plain.items(), ("_sdc_batched_at", "now"), ("_sdc_sequence", 5)]))
    assert conversion(noisy).event_id == pinned
    assert conversion(plain, raw={"anything": "else"}).event_id == pinned
    assert conversion({**plain, "nested": {}}).event_id != pinned
    assert conversion(plain, stream="other").event_id != pinned


@pytest.mark.parametrize("raw", [{}, {"other": 1}, {"id": None}, {"id": ""}, {"id": "null"}])
def test_missing_keys(raw: dict[str, Any]) -> None:
    """Without event ID and without a key there is nothing that names the event."""
    rejected = rejection(order(event_id=...), raw=raw, keys=["id"])
    assert rejected.reason == "missing_key"
    assert uuid.UUID(rejected.event_id).version == 5


def test_a_given_id_needs_no_keys() -> None:
    """An ID of its own is enough."""
    assert conversion(order(), raw={}, keys=["id"]).event_id == "1007"


def test_an_address_as_event_id_becomes_its_uuid() -> None:
    """Neither the event nor its letter shows the address, and the UUID is pinned."""
    made = conversion(order(event_id="ann@example.com"))
    assert made.event_id == "4c7aab8b-f19c-5457-80db-57d99e6ad08f"
    assert b"ann@" not in made.body
    for hidden in ("order ann@example.com 7", "x?e=ann%40example.com"):
        assert uuid.UUID(conversion(order(event_id=hidden)).event_id).version == 5


def test_an_address_as_key_does_not_show() -> None:
    """A table whose key is the address gives UUIDs, and its letters show none."""
    rejected = rejection(
        order(event_id=..., event_time=None), raw={"email": ADDRESS}, keys=["email"]
    )
    assert uuid.UUID(rejected.event_id).version == 5
    assert b"ohn.Doe" not in dead_letter_line(rejected)


def test_a_value_with_members_of_mixed_kinds_gives_an_id() -> None:
    """A stream map's dict literal may have keys of several kinds; that is no reason to raise."""
    record = order(event_id=..., other={1: "x", "a": "y", None: 0})
    assert conversion(record).event_id == conversion(record).event_id


# The API's own spelling


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
    """Where both are there, ours counts; where ours is null, the other."""
    both = order(eventId="no", userData={"ip": "203.0.113.9"}, ip="203.0.113.7")
    assert body(both)["eventId"] == "1007"
    assert body(both)["userData"]["ip"] == "203.0.113.7"
    assert body({**both, "event_id": None, "ip": None})["eventId"] == "no"
    assert body({**both, "event_id": None, "ip": None})["userData"]["ip"] == "203.0.113.9"


@pytest.mark.parametrize("value", [None, "text", 5, [], [{"ip": "203.0.113.7"}], {"ip": None}, {}])
def test_nested_objects_that_are_none(value: Any) -> None:
    """A `userData` that is no object holds nothing, and raises nothing."""
    made = body(order(userData=value, purchaseData=value))
    assert made["userData"] == {"md5": MD5, "sha2": SHA2}
    assert made["purchaseData"] == {}


def test_columns_that_the_schema_does_not_name_are_not_read() -> None:
    """Columns are resolved once, when the SCHEMA arrives."""
    properties = ["event_id", "event_time", "email"]
    assert "currency" not in body(order(currency="USD"), properties=properties)["purchaseData"]


# Identity


@pytest.mark.parametrize("column", ["email", "md5", "sha2"])
def test_an_address_in_any_column(column: str) -> None:
    """A raw address is hashed wherever it stands."""
    assert body({**order(email=...), column: ADDRESS})["userData"] == {"md5": MD5, "sha2": SHA2}


def test_conflicts_are_counted() -> None:
    """A hash that contradicts the address loses, and that is said."""
    left_out: dict[str, int] = {}
    made = body(order(md5="a" * 32, sha2="b" * 64), left_out=left_out)
    assert made["userData"] == {"md5": MD5, "sha2": SHA2}
    assert left_out == {"conflict": 1}


def test_junk_is_counted_and_not_sent() -> None:
    """Hashes of nothing beside a decision ID leave no trace in the event."""
    left_out: dict[str, int] = {}
    record = order(email="guest", md5="0" * 31, decision_id="d")
    made = body(record, left_out=left_out)
    assert made["userData"] == {}
    assert sum(left_out.values()) == 2


def test_the_setting_email_normalization() -> None:
    """The builder uses the normalisation of the settings."""
    made = body(order(), defaults=DEFAULTS._replace(normalization="lowercase"))
    assert made["userData"]["sha2"] == sha256(ADDRESS.lower())


# Decision IDs

URL = f"https://shop.example/p?a=1&li_did={LI_DID}"


def test_a_decision_id_is_sent_as_given() -> None:
    """Any text, trimmed, with or without a hashed e-mail."""
    assert body(order(decision_id=" any-Thing "))["decisionId"] == "any-Thing"
    alone = body(order(email=None, decision_id="any-Thing", source_url=URL))
    assert alone["decisionId"] == "any-Thing"
    assert alone["userData"] == {}


def test_the_decision_id_of_the_url() -> None:
    """A guest who came from an e-mail click is known by the click."""
    made = body(order(email=None, source_url=URL))
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"]["sourceUrl"] == URL


def test_the_url_is_not_asked_where_there_is_an_address() -> None:
    """With a hashed e-mail no decision ID is inferred."""
    assert "decisionId" not in body(order(source_url=URL))
    assert "decisionId" not in body(order(email=None, md5=MD5, source_url=URL))


@pytest.mark.parametrize("empty", [None, "", "null", "ann@example.com", ["x"]])
def test_an_unusable_decision_id_leaves_the_url(empty: Any) -> None:
    """What is no decision ID does not hide that of the URL."""
    assert body(order(email=None, decision_id=empty, source_url=URL))["decisionId"] == LI_DID


@pytest.mark.parametrize("address", ["ann@example.com", "ann%40example.com"])
def test_the_decision_id_beside_an_address(address: str) -> None:
    """Links in e-mails carry the address beside li_did: the address goes, the rest is sent."""
    left_out: dict[str, int] = {}
    made = body(order(email=None, source_url=f"{URL}&e={address}"), left_out=left_out)
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"] == {"sourceUrl": URL}
    assert left_out == {}


@pytest.mark.parametrize("address", ["ann@example.com", "ann%40example.com"])
def test_the_decision_id_of_a_url_that_is_not_sent(address: str) -> None:
    """With an address in its path, the URL stays here, and its UUID is used."""
    left_out: dict[str, int] = {}
    page = f"https://shop.example/for/{address}?a=1&li_did={LI_DID}"
    made = body(order(email=None, source_url=page), left_out=left_out)
    assert made["decisionId"] == LI_DID
    assert made["purchaseData"] == {}
    assert left_out == {"source_url": 1}


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


def _at(made: Any, path: tuple[str, ...]) -> Any:
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
    assert _at(made, OPTIONAL[column][1]) is ...


@pytest.mark.parametrize("column", OPTIONAL)
def test_unusable_optional_columns_are_left_out_and_counted(column: str) -> None:
    """What cannot be read is left out; the event is sent, and the column is counted."""
    unusable, path = OPTIONAL[column]
    left_out: dict[str, int] = {}
    assert _at(body({**FULL, column: unusable}, left_out=left_out), path) is ...
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
    ],
)
def test_optional_columns_with_an_address_are_left_out_and_counted(column: str, value: str) -> None:
    """An address in any column stays here."""
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
    assert _at(body({**FULL, column: value}), OPTIONAL[column][1]) is ...
    assert left_out == {column: 1}


@pytest.mark.parametrize(("value", "sent"), QUERIES)
@pytest.mark.parametrize("spelling", ["ours", "theirs"])
def test_page_urls_lose_what_must_not_travel(value: str, sent: str, spelling: str) -> None:
    """The rest of the URL is sent; letter and replay have the same rest, in either spelling."""
    left_out: dict[str, int] = {}
    page = {"source_url": value} if spelling == "ours" else {"purchaseData": {"sourceUrl": value}}
    made = conversion(order(**page), left_out=left_out)
    assert body(order(**page))["purchaseData"] == {"sourceUrl": sent}
    assert left_out == {}
    assert _letter(made)["source_url"] == sent
    again = _replayed(made)
    assert isinstance(again, Conversion)
    assert again.body == made.body


@pytest.mark.parametrize("column", ["idfa", "aaid"])
def test_the_all_zero_device_id_is_left_out(column: str) -> None:
    """Phones send it where tracking is off."""
    made = body({**FULL, column: "00000000-0000-0000-0000-000000000000"})
    assert column not in made["userData"]


@pytest.mark.parametrize("value", [0, "0.00", -5, "-$5.00", Decimal("-0.01")])
def test_zero_and_negative_amounts_are_sent(value: Any) -> None:
    """Free orders and refunds have amounts too."""
    assert float(body(order(value=value))["purchaseData"]["value"]) <= 0


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (Decimal("87.10"), b"87.10"),
        ("87.10", b"87.10"),
        ("1,234.50", b"1234.50"),
        (Decimal("0.1000"), b"0.1000"),
        (Decimal("12345678901234567890.123456789"), b"12345678901234567890.123456789"),
        (87, b"87"),
        (87.28, b"87.28"),
    ],
)
def test_amounts_keep_their_digits_on_the_wire(value: Any, digits: bytes) -> None:
    """A JSON number, not text, with the digits that came."""
    assert b'"value":' + digits + b"}" in conversion(order(value=value)).body


# Streams


@pytest.mark.parametrize(
    ("properties", "defaults", "missing"),
    [
        (["event_time", "email"], DEFAULTS, []),
        (["event_time", "md5"], DEFAULTS, []),
        (["event_time", "sha2"], DEFAULTS, []),
        (["event_time", "decision_id"], DEFAULTS, []),
        (["event_time", "source_url"], DEFAULTS, []),
        (["event_time", "email", "pixel_id", "source"], BARE, []),
        (["eventTime", "userData", "pixelId", "source"], BARE, []),
        (["eventTime", "decisionId"], DEFAULTS, []),
        (["eventTime", "purchaseData"], DEFAULTS, []),
        (["email"], DEFAULTS, ["event_time"]),
        (["event_time"], DEFAULTS, ["email"]),
        (["event_time", "ip", "idfa"], DEFAULTS, ["email"]),
        (["event_time", "email"], BARE, ["pixel_id", "source"]),
        (["event_time", "email", "pixel_id"], BARE, ["source"]),
        (["event_time", "email", "source"], BARE, ["pixel_id"]),
        ([], BARE, ["event_time", "email", "pixel_id", "source"]),
        (["created_at", "Email"], DEFAULTS, ["event_time", "email"]),
    ],
)
def test_missing_columns(
    properties: list[str], defaults: EventDefaults, missing: list[str]
) -> None:
    """What a stream lacks to ever give an event is listed, a phrase each."""
    phrases = missing_columns(properties, defaults)
    assert len(phrases) == len(missing)
    for phrase, name in zip(phrases, missing, strict=False):
        assert name in phrase


# Consent and suppression

YES: list[Any] = [
    *(True, 1, 1.0, Decimal("1.0"), "1", "yes", "YES", " Granted ", "granted", "true", "TRUE"),
]
NO: list[Any] = [
    *(None, "", " ", False, 0, 0.0, 2, -1, 1.5, Decimal("1.5"), float("nan"), Decimal("NaN")),
    *("no", "false", "0", "2", "denied", "y", "on", "t", "ok", "null", "None", "NaN", "yes!"),
    *("not granted", "unknown", "1.5", "\ud800", ["yes"], [True], {"granted": True}, [], {}, b"1"),
]


@pytest.mark.parametrize("value", YES, ids=repr)
def test_consent_that_is_given(value: Any) -> None:
    """True, 1, yes and granted, in any case, let a record go; consent itself is never sent."""
    made = conversion(order(consent=value))
    assert made.body == conversion(order()).body
    assert b"consent" not in made.body


@pytest.mark.parametrize("value", NO, ids=repr)
def test_everything_else_is_no_consent(value: Any) -> None:
    """Nothing is guessed in favour of sending."""
    rejected = rejection(order(consent=value))
    assert (rejected.reason, rejected.field) == ("no_consent", "consent")
    assert not REASONS[rejected.reason].letter


def test_a_stream_with_a_consent_column_needs_it_in_each_record() -> None:
    """Where the stream has the column, a record without it is a no."""
    assert rejection(order(), properties=[*order(), "consent"]).reason == "no_consent"


def test_a_stream_without_a_consent_column_needs_none() -> None:
    """The column is the stream's, as mapped: what no SCHEMA names is not read."""
    conversion(order())
    conversion(order(consent=False), properties=list(order()))


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": None},
        {"event_time": int(NOW) - 90 * DAY},
        {"source": "pos"},
        {"email": None},
        {"event_id": ...},
    ],
)
@pytest.mark.parametrize("why", ["consent", "suppressed"])
def test_both_come_before_any_other_reason(
    changes: dict[str, Any], why: str, tmp_path: pathlib.Path
) -> None:
    """A record that must not be sent is never judged further: no letter could come of it."""
    record = order(**changes)
    if why == "consent":
        rejected = rejection({**record, "consent": "no"}, keys=["id"], violation="x breaks")
        assert rejected.reason == "no_consent"
        return
    people = _suppressing(tmp_path, ADDRESS)
    rejected = rejection(record, keys=["id"], violation="x breaks", suppressions=people)
    assert rejected.reason == ("suppressed" if record["email"] else "schema_violation")


def test_no_consent_before_suppression(tmp_path: pathlib.Path) -> None:
    """Whoever gave no consent is counted as that."""
    people = _suppressing(tmp_path, ADDRESS)
    assert rejection(order(consent="no"), suppressions=people).reason == "no_consent"
    assert rejection(order(consent="yes"), suppressions=people).reason == "suppressed"


@pytest.mark.parametrize(
    "identity",
    [
        {"email": ADDRESS},
        {"email": f" {ADDRESS.upper()} "},
        {"email": MD5},
        {"email": ..., "md5": MD5.upper()},
        {"email": ..., "sha2": SHA2},
        {"email": ..., "md5": ADDRESS},
        {"email": ..., "userData": {"sha2": SHA2}},
        {"email": "johndoe@gmail.com", "sha2": "b" * 64},
    ],
)
def test_suppressed_by_whatever_names_the_person(
    identity: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """In every column and spelling in which an identity may come."""
    rejected = rejection(order(**identity), suppressions=_suppressing(tmp_path, ADDRESS))
    assert (rejected.reason, rejected.field) == ("suppressed", None)
    conversion(order(**identity), suppressions=_suppressing(tmp_path, "other@example.com"))


def test_a_click_of_nobody_is_not_suppressed(tmp_path: pathlib.Path) -> None:
    """A decision ID names a click, and the list names people."""
    made = conversion(order(email=None, decision_id="d"), suppressions=_suppressing(tmp_path))
    assert made.event_id == "1007"


def _suppressing(folder: pathlib.Path, *people: str) -> Suppressions:
    path = folder / "people.txt"
    path.write_text("".join(f"{one}\n" for one in people))
    return Suppressions(str(path))


def test_a_replay_obeys_consent() -> None:
    """A letter is sent if its record had consent, or its stream no such column."""
    for record in (order(consent="yes"), order()):
        again = _replayed(conversion(record))
        assert isinstance(again, Conversion)
        assert again.body == conversion(order()).body
    withdrawn = _replayed(rejection(order(event_time=None), defaults=BARE), consent="no")
    assert isinstance(withdrawn, Rejection)
    assert withdrawn.reason == "no_consent"


def test_a_replay_obeys_suppression(tmp_path: pathlib.Path) -> None:
    """Whoever joined the list since is not sent."""
    again = _replayed(conversion(order()), suppressions=_suppressing(tmp_path, ADDRESS))
    assert isinstance(again, Rejection)
    assert again.reason == "suppressed"


# DeadLetterWriter


def _letter(result: Conversion | Rejection) -> dict[str, Any]:
    if isinstance(result, Conversion):
        result = result.rejected("refused_by_api", None, None)
    return decode_object(decode_message(dead_letter_line(result)).record)


def test_letter_columns_are_as_mapped() -> None:
    """A letter has the columns as they came, hashes in place of the address."""
    record = _letter(conversion({**FULL, "value": "$87.10"}))
    wanted = {**FULL, "value": "$87.10", "order_id": 1007, "md5": MD5, "sha2": SHA2}
    del wanted["email"]
    assert {name: record[name] for name in wanted} == wanted
    assert set(record) == {*wanted, "reason", "field", "stream", "time"}


def test_letter_columns_hold_nothing_of_the_settings() -> None:
    """A corrected pixel ID must take effect on replay."""
    made = conversion(order())
    assert {"pixel_id", "source"}.isdisjoint(made.columns)
    rejected = rejection(order(event_time=None))
    assert {"pixel_id", "source", "email"}.isdisjoint(rejected.columns)


@pytest.mark.parametrize("column", sorted(COLUMNS))
@pytest.mark.parametrize(
    "value",
    [
        "Ann@Example.com",
        "x Ann@Example.com",
        ["Ann@Example.com"],
        {"Ann@Example.com": "x"},
        {"a": [{"b": "Ann@Example.com"}]},
        "https://shop.example/?e=Ann%40Example.com",
        "\ud800Ann@Example.com",
    ],
)
def test_letter_columns_hold_no_address(column: str, value: Any) -> None:
    """An address in any column, at any depth, is its SHA-256."""
    written = redact_columns(build({**FULL, column: value}).columns)
    assert "nn@example" not in repr(written).lower()
    assert "nn%40example" not in repr(written).lower()


def test_a_letter_shows_the_sha256_of_other_addresses() -> None:
    """So that a letter can be compared with what others know."""
    made = conversion(order(order_id="for Ann@Example.com"))
    assert _letter(made)["order_id"] == f"for {sha256('ann@example.com')}"


def _replayed(
    result: Conversion | Rejection,
    *,
    consent: Any = ...,
    suppressions: Suppressions | None = None,
    **defaults: Any,
) -> Conversion | Rejection:
    record = to_replay(_letter(result))
    if consent is not ...:
        record["consent"] = consent
    settings = DEFAULTS._replace(**defaults)
    stream = "liveintent_dead_letters"
    builder = EventBuilder(stream, [*COLUMNS - {"email"}], [], settings, suppressions)
    return builder.build(record, record, NOW, {})


def test_a_replay_gives_the_same_event() -> None:
    """The letter of an event that was refused gives that event again, byte for byte."""
    for record in (FULL, order(), order(event_id=...), order(email=None, source_url=URL)):
        made = conversion(record)
        again = _replayed(made)
        assert isinstance(again, Conversion)
        assert again.body == made.body


def test_a_replay_takes_corrected_settings() -> None:
    """What was rejected for a setting is sent once the setting is right."""
    rejected = rejection(order(), defaults=BARE)
    again = _replayed(rejected, pixel_id=99, source="offline")
    assert isinstance(again, Conversion)
    assert (again.event_id, b'"pixelId":99' in again.body) == ("1007", True)


@pytest.mark.parametrize("decision_id", ["ann@example.com", "for ann@example.com"])
def test_a_replay_does_not_make_an_identity_of_an_address(decision_id: str) -> None:
    """An address in `decision_id` identified nobody; its hash in the letter must not either."""
    rejected = rejection(order(email=None, decision_id=decision_id))
    again = _replayed(rejected)
    assert isinstance(again, Rejection)
    assert again.reason == "no_identity"


@pytest.mark.parametrize("column", ["order_id", "user_agent", "source_url", "app_bundle"])
def test_a_replay_does_not_send_what_was_left_out(column: str) -> None:
    """A column that was left out for the address in it stays out on replay."""
    made = conversion(order(**{column: "ann@example.com"}))
    again = _replayed(made)
    assert isinstance(again, Conversion)
    assert again.body == made.body


def test_a_failed_mapping_shows_keys_only() -> None:
    """Of a record that no map fits, only the keys are known, and no address of them is shown."""
    raw = {"id": 7, "who": "Ann@Example.com", "secret": "hush"}
    builder = EventBuilder("orders", ["event_time"], ["id", "who"], DEFAULTS)
    rejected = builder.reject_unmapped("value", raw, "KeyError")
    assert (rejected.reason, rejected.field, rejected.columns) == ("mapping_failed", "value", {})
    record = _letter(rejected)
    assert record["keys"] == {"id": 7, "who": sha256("ann@example.com")}
    assert record["detail"] == "KeyError"
    assert set(record) == {"event_id", "reason", "field", "stream", "time", "keys", "detail"}
    assert b"hush" not in dead_letter_line(rejected)


def test_a_schema_violation_keeps_id_and_columns() -> None:
    """A record that breaks the tap's schema is as replayable as any other."""
    rejected = rejection(FULL, violation="value breaks the rule 'type'")
    assert (rejected.reason, rejected.event_id) == ("schema_violation", "1007")
    assert (rejected.field, rejected.detail) == (None, "value breaks the rule 'type'")
    assert _letter(rejected)["detail"] == "value breaks the rule 'type'"
    again = _replayed(rejected)
    assert isinstance(again, Conversion)
    assert again.body == conversion(FULL).body


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        10**30,
        -(10**30),
        b"\xff",
        "\ud800",
        {"\ud800": "\ud800"},
        {"a": {"b": [dt.date(2026, 8, 1), dt.time(1), dt.timedelta(1)]}},
        dt.datetime.max,  # noqa: DTZ901
        uuid.UUID(int=1),
        {1, 2},
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_fits_a_letter(value: Any) -> None:
    """Whatever a column holds, its letter is a line of JSON that can be read back."""
    line = dead_letter_line(rejection(order(event_time=["x"], order_id=value, ip=value)))
    assert line.count(b"\n") == 1
    assert decode_object(decode_message(line).record)["event_id"] == "1007"


@pytest.mark.parametrize("depth", [10, 200, 600, 900])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_deep_values_fit_a_letter(depth: int, kind: str) -> None:
    """What the reader lets in, a letter can hold: no record may end the run."""
    opening, closing = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    line = b'{"a":' + opening * depth + b"1" + closing * depth + b"}"
    deep = decode_object(line)["a"]
    assert dead_letter_line(rejection(order(event_id=..., event_time=deep))).endswith(b"\n")
