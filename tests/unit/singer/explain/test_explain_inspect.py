"""What `--explain` notes about the records of a stream."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from unit_support import ADDRESS, DAY, DEFAULTS, TIME

from target_liveintent.config import settings_of
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.errors import StreamMappingError
from target_liveintent.explain.description import describe
from target_liveintent.explain.explained import Explained
from target_liveintent.mapping import Stream
from target_liveintent.mapping.converter import MappingFailedError, RecordConverter, StreamPlan
from target_liveintent.singer.explain.inspect import Inspector
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.singer.validation import RecordValidator

COLUMNS = ("event_time", "email", "value")
STREAM = Stream("orders", {"properties": {"id": {"type": "integer"}}}, ("id",))
RECORD = {"id": 1, "event_time": TIME, "email": ADDRESS, "value": ""}


def read(inspector: Inspector, *messages: dict[str, Any]) -> list[str]:
    """Let an inspector read messages; return what it says of the reading."""
    return list(inspector.read(io.StringIO("\n".join(map(json.dumps, messages)))))


def mapped(record: dict[str, Any]) -> dict[str, Any] | None:
    if record["id"] == "failing":
        column, kind = "value", "TypeError"
        raise MappingFailedError(column, kind)
    if record["id"] == "misspelled":
        msg = "a mistake in the map"
        raise StreamMappingError(msg)
    return None if record["id"] == "filtered" else record


@pytest.fixture
def explained() -> Explained:
    plan = StreamPlan("orders", True, COLUMNS, transform=mapped)
    made = Explained(STREAM, plan)
    builder = EventBuilder("orders", COLUMNS, ("id",), DEFAULTS, None)
    made.converter = RecordConverter(plan, builder, made.noted.left_out, lambda: TIME + 60)
    return made


def test_outcomes(explained: Explained) -> None:
    """Each record is counted by what a run would do with it; the first rejections are kept."""
    for changes in (
        *({}, {"id": 2}, {"id": "filtered"}, {"id": "failing"}),
        *({"id": 3, "event_time": "?"}, {"id": 4, "event_time": "!"}),
    ):
        explained.add({**RECORD, **changes})
    assert explained.noted.outcomes == {
        "sent": 2,
        "filtered": 1,
        "mapping_failed": 1,
        "invalid_event_time": 2,
    }
    mapping_failed, first, second = explained.noted.rejections
    assert (mapping_failed.reason, mapping_failed.keys) == ("mapping_failed", {"id": "failing"})
    assert [first.columns["event_time"], second.columns["event_time"]] == ["?", "!"]
    assert explained.noted.filled == {"id", "event_time", "email"}
    assert explained.noted.left_out == {"value empty": 2}


def test_events(explained: Explained) -> None:
    """Each event is kept as it would be sent, and described with shortened hashes."""
    for number in range(5):
        explained.add({**RECORD, "id": number})
    assert len(explained.noted.events) == 5
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    records = describe(explained, settings, {}).records
    assert records is not None
    examples = [bytes(example).decode() for example in records.examples]
    assert len(examples) == 3
    assert '"md5":"29a1df…"' in examples[0]
    assert "06a240d11cc2" not in examples[0]


def test_a_mistake_ends_the_stream(explained: Explained) -> None:
    """After an error that would end a run, no further record counts."""
    for changes in ({}, {"id": "misspelled"}, {}):
        explained.add({**RECORD, **changes})
    assert explained.noted.mistake == "a mistake in the map"
    assert explained.noted.outcomes == {"sent": 1}


def test_validation(explained: Explained) -> None:
    """Where a run would validate records, so does this."""
    explained.validator = RecordValidator(STREAM.schema)
    explained.add({**RECORD, "id": "one"})
    assert explained.noted.outcomes == {"schema_violation": 1}


def test_a_stream_without_events() -> None:
    """Its records are not counted."""
    explained = Explained(STREAM, StreamPlan("orders", named=False))
    explained.add(RECORD)
    assert not explained.noted.outcomes


def test_a_stream_that_a_map_drops() -> None:
    """A stream whose records are dropped lacks nothing, because it is not to give events."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    inspector = Inspector(settings, StreamMaps({"orders": None}, {}))
    message = {"type": "SCHEMA", "stream": "orders", "schema": {"properties": {"id": {}}}}
    assert list(inspector.read(io.StringIO(json.dumps(message)))) == []
    (explained,) = inspector.streams["orders"]
    assert (explained.missing, explained.converter) == ([], None)


def test_a_catalog_with_a_line_like_a_message() -> None:
    """Each line of a catalog belongs to it, also one that could be a Singer message."""
    catalog = """{"streams": [{
        "tap_stream_id": "orders",
        "schema": {"properties": {"id": {"anyOf": [
            {"type": "integer"},
            {"type": "null"}
        ]}}}
    }]}"""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    inspector = Inspector(settings, StreamMaps({}, {}))
    (said,) = inspector.read(io.StringIO(catalog))
    assert said.startswith("The input is a catalog")
    (explained,) = inspector.streams["orders"]
    assert explained.stream.schema["properties"]["id"]["anyOf"] == [
        {"type": "integer"},
        {"type": "null"},
    ]


@pytest.mark.parametrize(
    ("validate", "reason"), [(True, "schema_violation"), (False, "missing_event_time")]
)
def test_validation_is_a_setting(validate: bool, reason: str) -> None:
    """Records are validated only where a run would do it."""
    account = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
    settings = settings_of({**account, "default_source": "web", "validate_records": validate})
    inspector = Inspector(settings, StreamMaps({}, {}))
    properties = {"id": {"type": "integer"}, "event_time": {}, "email": {}}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": {"properties": properties}},
        {"type": "RECORD", "stream": "orders", "record": {"id": "one"}},
    ]
    assert read(inspector, *messages) == []
    (explained,) = inspector.streams["orders"]
    assert explained.noted.outcomes == {reason: 1}


def test_the_search_for_the_newest_event_counts_nothing() -> None:
    """What is noted of the records is the same with and without `--expect`."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1})
    schema = {"properties": {name: {} for name in ("event_time", "email", "source", "value")}}
    record = {"event_time": TIME, "email": ADDRESS, "source": "web", "value": "?"}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema},
        {"type": "RECORD", "stream": "orders", "record": record},
    ]
    inspector = Inspector(settings, StreamMaps({}, {}), from_recording=True)
    assert read(inspector, *messages) == []
    (explained,) = inspector.plans
    assert (explained.noted.outcomes, explained.noted.left_out) == ({"sent": 1}, {"value": 1})


@pytest.mark.parametrize("ledger", [True, False])
def test_two_maps_that_make_the_same_event(ledger: bool) -> None:
    """The second is warned of, unless both are sent for want of a ledger."""
    account = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
    settings = settings_of({**account, "default_source": "web", "ledger": ledger})
    maps = StreamMaps({"orders": {}, "leads": {"__source__": "orders"}}, {})
    inspector = Inspector(settings, maps, from_recording=True)
    schema = {"properties": {name: {} for name in ("id", "event_time", "email")}}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": ["id"]},
        {"type": "RECORD", "stream": "orders", "record": RECORD},
        {"type": "RECORD", "stream": "orders", "record": {**RECORD, "id": 2}},
    ]
    read(inspector, *messages)
    orders, leads = (describe(one, settings, {}) for one in inspector.plans)
    assert orders.warnings == []
    assert [said.partition(": one")[0] for said in leads.warnings] == (
        ["for 2 records, there are two events with the same ID"] if ledger else []
    )


def test_the_limit_is_left_aside() -> None:
    """All records are looked at, and a line says so, unless there are none."""
    account = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
    settings = settings_of({**account, "default_source": "web", "limit": 1})
    schema = {"type": "SCHEMA", "stream": "orders", "schema": {"properties": {"email": {}}}}
    record = {"type": "RECORD", "stream": "orders", "record": {}}
    for messages, said in (
        ([schema, record, record], "--explain ignores the setting limit. A run would send"),
        ([schema], ""),
    ):
        inspector = Inspector(settings, StreamMaps({}, {}))
        notes = read(inspector, *messages)
        assert "".join(notes).startswith(said)
        assert len(notes) == bool(said)


def recorded(*records: dict[str, Any]) -> dict[str, int]:
    """Return what becomes of a recording.

    Each record has an `event_time`, and may have an `email` and a `time_extracted`.
    """
    account = {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
    settings = settings_of({**account, "default_source": "web"})
    inspector = Inspector(settings, StreamMaps({}, {}), from_recording=True)
    schema = {"properties": {"id": {}, "event_time": {}, "email": {}}}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": ["id"]}
    ]
    for number, record in enumerate(records):
        made = {"id": number, "email": ADDRESS, **record}
        extracted = {"time_extracted": made.pop("extracted")} if "extracted" in made else {}
        messages.append({"type": "RECORD", "stream": "orders", "record": made, **extracted})
    read(inspector, *messages)
    return dict(inspector.plans[0].noted.outcomes)


@pytest.mark.parametrize(
    ("records", "outcomes"),
    [
        ([{"event_time": 1_000_000}, {"event_time": 1_000_000 - 6 * DAY}], {"sent": 2}),
        (
            [{"event_time": 1_000_000}, {"event_time": 1_000_000 - 7 * DAY}],
            {"sent": 1, "event_too_old": 1},
        ),
        # Read on 1 August 2026; the second is planned for 31 December.
        (
            [
                {"event_time": "2026-08-01", "extracted": "2026-08-01T16:00:00Z"},
                {"event_time": "2026-12-31", "extracted": "2026-08-01T16:00:00Z"},
            ],
            {"sent": 1, "event_in_future": 1},
        ),
        (
            [{"event_time": "2026-12-31", "extracted": "2026-08-01T16:00:00+02:00"}],
            {"sent": 1},
        ),
        (
            [
                {"event_time": "2026-08-01T16:01:00Z", "extracted": "2026-08-01T16:00:00"},
                {"event_time": "2026-08-01T16:02:05Z", "extracted": "2026-08-01T16:00:00"},
            ],
            {"sent": 1, "event_in_future": 1},
        ),
        (
            [
                {"event_time": "2026-08-01", "extracted": "some day"},
                {"event_time": "2026-08-02", "extracted": None},
            ],
            {"sent": 2},
        ),
        ([{"event_time": "?"}], {"invalid_event_time": 1}),
        # A row that is rejected all the same, and years newer.
        (
            [
                {"event_time": 900_000_000, "email": None},
                {"event_time": 1_000_000},
                {"event_time": 1_000_000 - 6 * DAY},
            ],
            {"event_in_future": 1, "sent": 2},
        ),
        (
            [{"event_time": 1_000_000, "email": None}, {"event_time": 900_000, "email": "?"}],
            {"no_identity": 2},
        ),
    ],
)
def test_ages_of_a_recording(records: list[dict[str, Any]], outcomes: dict[str, int]) -> None:
    """The newest event that is sent is the clock, but for what was planned when the tap read it."""
    assert recorded(*records) == outcomes
