"""What each kind of message does, and what is logged about streams that cannot be sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from integration_support import WITH_ID, numbered, order, read_store, schema, state

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

SHOP = ("id", "created_at", "customer_email", "total", "currency", "client_ip")


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


# Streams that no map names


def test_nothing_else_leaves(to_server: Launcher, server: FaultyServer) -> None:
    """Columns that are none of an event's never leave the machine."""
    columns = (*WITH_ID, "note", "phone", "userData")
    extra = {"note": "call Jane", "phone": "+1-555-0100", "userData": {"name": "Jane"}}
    run = to_server.run(schema(columns=columns), *numbered(1, **extra))
    assert run.code == 0
    text = str(server.requests[0].events)
    assert not any(word in text for word in ("Jane", "555-0100", "note", "phone", "@", "buyer"))


def test_meltano_test(target: Launcher, sandbox: Sandbox) -> None:
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
        stream_maps={"*": {"event_time": "created_at", "__else__": "__NULL__"}},
        on_rejection="fail",
    )
    assert (run.code, run.letters, sandbox.stats.requests) == (0, [], 0)
    assert run.last_line.startswith(
        "meltano config test: the settings are right, and the store can be opened. Nothing was"
    )
    assert read_store(target.store, "SELECT * FROM run") == []
    assert not (target.folder / "report.html").exists()
    assert target.ask("health").stdout.startswith("There is no run in the history. ")
    assert not re.search("error|exception", run.log + run.stdout, re.IGNORECASE)


# The order of messages


def test_before_schema(target: Launcher, sandbox: Sandbox) -> None:
    """A record before its SCHEMA ends the run; what was read before it is delivered."""
    run = target.run(schema(), order(1), state(1), order(2, "returns"), state(2))
    assert (run.code, run.states, sandbox.stats.accepted) == (1, [1], 1)
    assert "returns" in run.last_line
    assert "SCHEMA" in run.last_line
    assert "Traceback" not in run.log


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
