"""What each kind of message does, and what is logged about streams that cannot be sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from integration_support import WITH_ID, numbered, order, orders, read_store, schema, state

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

SHOP = ("id", "created_at", "customer_email", "total", "currency", "client_ip")
SHOP_MAP = {
    "event_time": "created_at",
    "email": "customer_email",
    "value": "total",
    "currency": "currency",
    "__else__": "__NULL__",
}


def shop_order(number: int, stream: str = "public-orders", **columns: Any) -> dict[str, Any]:
    """Return the RECORD of an order in the shape of a shop's table."""
    plain = order(number)["record"]
    record = {
        "id": number,
        "created_at": plain["event_time"],
        "customer_email": plain["email"],
        "total": 87.28,
        "currency": "usd",
        "client_ip": "203.0.113.7",
    }
    return {"type": "RECORD", "stream": stream, "record": record | columns}


# Streams that cannot produce any event


def test_never_an_event(target: Launcher, sandbox: Sandbox) -> None:
    """A stream that cannot produce any event ends the run at its SCHEMA and says what it lacks."""
    run = target.start(pixel_id=...).send(schema("orders", ("id", "total")))
    run.wait()  # standard input is still open
    assert (run.code, run.states, sandbox.stats.requests) == (1, [], 0)
    message = run.log[run.log.index("stream 'orders' cannot produce any event: it lacks ") :]
    lacks, _, rest = message.partition("has these columns: id, total")
    assert all(re.search(rf"\b{name}\b", lacks) for name in ("event_time", "email", "pixel_id"))
    assert "source," not in lacks
    assert "stream_maps:" in rest
    assert "Traceback" not in run.log


def test_only_a_setting_is_missing(target: Launcher) -> None:
    """Where settings would do, the message names them, and no map that would be in vain."""
    settings = {"pixel_id": ..., "default_source": ..., "stream_maps": {"public-orders": SHOP_MAP}}
    run = target.run(schema("public-orders", SHOP), shop_order(1), state(1), **settings)
    assert (run.code, run.states) == (1, [])
    assert run.last_line.startswith("stream 'public-orders' cannot produce any event: it lacks")
    assert run.last_line.endswith(
        "Set pixel_id (TARGET_LIVEINTENT_PIXEL_ID in the environment) and default_source"
        " (TARGET_LIVEINTENT_DEFAULT_SOURCE in the environment)."
    )
    assert "stream_maps" not in run.log


@pytest.mark.parametrize(
    ("stream", "columns", "key"),
    [
        ("shop.orders", SHOP, "id"),
        ("orders", ("Order ID", "createdAt", "Email"), "Order ID"),
    ],
    ids=["dotted", "spaced-key"],
)
def test_block_to_paste(
    target: Launcher, sandbox: Sandbox, stream: str, columns: tuple[str, ...], key: str
) -> None:
    """The block of the message, pasted as it is into the settings, sends the stream."""
    messages = [schema(stream, columns, [key]), shop_order(7, stream)]
    record = messages[1]["record"]
    filled = {key: 7, "createdAt": record["created_at"]} | dict.fromkeys(
        ("email", "Email"), record["customer_email"]
    )
    messages[1]["record"] = {name: ({**record, **filled})[name] for name in columns}
    failed = target.run(*messages)
    assert failed.code == 1
    block = failed.log[failed.log.index("stream_maps:") :]
    maps = yaml.safe_load(block)["stream_maps"]
    # Meltano reads a dot in a name only where a backslash stands before it.
    maps = {name.replace("\\.", "."): definition for name, definition in maps.items()}
    run = target.run(*messages, state(1), stream_maps=maps)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    (event,) = sandbox.events
    assert event["eventId"] == "7"
    assert event["userData"].keys() >= {"md5", "sha2"}


def test_a_misspelled_column(target: Launcher, sandbox: Sandbox) -> None:
    """A name that neither record nor SCHEMA has ends the run after what precedes it."""
    maps = {"public-orders": {**SHOP_MAP, "order_id": "id if total > 50 else legacyResourcId"}}
    columns = (*SHOP, "legacyResourceId")
    messages = [schema("public-orders", columns), shop_order(1), state(1), shop_order(2, total=9)]
    run = target.run(*messages, shop_order(3), state(2), stream_maps=maps)
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert run.letters == []
    assert run.last_line == (
        "the map of 'public-orders' has a mistake: 'order_id' reads 'legacyResourcId', which is"
        " not in the tap's SCHEMA; did you mean 'legacyResourceId'? To read a column that"
        " only some records have, use get('name')."
    )


# Streams that no map names


def test_a_misspelled_stream(target: Launcher, sandbox: Sandbox) -> None:
    """A map whose stream did not come is reported at the end, if one that came is similar."""
    maps = {"ordres": {"value": "value"}, "refunds": {"value": "value"}}
    run = target.run(schema(), order(1), state(1), stream_maps=maps)
    assert (run.code, sandbox.stats.accepted) == (0, 1)
    assert run.warnings == [
        "a stream map names 'ordres', but the input has no such stream; did you mean 'orders'?"
    ]
    assert target.run(schema(), *orders(3), stream_maps=maps, limit=1).warnings == []


def test_unmapped(target: Launcher, sandbox: Sandbox) -> None:
    """Streams that no map names are skipped with one warning each, and counted."""
    customers = [schema("customers", ("id", "email", "name"))] * 2
    changed = schema("customers", ("id", "email", "name", "phone"))
    people = [order(n, "customers", name="Jane") for n in range(3)]
    run = target.run(
        schema("public-orders", SHOP),
        *customers,
        people[0],
        shop_order(1),
        changed,
        *people[1:],
        state(1),
        stream_maps={"public-orders": SHOP_MAP},
    )
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 1)
    (warning,) = run.warnings
    assert "customers" in warning
    assert run.summary["customers"].unmapped == run.summary["total"].unmapped == 3
    assert run.summary["total"].delivered == 1


def test_source_copy(target: Launcher, sandbox: Sandbox) -> None:
    """The raw half of a `__source__` copy is counted as unmapped, and sends nothing."""
    maps = {"conversions": {"__source__": "public-orders", **SHOP_MAP}}
    run = target.run(
        schema("public-orders", SHOP), shop_order(1), shop_order(2), state(1), stream_maps=maps
    )
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 2)
    assert run.summary["conversions"].delivered == 2
    assert run.summary["total"].adds_up
    assert run.summary["total"].unmapped == 2


def test_nothing_else_leaves(to_server: Launcher, server: FaultyServer) -> None:
    """Columns that are none of an event's never leave the machine."""
    columns = (*WITH_ID, "note", "phone", "userData")
    extra = {"note": "call Jane", "phone": "+1-555-0100", "userData": {"name": "Jane"}}
    run = to_server.run(schema(columns=columns), *numbered(1, **extra))
    assert run.code == 0
    text = str(server.requests[0].events)
    assert not any(word in text for word in ("Jane", "555-0100", "note", "phone", "@", "buyer"))


@pytest.mark.parametrize(
    "settings",
    [
        {"pixel_id": ..., "default_source": ...},
        {"stream_maps": {"*": SHOP_MAP, "__else__": "__NULL__"}, "on_rejection": "fail"},
    ],
    ids=["bare", "star"],
)
def test_meltano_test(target: Launcher, sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Meltano's test of a loader's settings succeeds, sends nothing, and has no alarming word.

    It says what it has checked, and leaves no run in the history, and no report.
    """
    stream = "meltano_test_stream"
    typed = {"id": {"type": "integer"}, "name": {"type": "string"}, "value": {"type": "number"}}
    run = target.run(
        schema(stream, (), **typed),
        {"type": "RECORD", "stream": stream, "record": {"id": 1, "name": "Test", "value": 0.5}},
        {"type": "RECORD", "stream": stream, "record": {"id": 2, "name": "Test", "value": 1.5}},
        report_path="report.html",
        **settings,
    )
    assert (run.code, run.letters, sandbox.stats.requests) == (0, [], 0)
    assert run.last_line.startswith(
        "meltano config test: the settings are right, and the store can be opened. Nothing was"
    )
    assert read_store(target.store, "SELECT * FROM run") == []
    assert not (target.folder / "report.html").exists()
    assert target.ask("health").stdout == "there is no run in the history"
    assert not re.search("error|exception", run.log + run.stdout, re.IGNORECASE)


def test_a_byte_order_mark(target: Launcher, sandbox: Sandbox) -> None:
    """The first heading of a CSV may have one: the column is known, in a run and in `explain`."""
    columns = ("\ufeffid", "event_time", "email")
    messages = [schema(columns=columns), *orders(2)]
    for number, message in enumerate(messages[1:]):
        message["record"] = {"\ufeffid": number, **message["record"]}
        del message["record"]["id"]
    maps = {"orders": {"event_id": "'n' + str(id)"}}
    assert target.explain(*messages, stream_maps=maps).code == 0
    assert target.run(*messages, stream_maps=maps).code == 0
    assert [event["eventId"] for event in sandbox.events] == ["n0", "n1"]


# The order of messages


def test_before_schema(target: Launcher, sandbox: Sandbox) -> None:
    """A record before its SCHEMA ends the run; what was read before it is delivered."""
    run = target.run(schema(), order(1), state(1), order(2, "returns"), state(2))
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert "returns" in run.last_line
    assert "SCHEMA" in run.last_line
    assert "Traceback" not in run.log


def test_bad_line(target: Launcher, sandbox: Sandbox) -> None:
    """A malformed line ends the run with its number, and its content is never shown."""
    line = b'{"type": "RECORD", "stream": "orders", "record": {"email": "jane@example.com\xff"}}'
    run = target.run(schema(), order(1), state(1), line, state(2))
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert "line 4" in run.last_line
    assert "jane" not in run.log
    assert "Traceback" not in run.log
    assert len(run.last_line) < 300


def test_activate_version(target: Launcher, sandbox: Sandbox) -> None:
    """ACTIVATE_VERSION is ignored quietly, wherever it stands."""
    activate = [
        {"type": "ACTIVATE_VERSION", "stream": stream, "version": 1795559945402}
        for stream in ("orders", "customers")
    ]
    run = target.run(*activate, schema(), *activate, order(1), *activate, state(1))
    assert (run.code, run.states, run.warnings, sandbox.stats.accepted) == (0, [1], [], 1)


def test_loose_json(target: Launcher, sandbox: Sandbox) -> None:
    """NaN, blank lines, Windows line ends and lone surrogates, as some taps write, are read."""
    record = '{"type":"RECORD","stream":"orders","record":{"id":%d,"event_time":%d,"email":"%s"%s}}'
    now = order(1)["record"]["event_time"]
    run = target.run(
        schema(),
        "",
        record % (1, now, "a@example.com", ', "value": NaN') + "\r",
        "   ",
        record % (2, now, "b@example.com", ', "value": "\\ud800"'),
        record % (3, now, "c@example.com", ', "note": -Infinity, "time_extracted": 1e400'),
        state(1),
    )
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 3)
    assert all("value" not in e["purchaseData"] for e in sandbox.events)


# A schema that changes


def test_schema_change(to_server: Launcher, server: FaultyServer) -> None:
    """A real change of a SCHEMA in mid-stream keeps order, and its new columns are used."""
    before = schema(columns=("id", "event_id", "event_time", "email"))
    after = schema(columns=(*WITH_ID, "currency"))
    messages = numbered(9, currency="EUR")
    run = to_server.run(
        before,
        *messages[:3],
        state(3),
        after,
        *messages[3:6],
        state(6),
        before,
        *messages[6:],
        state(9),
        batch_size_rows=2,
        max_concurrent_requests=1,
    )
    assert (run.code, run.states[-1]) == (0, 9)
    assert server.accepted == [f"order-{n}" for n in range(9)]
    sent = [e["purchaseData"].get("currency") for p in server.requests for e in p.events]
    assert sent == [None] * 3 + ["EUR"] * 3 + [None] * 3


def test_schema_change_to_no_event(target: Launcher, sandbox: Sandbox) -> None:
    """A stream that loses its event columns in mid-stream ends the run after what precedes it."""
    run = target.run(schema(), order(1), state(1), schema(columns=("id",)), order(2), state(2))
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert "event_time" in run.log
