"""The sinks: the columns that they need, and what they count."""

import contextlib
import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.exceptions import MissingKeyPropertiesError
from unit_support import databases_closed

from target_liveintent.conversions import event_model
from target_liveintent.errors import InputError, StreamMappingError
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, Stream, StreamPlan
from target_liveintent.sinks import LiveIntentSink, SkippedSink, needed_columns
from target_liveintent.target import TargetLiveIntent

ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up", "pixel_id": 1, "default_source": "web"}
COLUMNS = ("id", "event_time", "email")
SCHEMA: dict[str, Any] = {"properties": {name: {} for name in COLUMNS}}
ORDERS = Stream("orders", SCHEMA, ("id",))
PLAN = StreamPlan("orders", True, True, COLUMNS, frozenset(), frozenset({"event_time"}))
DROPPED = StreamPlan("orders", named=True)


@pytest.fixture(autouse=True)
def _without_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with databases_closed(monkeypatch):
        yield


def started(**settings: Any) -> TargetLiveIntent:
    return TargetLiveIntent(config={**ACCOUNT, "dry_run": True, **settings})


def made(
    target: TargetLiveIntent, stream: Stream = ORDERS, plan: StreamPlan = PLAN
) -> LiveIntentSink:
    return LiveIntentSink(stream, plan, target.run, target._rules)  # noqa: SLF001


@pytest.mark.parametrize(
    ("plan", "keys", "columns"),
    [
        (PLAN, ("id",), {"id", "event_time", *DELETION_COLUMNS}),
        (PLAN, (), None),
        (
            PLAN._replace(dropped=None, consent_columns=("consent",)),
            (),
            {"event_time", "consent", *DELETION_COLUMNS},
        ),
        (PLAN._replace(reads=None), ("id",), None),
    ],
    ids=["keys", "no-keys", "no-keys-mapped", "unknown"],
)
def test_a_sink_needs_the_columns_of_its_map_and_its_keys(
    plan: StreamPlan, keys: tuple[str, ...], columns: set[str] | None
) -> None:
    """A sink needs what its map reads, the keys, and what marks deleted rows; or all of it."""
    target, stream = started(), ORDERS._replace(keys=keys)
    assert made(target, stream=stream, plan=plan).columns == columns
    assert SkippedSink(plan, target.run).columns == frozenset()
    checked = started(validate_records=True)
    assert made(checked, stream=stream, plan=plan).columns is None


@pytest.mark.parametrize(
    ("plan", "counted"),
    [(DROPPED, "filtered"), (DROPPED._replace(named=False), "unmapped"), (PLAN, "unmapped")],
    ids=["dropped-by-name", "dropped", "test-stream"],
)
def test_skipped_records_are_counted(plan: StreamPlan, counted: str) -> None:
    """A stream that the user drops is filtered; any other that gives no events is unmapped."""
    target = started()
    SkippedSink(plan, target.run).process_record({"id": 1})
    counts = target.run.counts.of("orders")
    assert (counts.read, getattr(counts, counted), counts.without_outcome) == (1, 1, 0)


def test_missing_keys_fail_in_the_way_of_the_sdk() -> None:
    """With `on_rejection` set to `fail`, a record without its keys raises the SDK's exception."""
    record = {"event_time": 10**9, "email": "ann@example.com"}
    with pytest.raises(MissingKeyPropertiesError, match="lacks a key"):
        made(started(on_rejection="fail")).process_record(record)
    target = started()
    made(target).process_record(record)
    assert target.run.counts.of("orders").rejected == {"missing_key": 1}


def test_the_columns_of_several_sinks() -> None:
    """A stream needs those of all its sinks, as in the SCHEMA, or all if a sink needs all."""
    first, second = (
        made(started(), plan=PLAN._replace(reads=frozenset(reads)))
        for reads in (("x",), ("event_time",))
    )
    needed = ["id", "event_time", *DELETION_COLUMNS, "x"]
    assert needed_columns([first, second], ORDERS) == needed
    all_columns = made(started(), plan=PLAN._replace(reads=None))
    assert needed_columns([first, all_columns], ORDERS) is None


def messages(stream: str, columns: tuple[str, ...], *records: dict[str, Any]) -> str:
    schema = {"properties": {name: {} for name in columns}}
    given: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": stream, "schema": schema}]
    given += [{"type": "RECORD", "stream": stream, "record": record} for record in records]
    return "\n".join(map(json.dumps, given))


def recent() -> dict[str, Any]:
    return {"id": 1, "event_time": int(time.time()) - 60, "email": "ann@example.com"}


def test_a_line_that_cannot_be_read() -> None:
    """It ends the run, which delivers what came before; a SCHEMA may have come again."""
    target = started()
    given = 2 * f"{messages('orders', COLUMNS, recent())}\n"
    with pytest.raises(InputError, match="line 5"):
        target.process(io.StringIO(f"{given}x"))
    assert target.run.counts.of("orders").delivered == 1


def test_an_expression_that_fails_for_many_records_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = started(stream_maps={"orders": {"ip": "1 / zero"}})
    records = [{"id": number, "zero": 0} for number in (1, 2)]
    target.listen(io.StringIO(messages("orders", (*COLUMNS, "zero"), *records)))
    assert target.run.counts.of("orders").rejected == {"mapping_failed": 2}
    said = "the expression for 'ip' in the map of 'orders' failed for a record"
    assert [said in line for line in caplog.messages].count(True) == 1


@pytest.mark.parametrize(
    "own",
    [{"event_id": "'lead-' + str(id)"}, {"__key_properties__": ["x"], "x": "id"}, {}],
    ids=["own", "own keys", "derived"],
)
def test_two_maps_of_one_stream(own: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Each gets each record; of two events with one derived ID, one is sent, with a WARNING."""
    plain = {"event_time": "event_time", "email": "email"}
    target = started(
        stream_maps={"orders": plain, "leads": {**plain, **own, "__source__": "orders"}}
    )
    target.listen(io.StringIO(messages("orders", COLUMNS, recent())))
    said = "the map 'leads' gives its events the same IDs as the map 'orders' of the same stream"
    assert any(line.startswith(said) for line in caplog.messages) == (not own)
    orders, leads = (target.run.counts.of(name) for name in ("orders", "leads"))
    assert (orders.read, orders.delivered, leads.read) == (1, 1, 1)
    assert (leads.delivered, leads.dropped) == ((1, {}) if own else (0, {"already_sent": 1}))


def test_an_alias_changes_the_counts_and_no_event_id() -> None:
    plain = {"event_time": "event_time", "email": "email"}
    counts = {}
    for alias in ({}, {"__alias__": "__stream_name__ + '_v2'"}):
        target = started(stream_maps={"orders": {**plain, **alias}})
        target.listen(io.StringIO(messages("orders", COLUMNS, recent())))
        counts |= {
            name: (one.delivered, one.dropped) for name, one in target.run.counts.streams.items()
        }
    assert counts == {"orders": (1, {}), "orders_v2": (1, {})}


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_customer_number_as_event_id(
    size: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each order that is lost counts once, however the orders are batched; equal rows do not."""
    monkeypatch.setattr(event_model, "_SHARED", range(10**9))  # Without chance.
    mapped = {"event_id": "customer", "value": "id", "event_time": "event_time", "email": "email"}
    target = started(stream_maps={"orders": mapped}, batch_size_rows=size)
    orders = [{**recent(), "id": n, "customer": n % 4} for n in range(20)]
    equal = [{**recent(), "id": 7, "customer": "same"}] * 20
    target.process(io.StringIO(messages("orders", (*COLUMNS, "customer"), *orders)))
    counts = target.run.counts.of("orders")
    assert (counts.delivered, counts.dropped, counts.conflicting_ids) == (
        4,
        {"already_sent": 16},
        16,
    )
    (said,) = [line for line in caplog.messages if "event ID of an earlier one" in line]
    assert said.startswith("orders: 16 of 20 events have")
    target = started(stream_maps={"orders": mapped}, batch_size_rows=size)
    target.process(io.StringIO(messages("orders", (*COLUMNS, "customer"), *equal)))
    counts = target.run.counts.of("orders")
    assert (counts.dropped, counts.conflicting_ids) == ({"already_sent": 19}, 0)


@pytest.mark.parametrize("limit", [None, 1])
def test_the_end_of_an_input(caplog: pytest.LogCaptureFixture, limit: int | None) -> None:
    """A map whose stream did not come is named if one is similar, unless the run stops before."""
    caplog.set_level(logging.INFO)
    target = started(stream_maps={"ordres": {"ip": "ip"}, "refunds": {}}, limit=limit)
    target.listen(io.StringIO(messages("orders", COLUMNS, recent())))
    said = "a stream map names 'ordres', but the input has no such stream; did you mean 'orders'?"
    absent = [one for one in caplog.messages if one.startswith(("a stream", "the input"))]
    assert absent == ([said] if limit is None else [])


@pytest.mark.parametrize("count", [0, 1])
def test_state_without_a_stream_that_gives_events(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """If records came, the maps are for other streams: the run fails, and no STATE passes them."""
    target = TargetLiveIntent(config={**ACCOUNT, "stream_maps": {"orders": {"ip": "ip"}}})
    given = messages("people", ("id",), *[{"id": 1}] * count)
    said = r"no stream in the input \(people\) is mapped to events.* only these streams: orders$"
    failing = pytest.raises(StreamMappingError, match=said)
    with failing if count else contextlib.nullcontext():
        target.process(io.StringIO(f'{given}\n{{"type": "STATE", "value": 1}}\n'))
    assert capsys.readouterr().out == ("" if count else "1\n")
