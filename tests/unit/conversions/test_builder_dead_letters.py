"""Dead letters of events and rejections, and the events that a replay builds from them."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from unit_support import (
    BARE,
    CLICK_URL,
    DEFAULTS,
    FULL,
    MD5,
    SETTINGS,
    SHA2,
    build,
    conversion,
    letter,
    order,
    rejection,
    replayed,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.privacy.redaction import redact_columns
from target_liveintent.singer.reader import decode_message, decode_object
from target_liveintent.storage.dead_letters import dead_letter_line


def test_dead_letters_have_the_columns_as_mapped() -> None:
    """A dead letter has the columns as they came, with hashes in place of the address."""
    record = letter(conversion({**FULL, "value": "$87.10"}))
    wanted = {**FULL, "value": "$87.10", "order_id": 1007, "md5": MD5, "sha2": SHA2}
    del wanted["email"]
    assert {name: record[name] for name in wanted} == wanted
    others = {"reason", "field", "stream", "time", "run_id", "window_end", "detail", "written_for"}
    assert set(record) - {*wanted} <= others


def test_dead_letters_contain_no_settings() -> None:
    """A corrected pixel ID must take effect on replay: it is not among the columns."""
    made = conversion(order())
    assert {"pixel_id", "source"}.isdisjoint(made.columns)
    rejected = rejection(order(event_time=None))
    assert {"pixel_id", "source", "email"}.isdisjoint(rejected.columns)


@pytest.mark.parametrize("column", [field.name for field in FIELDS])
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
def test_dead_letters_contain_no_address(column: str, value: Any) -> None:
    """A SHA-256 replaces an address in any column and at any depth."""
    written = redact_columns(build({**FULL, column: value}).columns)
    assert "nn@example" not in repr(written).lower()
    assert "nn%40example" not in repr(written).lower()


def test_dead_letters_contain_the_sha256_of_other_addresses() -> None:
    """Support can compare a dead letter with other systems by the hash."""
    made = conversion(order(order_id="for Ann@Example.com"))
    assert letter(made)["order_id"] == f"for {sha256('ann@example.com')}"


def test_a_replay_gives_the_same_event() -> None:
    """The dead letter of an event that was refused gives that event again, byte for byte."""
    for record in (FULL, order(), order(event_id=...), order(email=None, source_url=CLICK_URL)):
        made = conversion(record)
        again = replayed(made)
        assert isinstance(again, Conversion)
        assert again.body == made.body


def test_a_replay_takes_corrected_settings() -> None:
    """A record that was rejected because of a setting is sent once the setting is right."""
    rejected = rejection(order(), defaults=BARE)
    again = replayed(rejected, pixel_id=99, source="offline")
    assert isinstance(again, Conversion)
    assert (again.event_id, b'"pixelId":99' in again.body) == ("1007", True)


@pytest.mark.parametrize("decision_id", ["ann@example.com", "for ann@example.com"])
def test_a_replay_does_not_make_an_identity_of_an_address(decision_id: str) -> None:
    """An address in `decision_id` is not a decision ID, and neither is its hash."""
    rejected = rejection(order(email=None, decision_id=decision_id))
    again = replayed(rejected)
    assert isinstance(again, Rejection)
    assert again.reason == "no_identity"


@pytest.mark.parametrize("column", ["order_id", "user_agent", "source_url", "app_bundle"])
def test_a_replay_does_not_send_what_was_left_out(column: str) -> None:
    """A column that was left out for the address in it stays out on replay."""
    made = conversion(order(**{column: "ann@example.com"}))
    again = replayed(made)
    assert isinstance(again, Conversion)
    assert again.body == made.body


def test_a_failed_mapping_shows_keys_only() -> None:
    """The dead letter of a record that the map cannot read has its keys only, without addresses."""
    raw = {"id": 7, "who": "Ann@Example.com", "secret": "hush"}
    builder = EventBuilder("orders", ["event_time"], ["id", "who"], DEFAULTS)
    rejected = builder.reject_unmapped("value", raw, "KeyError")
    assert (rejected.reason, rejected.field, rejected.columns) == ("mapping_failed", "value", {})
    record = letter(rejected)
    assert record["keys"] == {"id": 7, "who": sha256("ann@example.com")}
    assert record["detail"] == "KeyError"
    wanted = {
        "event_id",
        "reason",
        "field",
        "stream",
        "time",
        "run_id",
        "keys",
        "detail",
        "written_for",
    }
    assert set(record) == wanted
    assert b"hush" not in dead_letter_line(rejected, SETTINGS, "run-1")


def test_a_schema_violation_keeps_id_and_columns() -> None:
    """A record that breaks the tap's schema can be replayed."""
    rejected = rejection(FULL, violation="value breaks the rule 'type'")
    assert (rejected.reason, rejected.event_id) == ("schema_violation", "1007")
    assert (rejected.field, rejected.detail) == (None, "value breaks the rule 'type'")
    assert letter(rejected)["detail"] == "value breaks the rule 'type'"
    again = replayed(rejected)
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
def test_any_value_fits_a_dead_letter(value: Any) -> None:
    """The dead letter of any value is a line of JSON that can be read back."""
    line = dead_letter_line(
        rejection(order(event_time=["x"], order_id=value, ip=value)), SETTINGS, "run-1"
    )
    assert line.count(b"\n") == 1
    assert decode_object(decode_message(line).record)["event_id"] == "1007"


@pytest.mark.parametrize("depth", [10, 200, 600, 900])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_deep_values_fit_a_dead_letter(depth: int, kind: str) -> None:
    """Every depth that the reader accepts fits, so that no record ends the run."""
    opening, closing = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    line = b'{"a":' + opening * depth + b"1" + closing * depth + b"}"
    deep = decode_object(line)["a"]
    assert dead_letter_line(
        rejection(order(event_id=..., event_time=deep)), SETTINGS, "run-1"
    ).endswith(b"\n")


def test_what_a_dead_letter_lacks_is_not_counted() -> None:
    """The SCHEMA of dead letters has all columns, so an absent one is not the map's mistake."""
    left_out: dict[str, int] = {}
    columns = [field.name for field in FIELDS]
    conversion(order(), stream=DEAD_LETTERS, properties=columns, left_out=left_out)
    assert left_out == {}
    build(order(email=None), stream=DEAD_LETTERS, properties=columns, left_out=left_out)
    assert left_out == {}
