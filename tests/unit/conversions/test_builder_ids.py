"""Event IDs: given, derived from the keys, or derived from the whole record."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from unit_support import ADDRESS, HUGE, NOW, SETTINGS, body, conversion, counted, order, rejection

from target_liveintent.store import letter_of

SEVENTH = "fcc7bb98-a3fa-540b-a5b3-2813e36cc8a2"
"""The ID of the record of the stream `orders` whose key `id` is 7."""


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
    """An ID is sent as text, 1007.0 as 1007; it needs no key."""
    for raw in ({}, {"id": 1}):
        made = conversion(order(event_id=given), keys=["id"], raw=raw)
        assert made.event_id == body(order(event_id=given))["eventId"] == sent


@pytest.mark.parametrize("absent", [None, "", " ", "None", "null", "NaN", float("nan"), ...])
def test_absent_event_ids_are_derived_from_the_keys(absent: Any) -> None:
    """Stream and key values give the ID; it is pinned because it must never change."""
    made = conversion(order(event_id=absent), raw={"id": 7}, keys=["id"])
    assert made.event_id == SEVENTH
    assert uuid.UUID(made.event_id).version == 5


@pytest.mark.parametrize("unusable", [["x"], {"a": 1}, float("inf"), "\ud800"])
def test_unusable_event_ids_are_derived_and_counted(unusable: Any) -> None:
    """An ID that cannot be text counts as absent, and the record is counted."""
    made, left_out = counted(order(event_id=unusable), raw={"id": 7}, keys=["id"])
    assert (made["eventId"], left_out) == (SEVENTH, {"event_id": 1})


PINNED: list[tuple[str, list[str], dict[str, Any], str]] = [
    ("orders", ["id"], {"id": "7"}, SEVENTH),
    ("orders", ["id"], {"id": 7.0}, SEVENTH),
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
    """Mapped values, of the key column or of any other, have no influence."""
    for mapped, raw in (({"id": "mapped"}, {"id": 7, "x": 1}), ({"value": 5}, {"id": 7, "x": 2})):
        assert conversion(order(event_id=..., **mapped), raw=raw, keys=["id"]).event_id == SEVENTH


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


@pytest.mark.parametrize(
    "keys",
    [
        ["_sdc_path", "_sdc_line_number"],
        ["_sdc_source_file", "_sdc_source_lineno"],
        ["_smart_source_lineno"],
        ["__sdc_row"],
        ["_file", "_line"],
    ],
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


@pytest.mark.parametrize("raw", [{}, {"other": 1}, {"id": None}, {"id": ""}, {"id": "null"}])
def test_missing_keys(raw: dict[str, Any]) -> None:
    """Without an event ID and without a key nothing identifies the event."""
    rejected = rejection(order(event_id=...), raw=raw, keys=["id"])
    assert rejected.reason == "missing_key"
    assert uuid.UUID(rejected.event_id).version == 5


def test_an_address_as_event_id_becomes_its_uuid() -> None:
    """Neither the event nor its dead letter shows the address, and the UUID is pinned."""
    made = conversion(order(event_id="ann@example.com"))
    assert made.event_id == "4c7aab8b-f19c-5457-80db-57d99e6ad08f"
    assert b"ann@" not in made.body
    for hidden in ("order ann@example.com 7", "x?e=ann%40example.com"):
        assert uuid.UUID(conversion(order(event_id=hidden)).event_id).version == 5


def test_an_address_as_key_does_not_show() -> None:
    """A table whose key is the address gives UUIDs, and its dead letters show no address."""
    record = order(event_id=..., event_time=None)
    rejected = rejection(record, raw={"email": ADDRESS}, keys=["email"])
    assert uuid.UUID(rejected.event_id).version == 5
    assert "ohn.Doe" not in repr(letter_of(rejected, SETTINGS, "run-1", NOW).row(1))


@pytest.mark.parametrize("value", [{1: "x", "a": "y", None: 0}, HUGE], ids=["keys", "huge"])
def test_any_value_of_a_map_gives_an_id(value: Any) -> None:
    """Keys of several types, which cannot be sorted, and a number that Python does not write."""
    record = order(event_id=..., other=value)
    assert conversion(record).event_id == conversion(record).event_id
