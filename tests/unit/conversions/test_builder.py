"""Rejections, defaults and the age of events; consent and suppression; event IDs."""

import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

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
    counted,
    each_of,
    letter,
    name_of,
    order,
    rejection,
    replayed,
    sent_again,
    suppressing,
)

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.reasons import REASONS

REJECTED: list[tuple[str, str, list[Any]]] = [
    ("missing_event_time", "event_time", [None, "", "None", ...]),
    ("invalid_event_time", "event_time", ["soon", ["x"], 0, "0", True]),
    ("event_in_future", "event_time", [int(NOW) + 61, "9999-12-31T23:59:59+00:00"]),
    ("invalid_source", "source", ["pos", 7]),
    ("invalid_pixel_id", "pixel_id", ["abc", 1.5, True, 2**63]),
]


@pytest.mark.parametrize(("reason", "field", "values"), REJECTED, ids=name_of)
def test_a_bad_value_rejects_the_record_with_its_reason(
    reason: str, field: str, values: list[Any]
) -> None:
    """A bad record is a rejection with its reason and its column, and keeps its event ID."""
    assert reason in REASONS
    for value in values:
        rejected = rejection(order(**{field: value}))
        found = (rejected.reason, rejected.field, rejected.event_id, rejected.stream)
        assert found == (reason, field, "1007", "orders"), value


@pytest.mark.parametrize("missing", ["source", "pixel_id"])
def test_a_required_column_comes_from_the_record_or_a_setting(missing: str) -> None:
    """A required field that neither record nor settings fill is a rejection."""
    for empty in (None, "", "null"):
        record = {**order(source="web", pixel_id=1), missing: empty}
        rejected = rejection(record, defaults=BARE)
        assert (rejected.reason, rejected.field) == (f"invalid_{missing}", missing)


# Windows


@each_of(
    "source, days, fraction",
    {
        "web": ("web", 7, 0.0),
        "app": ("app", 7, 0.001),
        "offline": ("offline", 30, 0.5),
        "web at a second's end": ("web", 7, 0.999),
    },
)
def test_windows_are_cut_a_minute_inside(source: str, days: int, fraction: float) -> None:
    """Events expire 60 seconds before their window ends, and are events however old they are."""
    now = NOW + fraction
    setting = DEFAULTS._replace(source=source)
    for time in (TIME, int(now) - days * DAY + 60, int(now) - days * DAY - 9 * DAY):
        for made in (
            build(order(event_time=time, source=source), now=now),
            build(order(event_time=time), defaults=setting, now=now),
        ):
            assert isinstance(made, Conversion)
            assert made.expires_at == time + days * DAY - 60


@each_of(
    "ahead, fraction",
    {
        "now": (0, 0.0),
        "one second ahead": (1, 0.0),
        "half a minute ahead": (30, 0.0),
        "just inside the minute": (59, 0.5),
        "exactly a minute": (60, 0.0),
        "less than a minute ahead": (60, 0.5),
    },
)
def test_a_clock_that_is_ahead_is_forgiven(ahead: int, fraction: float) -> None:
    """A time up to 60 seconds in the future becomes one second before now."""
    made = body(order(event_time=int(NOW) + ahead), now=NOW + fraction)
    assert made["eventTime"] == int(NOW) - 1


# Consent and suppression: who must not be sent. They are judged before everything else

YES: list[Any] = [True, 1, 1.0, Decimal("1.0"), "1", "yes", "YES", " Granted ", "true", "TRUE"]
NO: list[Any] = [
    *(None, "", " ", False, 0, 0.0, 2, -1, 1.5, Decimal("1.5"), float("nan"), Decimal("NaN")),
    *("no", "false", "0", "2", "denied", "y", "on", "t", "ok", "null", "None", "NaN", "yes!"),
    *("not granted", "unknown", "1.5", "\ud800", ["yes"], [True], {"granted": True}, [], {}, b"1"),
]


@pytest.mark.parametrize("value", YES, ids=repr)
def test_consent_that_is_given(value: Any) -> None:
    """True, 1, yes and granted, in upper or lower case, give consent; the column is never sent."""
    assert conversion(order(consent=value)).body == conversion(order()).body


@pytest.mark.parametrize("value", NO, ids=repr)
def test_everything_else_is_no_consent(value: Any) -> None:
    """Every other value means no, so that nothing is sent by mistake."""
    rejected = rejection(order(consent=value))
    assert (rejected.reason, rejected.field) == ("no_consent", "consent")
    assert not REASONS[rejected.reason].letter


def test_the_schema_decides_whether_a_stream_needs_consent() -> None:
    """Where it has the column, a record without it has no consent; else its own answer counts.

    (A map can drop the column, so that it is not read.)
    """
    columns = {"properties": list(order())}
    assert rejection(order(), properties=[*order(), "consent"]).reason == "no_consent"
    conversion(order(), **columns, undeclared=["consent"])
    conversion(order(consent=False), **columns)
    for answer in (False, None):
        rejected = rejection(order(consent=answer), **columns, undeclared=["consent"])
        assert rejected.reason == "no_consent"


@each_of(
    "changes",
    {
        "no time": {"event_time": None},
        "too old": {"event_time": int(NOW) - 90 * DAY},
        "unknown source": {"source": "pos"},
        "no identity": {"email": None},
        "no event ID": {"event_id": ...},
    },
)
def test_both_come_before_any_other_reason(changes: dict[str, Any], tmp_path: Path) -> None:
    """A record that must not be sent is not judged further, so that it gives no dead letter."""
    other: dict[str, Any] = {"keys": ["id"], "violation": "x breaks"}
    other["suppressions"] = suppressing(tmp_path, ADDRESS)
    record = order(**changes)
    assert rejection({**record, "consent": "no"}, **other).reason == "no_consent"
    rejected = rejection({**record, "consent": "yes"}, **other)
    assert rejected.reason == ("suppressed" if record["email"] else "schema_violation")


@each_of(
    "identity",
    {
        "MD5 in capitals": {"md5": MD5.upper()},
        "SHA-256": {"sha2": SHA2},
        "address in place of MD5": {"md5": ADDRESS},
    },
)
def test_every_identity_of_a_person_is_suppressed(identity: dict[str, Any], tmp_path: Path) -> None:
    """The list applies in every column that an identity may have."""
    rejected = rejection(order(email=..., **identity), suppressions=suppressing(tmp_path, ADDRESS))
    assert (rejected.reason, rejected.field) == ("suppressed", None)
    others = suppressing(tmp_path, "other@example.com")
    conversion(order(email=..., **identity), suppressions=others)


@each_of(
    "email, reason",
    {
        "space in the name": ("john doe@gmail.com", "not_compared"),
        "domain without a dot": ("a@b", "not_compared"),
        "encoded at sign": ("j%40x.com", "not_compared"),
        "list of addresses": ([ADDRESS], "not_compared"),
        "placeholder": ("guest", None),
        "empty": ("", None),
        "null": (None, None),
    },
)
def test_an_address_that_cannot_be_read_could_be_listed(
    email: Any, reason: str | None, tmp_path: Path
) -> None:
    """With a list, such a record is not sent, by this run or by a replay; without one, it is."""
    record = order(email=email, decision_id=LI_DID, order_id="7")
    people = suppressing(tmp_path, "other@example.com")
    for result in (build(record, suppressions=people), conversion(record)):
        assert (letter(result).get("all_hashes") is None) == (reason is not None)
    found = build(record, suppressions=people)
    assert getattr(found, "reason", None) == reason


def test_a_replay_obeys_consent_and_suppression(tmp_path: Path) -> None:
    """A dead letter is sent with consent, or if its stream has none, but not against either."""
    for record in (order(consent="yes"), order()):
        assert sent_again(conversion(record)) == conversion(order()).body
    withdrawn = replayed(rejection(order(event_time=None), defaults=BARE), consent="no")
    added = replayed(conversion(order()), suppressions=suppressing(tmp_path, ADDRESS))
    assert isinstance(withdrawn, Rejection)
    assert isinstance(added, Rejection)
    assert (withdrawn.reason, added.reason) == ("no_consent", "suppressed")


# Event IDs: given, derived from the keys, or derived from the whole record

SEVENTH = "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"
"""The ID of the record of the stream `orders` whose key `id` is 7."""


@each_of(
    "given, sent",
    {"whole number with a fraction": (1007.0, "1007"), "zero": (0, "0")},
)
def test_an_event_id_is_any_scalar(given: Any, sent: str) -> None:
    """An ID is sent as text, 1007.0 as 1007; it needs no key."""
    for raw in ({}, {"id": 1}):
        made = conversion(order(event_id=given), keys=["id"], raw=raw)
        assert made.event_id == body(order(event_id=given))["eventId"] == sent


@each_of(
    "absent",
    {
        "null": None,
        "empty": "",
        "blank": " ",
        "None as text": "None",
        "null as text": "null",
        "NaN as text": "NaN",
        "NaN": float("nan"),
        "no column": ...,
    },
)
def test_absent_event_ids_are_derived_from_the_keys(absent: Any) -> None:
    """Stream and key values give the ID; it is pinned because it must never change."""
    made = conversion(order(event_id=absent), raw={"id": 7}, keys=["id"])
    assert made.event_id == SEVENTH
    assert uuid.UUID(made.event_id).version == 5


@each_of(
    "unusable",
    {
        "list": ["x"],
        "object": {"a": 1},
        "infinity": float("inf"),
        "half a surrogate pair": "\ud800",
    },
)
def test_unusable_event_ids_are_derived_and_counted(unusable: Any) -> None:
    """An ID that cannot be text counts as absent, and the record is counted."""
    made, left_out = counted(order(event_id=unusable), raw={"id": 7}, keys=["id"])
    assert (made["eventId"], left_out) == (SEVENTH, {"event_id": 1})


PINNED: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    "text": ("orders", ["id"], {"id": "7"}, SEVENTH),
    "whole float": ("orders", ["id"], {"id": 7.0}, SEVENTH),
    "other stream": ("refunds", ["id"], {"id": 7}, "b3732df1-e718-5fa3-be5c-4b3e11ea7b0e"),
    "two keys": ("orders", ["a", "b"], {"a": 1, "b": "x"}, "2233b1ec-8d3d-5460-9f76-14cb295c1cf9"),
    "keys in another order": (
        *("orders", ["b", "a"], {"a": 1, "b": "x"}, "a2f88c73-c6ec-5994-beb6-e4894bd84213"),
    ),
    "a null key": (
        *("orders", ["a", "b"], {"a": 1, "b": None}, "e4946787-149f-517c-b7d1-de58a771f5a2"),
    ),
    "huge integer": ("orders", ["id"], {"id": 2**1000}, "70755b65-5c1f-5a67-862e-71a2c756f516"),
    "list": ("orders", ["id"], {"id": [7]}, "668fce35-cd7c-5f55-9d03-068225abd172"),
}


@pytest.mark.promise("The same record has the same event ID")
@each_of("stream, keys, raw, event_id", PINNED)
def test_derived_ids_are_pinned(
    stream: str, keys: list[str], raw: dict[str, Any], event_id: str
) -> None:
    """A new release must not make every event a new one."""
    record = order(event_id=...)
    assert conversion(record, stream=stream, keys=keys, raw=raw).event_id == event_id


def test_without_keys_the_mapped_record_gives_the_id() -> None:
    """The whole mapped record without `_sdc_*`, in any order, gives the ID."""
    plain = order(event_id=..., value=Decimal("87.10"), nested={"a": [1, None], "b": "ü"})
    pinned = conversion(plain).event_id
    assert pinned == "b1f0cb6c-5bfa-5733-a0e5-6e5fa3b3d4cc"
    noisy = dict(reversed([*plain.items(), ("_sdc_batched_at", "now"), ("_sdc_sequence", 5)]))
    assert conversion(noisy).event_id == pinned
    assert conversion(plain, raw={"anything": "else"}).event_id == pinned
    assert conversion({**plain, "nested": {}}).event_id != pinned
    assert conversion(plain, stream="other").event_id != pinned


@each_of(
    "keys",
    {
        "file and line of SDK": ["_sdc_source_file", "_sdc_source_lineno"],
        "line of Smart tap": ["_smart_source_lineno"],
        "row number": ["__sdc_row"],
        "file and line of tap": ["_file", "_line"],
    },
)
def test_a_position_in_a_file_is_no_key(keys: list[str]) -> None:
    """The record gives the ID, wherever it stands; and so do the other keys if there are some."""
    for first, other in (({"value": 1}, {"value": 2}), ({"value": 1}, {"value": 1})):
        made = [
            conversion(order(event_id=..., **one), keys=keys, raw=dict.fromkeys(keys, place))
            for place, one in enumerate((first, other))
        ]
        assert (made[0].event_id == made[1].event_id) is (first == other)
    raw = {**dict.fromkeys(keys, 5), "id": 7}
    assert conversion(order(event_id=...), keys=[*keys, "id"], raw=raw).event_id == SEVENTH


@each_of(
    "raw",
    {
        "empty record": {},
        "other column only": {"other": 1},
        "null": {"id": None},
        "empty text": {"id": ""},
        "null as text": {"id": "null"},
    },
)
def test_without_an_id_and_a_key_a_record_is_rejected(raw: dict[str, Any]) -> None:
    """Without an event ID and without a key nothing identifies the event."""
    rejected = rejection(order(event_id=...), raw=raw, keys=["id"])
    assert rejected.reason == "missing_key"
    assert uuid.UUID(rejected.event_id).version == 5


@each_of(
    "event_id",
    {
        "not mapped": (..., None),
        "empty": ("", "event_id is empty in this record"),
        "null": (None, "event_id is empty in this record"),
        "a list": (["1"], "the value of event_id cannot be used"),
    },
)
def test_a_rejection_says_why_a_mapped_id_is_missing(event_id: tuple[Any, str | None]) -> None:
    """Whoever has mapped the column is not told to map it."""
    value, detail = event_id
    record = order(event_id=value)
    rejected = rejection(record, raw={}, keys=["id"])
    assert (rejected.reason, rejected.detail) == ("missing_key", detail)


def test_an_address_as_event_id_becomes_its_uuid() -> None:
    """Neither the event nor its dead letter shows the address, and the UUID is pinned."""
    made = conversion(order(event_id="ann@example.com"))
    assert made.event_id == "4c7aab8b-f19c-5457-80db-57d99e6ad08f"
    assert b"ann@" not in made.body
    for hidden in ("order ann@example.com 7", "x?e=ann%40example.com"):
        assert uuid.UUID(conversion(order(event_id=hidden)).event_id).version == 5
