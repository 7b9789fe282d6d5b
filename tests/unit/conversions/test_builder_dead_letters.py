"""Dead letters of events and rejections, and the events that a replay builds from them."""

from typing import Any

import pytest
from unit_support import (
    BARE,
    CLICK_URL,
    DEFAULTS,
    FULL,
    MD5,
    NOW,
    SETTINGS,
    SHA2,
    conversion,
    counted,
    letter,
    order,
    rejection,
    replayed,
    sent_again,
    sha256,
)

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS, Rejection
from target_liveintent.store import letter_of

ADDED = {"reason", "field", "stream", "time", "run_id", "detail", "written_for"}
"""What a dead letter has beside the columns of its record."""


def test_dead_letters_have_the_columns_as_mapped() -> None:
    """A dead letter has the columns as they came, with hashes in place of the address."""
    record = letter(conversion({**FULL, "value": "$87.10"}))
    wanted = {**FULL, "value": "$87.10", "order_id": 1007, "md5": MD5, "sha2": SHA2}
    del wanted["email"]
    assert {name: record[name] for name in wanted} == wanted
    assert set(record) - {*wanted} <= {*ADDED, "window_end"}


def test_dead_letters_contain_no_settings() -> None:
    """A corrected pixel ID must take effect on replay: it is not among the columns."""
    for columns in (conversion(order()).columns, rejection(order(event_time=None)).columns):
        assert {"pixel_id", "source", "email"}.isdisjoint(columns)


def test_dead_letters_contain_the_sha256_of_other_addresses() -> None:
    """Support can compare a dead letter with other systems by the hash."""
    made = conversion(order(order_id="for Ann@Example.com"))
    assert letter(made)["order_id"] == f"for {sha256('ann@example.com')}"


@pytest.mark.parametrize(
    "record",
    [
        FULL,
        order(),
        order(event_id=...),
        order(email=None, source_url=CLICK_URL),
        *(order(**{name: "ann@example.com"}) for name in ("order_id", "user_agent", "app_bundle")),
        order(source_url="https://shop.example/for/ann@example.com"),
    ],
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
    builder = EventBuilder("orders", ["event_time"], ["id", "who"], DEFAULTS)
    rejected = builder.reject_unmapped("value", raw, "KeyError")
    assert (rejected.reason, rejected.field, rejected.columns) == ("mapping_failed", "value", {})
    record = letter(rejected)
    assert record["keys"] == {"id": 7, "who": sha256("ann@example.com")}
    assert record["detail"] == "KeyError"
    assert set(record) == {*ADDED, "event_id", "keys"}
    assert "hush" not in repr(letter_of(rejected, SETTINGS, "run-1", NOW).row(1, NOW))


def test_a_failed_mapping_has_the_event_id_of_the_map() -> None:
    """Without one, it has the ID that is derived from the keys."""
    builder = EventBuilder("orders", ["event_id", "event_time"], ["id"], DEFAULTS)
    given = builder.reject_unmapped("value", {"id": 7}, "KeyError", event_id="order-7")
    derived = builder.reject_unmapped("value", {"id": 7}, "KeyError")
    assert (given.event_id, given.keys) == ("order-7", {"id": 7})
    assert (
        derived.event_id
        == rejection(order(event_id=...), raw={"id": 7}, keys=["id"], violation="x").event_id
    )


def test_a_schema_violation_keeps_id_and_columns() -> None:
    """A record that breaks the tap's schema can be replayed."""
    rule = "value breaks the rule 'type'"
    rejected = rejection(FULL, violation=rule)
    found = (rejected.reason, rejected.event_id, rejected.field, rejected.detail)
    assert found == ("schema_violation", "1007", None, rule)
    assert letter(rejected)["detail"] == rule
    assert sent_again(rejected) == conversion(FULL).body


def test_what_a_dead_letter_lacks_is_not_counted() -> None:
    """The SCHEMA of dead letters has all columns, so an absent one is not the map's mistake."""
    columns = [field.name for field in FIELDS]
    for record in (order(), order(email=None)):
        assert counted(record, stream=DEAD_LETTERS, properties=columns)[1] == {}


def test_columns_that_were_left_out_are_named_once() -> None:
    """A replay leaves out what was left out for its address."""
    made = conversion(order(order_id="ann@example.com", user_agent="curl ann@example.com"))
    assert sorted(made.columns["scrubbed"]) == ["order_id", "user_agent"]
    assert sorted(letter(made)["scrubbed"]) == ["order_id", "user_agent"]
