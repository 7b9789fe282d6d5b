"""The sinks: the columns that they need, what they count, and the SDK's METRIC line."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from singer_sdk.exceptions import MissingKeyPropertiesError

from target_liveintent.conversions.model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping import Stream
from target_liveintent.mapping.converter import DELETION_COLUMNS, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.counts import RunCounts
from target_liveintent.sinks import DeadLetterSink, LiveIntentSink, SkippedSink
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up", "pixel_id": 1, "default_source": "web"}
COLUMNS = ("id", "event_time", "email")
SCHEMA: dict[str, Any] = {"properties": {name: {} for name in COLUMNS}}
ORDERS = Stream("orders", SCHEMA, ("id",))
PLAN = StreamPlan("orders", True, COLUMNS, True, frozenset({"event_time"}), transform=dict)
DROPPED = StreamPlan("orders", named=True)


def started(folder: Path, **settings: Any) -> TargetLiveIntent:
    path = str(folder / "letters.singer")
    return TargetLiveIntent(
        config={**ACCOUNT, "dry_run": True, "dead_letter_path": path, **settings}
    )


def made(
    target: TargetLiveIntent,
    kind: type[Any] = LiveIntentSink,
    stream: Stream = ORDERS,
    plan: StreamPlan = PLAN,
) -> Any:
    given = () if kind is SkippedSink else (Suppressions(None),)
    return kind(target, stream, plan, target.run, target.settings, *given)


def test_one_metric_line_however_long_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's counter logs by itself after a minute; no line with 0 follows."""
    caplog.set_level(logging.INFO)
    target = started(tmp_path)
    for count in (5, 3):  # The second sink is made for a SCHEMA that has changed.
        sink = made(target, SkippedSink, plan=DROPPED)
        sink.record_counter_metric.last_log_time -= 3_600
        for number in range(count):
            sink.process_record({"id": number})
        sink.clean_up()
    lines = [message.replace(" ", "") for message in caplog.messages if "METRIC" in message]
    assert ['"value":5' in lines[0], '"value":3' in lines[1]] == [True, True]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("plan", "keys", "columns"),
    [
        (PLAN, ("id",), {"id", "event_time", *DELETION_COLUMNS}),
        (PLAN, (), None),
        (PLAN._replace(passes_others=False), (), {"event_time", *DELETION_COLUMNS}),
        (PLAN._replace(reads=None), ("id",), None),
    ],
    ids=["keys", "no-keys", "no-keys-mapped", "unknown"],
)
def test_columns(
    tmp_path: Path, plan: StreamPlan, keys: tuple[str, ...], columns: set[str] | None
) -> None:
    """A sink needs what its map reads, the keys, and what marks deleted rows; or all of it."""
    target, stream = started(tmp_path), ORDERS._replace(keys=keys)
    assert made(target, stream=stream, plan=plan).columns == columns
    assert made(target, SkippedSink, stream, plan).columns == frozenset()
    assert made(target, DeadLetterSink, stream, plan).columns is None
    checked = started(tmp_path, validate_records=True)
    assert made(checked, stream=stream, plan=plan).columns is None


@pytest.mark.parametrize(
    ("plan", "counted"),
    [
        (DROPPED, "filtered"),
        (StreamPlan("orders", named=False), "unmapped"),
        (PLAN._replace(named=False), "unmapped"),
        (PLAN, "unmapped"),
    ],
    ids=["dropped-by-name", "dropped", "unnamed", "test-stream"],
)
def test_skipped_records_are_counted(tmp_path: Path, plan: StreamPlan, counted: str) -> None:
    """A stream that the user drops is filtered; any other that gives no events is unmapped."""
    target = started(tmp_path)
    made(target, SkippedSink, plan=plan).process_record({"id": 1})
    counts = target.run.counts.of("orders")
    assert (counts.read, getattr(counts, counted)) == (1, 1)
    assert counts.unsettled == 0


def test_missing_keys_fail_in_the_way_of_the_sdk(tmp_path: Path) -> None:
    """With `on_rejection` set to `fail`, a record without its keys raises the SDK's exception."""
    record = {"event_time": 1, "email": "ann@example.com"}
    sink = made(started(tmp_path, on_rejection="fail"))
    with pytest.raises(MissingKeyPropertiesError, match="at least one of the key properties"):
        sink.process_record(record)
    target = started(tmp_path)
    made(target).process_record(record)
    assert target.run.counts.of("orders").rejected == {"missing_key": 1}


def test_validation(tmp_path: Path) -> None:
    """Only with `validate_records`, a record that breaks the tap's schema is rejected as such."""
    schema = {"properties": {**SCHEMA["properties"], "id": {"type": "integer"}}}
    for validate, reason in ((True, "schema_violation"), (False, "missing_event_time")):
        target = started(tmp_path, validate_records=validate)
        made(target, stream=ORDERS._replace(schema=schema)).process_record({"id": "one"})
        assert target.run.counts.of("orders").rejected == {reason: 1}


def test_the_stream_of_a_dead_letter(tmp_path: Path) -> None:
    """A dead letter is counted under the stream of dead letters, and is not mapped again."""
    target = started(tmp_path)
    stream = Stream(DEAD_LETTERS, SCHEMA, ())
    sink = made(target, DeadLetterSink, stream, PLAN._replace(stream=DEAD_LETTERS))
    sink.process_record({"stream": "orders", "reason": "invalid_value", "event_id": "1"})
    counts = target.run.counts.of(DEAD_LETTERS)
    assert counts.read == 1
    assert counts.not_replayed + counts.rejected
    assert "orders" not in target.run.counts.streams


def replayed(tmp_path: Path, settings: dict[str, Any] | None = None, **letter: Any) -> mock.Mock:
    """Return what a run receives when a dead letter is piped back."""
    target = started(tmp_path, **(settings or {}))
    run = mock.Mock(counts=RunCounts(), limit_reached=False)
    columns = ("event_time", "email", "consent", "stream", "reason", "event_id")
    stream = Stream(DEAD_LETTERS, {"properties": {name: {} for name in columns}}, ())
    plan = StreamPlan(DEAD_LETTERS, True, columns, True, None, transform=dict)
    sink = DeadLetterSink(target, stream, plan, run, target.settings, Suppressions(None))
    sink.process_record({"stream": "orders", "event_id": "1", **letter})
    return run


def received(run: mock.Mock, kind: type[Any]) -> list[Any]:
    return [value for call in run.mock_calls for value in call.args if isinstance(value, kind)]


def test_a_dead_letter_that_is_rejected_again(tmp_path: Path) -> None:
    """Its new dead letter names the stream that the record came from."""
    run = replayed(tmp_path, reason="invalid_event_time", event_time="?", email="ann@example.com")
    (rejection,) = received(run, Rejection)
    assert (rejection.stream, rejection.reason) == ("orders", "invalid_event_time")
    assert not run.carry_over.called


def test_a_dead_letter_that_must_not_be_replayed(tmp_path: Path) -> None:
    """It is carried over, unless the person must not be sent any more: then it is dropped."""
    letter = {"reason": "unconfirmed", "event_time": int(time.time()) - 60}
    run = replayed(tmp_path, **letter, email="ann@example.com")
    assert run.carry_over.called
    assert received(run, (Conversion, Rejection)) == []
    run = replayed(tmp_path, **letter, email="ann@example.com", consent=False)
    (rejection,) = received(run, Rejection)
    assert rejection.reason == "no_consent"
    assert not run.carry_over.called


OTHER = {"customer_id": "b-9z9z", "api_host": "conversions.liveintent.com", "pixel_id": 1}
GOOD = {"reason": "refused_by_api", "event_time": int(time.time()) - 60, "email": "ann@example.com"}


def test_a_dead_letter_of_another_account(tmp_path: Path) -> None:
    """It is carried over as what it is, unless `replay_other_accounts` is set."""
    run = replayed(tmp_path, **GOOD, written_for=OTHER)
    ((_, record, reason),) = [call.args for call in run.carry_over.mock_calls]
    assert (record["written_for"], reason) == (OTHER, "other_account")
    assert received(run, (Conversion, Rejection)) == []
    run = replayed(tmp_path, {"replay_other_accounts": True}, **GOOD, written_for=OTHER)
    assert not run.carry_over.called
    assert len(received(run, Conversion)) == 1


def test_who_is_not_to_be_sent_is_not_kept_for_another_account(tmp_path: Path) -> None:
    """Consent and the suppression list are obeyed before a dead letter is kept."""
    run = replayed(tmp_path, **GOOD, written_for=OTHER, consent="no")
    assert not run.carry_over.called
    assert [one.reason for one in received(run, Rejection)] == ["no_consent"]


@pytest.mark.parametrize(
    "reason", ["event_too_old", "refused_by_api", "unconfirmed", "api_error", "invalid_source"]
)
def test_a_dead_letter_whose_window_has_closed(tmp_path: Path, reason: str) -> None:
    """It is dropped, whatever its reason is, and not kept."""
    letter = {**GOOD, "reason": reason, "event_time": int(time.time()) - 31 * 86_400}
    if reason == "invalid_source":
        letter["source"] = "till"
    run = replayed(tmp_path, **letter)
    assert not run.carry_over.called
    assert [one.reason for one in received(run, Rejection)] == ["expired"]


def test_a_whole_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SCHEMA, RECORD and STATE go from the input to the sinks and the run."""
    caplog.set_level(logging.INFO)
    target = started(tmp_path, stream_maps={"orders": {"ip": "1 / zero"}})
    schema = {"properties": {name: {} for name in (*COLUMNS, "zero")}}
    messages = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": ["id"]},
        *({"type": "RECORD", "stream": "orders", "record": {"id": n, "zero": 0}} for n in (1, 2)),
    ]
    target.listen(io.StringIO("\n".join(json.dumps(message) for message in messages)))
    assert target.run.counts.of("orders").rejected == {"mapping_failed": 2}
    warned = [message for message in caplog.messages if "becomes a dead letter" in message]
    assert len(warned) == 1


def test_a_run_without_a_stream_that_gives_events(tmp_path: Path) -> None:
    """It fails at its end if records came, because then the maps are for other streams."""
    messages = [
        {"type": "SCHEMA", "stream": "people", "schema": {"properties": {"id": {}}}},
        {"type": "RECORD", "stream": "people", "record": {"id": 1}},
    ]
    schema, record = map(json.dumps, messages)
    maps = {"orders": {"event_time": "event_time"}}
    started(tmp_path, stream_maps=maps).listen(io.StringIO(schema))
    with pytest.raises(StreamMappingError, match=r"no stream in the input \(people\)"):
        started(tmp_path, stream_maps=maps).listen(io.StringIO(f"{schema}\n{record}"))
