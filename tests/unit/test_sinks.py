"""The sinks: the columns that they need, what they count, and the SDK's METRIC line."""

from __future__ import annotations

import io
import json
import logging
import time
from pathlib import Path
from typing import Any
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
    [(DROPPED, "filtered"), (DROPPED._replace(named=False), "unmapped"), (PLAN, "unmapped")],
    ids=["dropped-by-name", "dropped", "test-stream"],
)
def test_skipped_records_are_counted(tmp_path: Path, plan: StreamPlan, counted: str) -> None:
    """A stream that the user drops is filtered; any other that gives no events is unmapped."""
    target = started(tmp_path)
    made(target, SkippedSink, plan=plan).process_record({"id": 1})
    counts = target.run.counts.of("orders")
    assert (counts.read, getattr(counts, counted), counts.unsettled) == (1, 1, 0)


def test_missing_keys_fail_in_the_way_of_the_sdk(tmp_path: Path) -> None:
    """With `on_rejection` set to `fail`, a record without its keys raises the SDK's exception."""
    record = {"event_time": 1, "email": "ann@example.com"}
    with pytest.raises(MissingKeyPropertiesError, match="at least one of the key properties"):
        made(started(tmp_path, on_rejection="fail")).process_record(record)
    target = started(tmp_path)
    made(target).process_record(record)
    assert target.run.counts.of("orders").rejected == {"missing_key": 1}


@pytest.mark.parametrize(
    ("validate", "reason"), [(True, "schema_violation"), (False, "missing_event_time")]
)
def test_validation(tmp_path: Path, validate: bool, reason: str) -> None:
    """Only with `validate_records`, a record that breaks the tap's schema is rejected as such."""
    schema = {"properties": {**SCHEMA["properties"], "id": {"type": "integer"}}}
    target = started(tmp_path, validate_records=validate)
    made(target, stream=ORDERS._replace(schema=schema)).process_record({"id": "one"})
    assert target.run.counts.of("orders").rejected == {reason: 1}


GOOD = {"reason": "refused_by_api", "event_time": int(time.time()) - 60, "email": "ann@example.com"}
UNCONFIRMED = {**GOOD, "reason": "unconfirmed"}
TOO_OLD = {**GOOD, "event_time": int(time.time()) - 31 * 86_400}
OTHER = {"customer_id": "b-9z9z", "api_host": "conversions.liveintent.com", "pixel_id": 1}
OF_OTHERS = {**GOOD, "written_for": OTHER}


def outcome_of(folder: Path, letter: dict[str, Any], **settings: Any) -> str:
    """Return what becomes of a dead letter of the stream `orders`: why, if it is not sent."""
    target = started(folder, **settings)
    run = mock.Mock(counts=RunCounts(), limit_reached=False)
    columns = ("event_time", "email", "consent", "stream", "reason", "event_id")
    stream = Stream(DEAD_LETTERS, {"properties": {name: {} for name in columns}}, ())
    plan = StreamPlan(DEAD_LETTERS, True, columns, True, None, transform=dict)
    sink = DeadLetterSink(target, stream, plan, run, target.settings, Suppressions(None))
    record = {"stream": "orders", "event_id": "1", **letter}
    sink.process_record(record)
    # It is counted under the stream of dead letters.
    assert (run.counts.of(DEAD_LETTERS).read, [*run.counts.streams]) == (1, [DEAD_LETTERS])
    given = [value for call in run.mock_calls for value in call.args]
    results = [one for one in given if isinstance(one, (Conversion, Rejection))]
    if run.carry_over.called:
        ((_, kept, reason),) = [call.args for call in run.carry_over.mock_calls]
        assert (kept, results) == (record, [])
        return f"carried over: {reason}"
    (result,) = results
    assert result.stream == "orders"
    return result.reason if isinstance(result, Rejection) else "sent"


@pytest.mark.parametrize(
    ("letter", "outcome"),
    [
        (GOOD, "sent"),
        ({**GOOD, "reason": "invalid_event_time", "event_time": "?"}, "invalid_event_time"),
        (UNCONFIRMED, "carried over: unconfirmed"),
        (OF_OTHERS, "carried over: other_account"),
        # Consent is obeyed before a dead letter is kept.
        ({**UNCONFIRMED, "consent": False}, "no_consent"),
        ({**OF_OTHERS, "consent": "no"}, "no_consent"),
        # A letter whose window has closed is dropped, whatever its reason is.
        *(({**TOO_OLD, "reason": reason}, "expired") for reason in ("event_too_old", "api_error")),
        *(({**TOO_OLD, "reason": one}, "expired") for one in ("refused_by_api", "unconfirmed")),
        ({**TOO_OLD, "reason": "invalid_source", "source": "till"}, "expired"),
    ],
)
def test_what_becomes_of_a_dead_letter(
    tmp_path: Path, letter: dict[str, Any], outcome: str
) -> None:
    """It is sent, carried over as what it is, or rejected for the stream that it came from."""
    assert outcome_of(tmp_path, letter) == outcome


def test_the_setting_replay_other_accounts(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, OF_OTHERS, replay_other_accounts=True) == "sent"


def messages(stream: str, columns: tuple[str, ...], *records: dict[str, Any]) -> str:
    schema = {"properties": {name: {} for name in columns}}
    given: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": stream, "schema": schema}]
    given += [{"type": "RECORD", "stream": stream, "record": record} for record in records]
    return "\n".join(map(json.dumps, given))


def test_a_whole_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Messages go from the input to the sinks and the run, which warns once of each problem."""
    caplog.set_level(logging.INFO)
    target = started(tmp_path, stream_maps={"orders": {"ip": "1 / zero"}})
    records = [{"id": number, "zero": 0} for number in (1, 2)]
    target.listen(io.StringIO(messages("orders", (*COLUMNS, "zero"), *records)))
    assert target.run.counts.of("orders").rejected == {"mapping_failed": 2}
    assert len([one for one in caplog.messages if "becomes a dead letter" in one]) == 1


def test_a_run_without_a_stream_that_gives_events(tmp_path: Path) -> None:
    """It fails at its end if records came, because then the maps are for other streams."""
    maps = {"orders": {"event_time": "event_time"}}
    started(tmp_path, stream_maps=maps).listen(io.StringIO(messages("people", ("id",))))
    with pytest.raises(StreamMappingError, match=r"no stream in the input \(people\)"):
        started(tmp_path, stream_maps=maps).listen(
            io.StringIO(messages("people", ("id",), {"id": 1}))
        )
