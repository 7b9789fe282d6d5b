"""What each kind of message does, which STATE is written and when, and what comes of streams."""

import gzip
import json
import re
import time

import pytest
import yaml
from faulty_server import FaultyServer, Reply
from integration_support import (
    OFTEN,
    WITH_ID,
    Launcher,
    batch,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import ask

from target_liveintent.sandbox import Sandbox

# Streams that cannot produce any event


@pytest.mark.parametrize(
    ("stream", "columns"),
    [
        ("shop.orders", ("id", "created_at", "customer_email", "total", "currency", "client_ip")),
        ("orders", ("Order ID", "createdAt", "Email")),
    ],
    ids=["dotted", "spaced-key"],
)
def test_block_to_paste(
    target: Launcher, sandbox: Sandbox, stream: str, columns: tuple[str, ...]
) -> None:
    """The block of the message, pasted as it is into the settings, sends the stream."""
    plain = order(7)["record"]
    values = (7, plain["event_time"], plain["email"], 87.28, "usd", "203.0.113.7")
    record = dict(zip(columns, values, strict=False))
    messages = [
        schema(stream, columns, columns[:1]),
        {"type": "RECORD", "stream": stream, "record": record},
    ]
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
    assert ask(target.store, "SELECT * FROM run") == []
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


# BATCH files


def test_json_lines(to_server: Launcher, server: FaultyServer) -> None:
    """The records of BATCH files go through map and filter, and no raw address is sent."""
    folder = to_server.folder / "some folder"
    folder.mkdir()
    files = [folder / "a.jsonl.gz", folder / "b.jsonl.gz"]
    for file, numbers in zip(files, ((130,), (130, 250)), strict=True):
        records = (one["record"] for one in orders(*numbers))
        file.write_bytes(gzip.compress(lines(records)))
    maps = {"orders": {"event_id": "'o-' + str(id)", "__filter__": "id > 9"}}
    run = to_server.run(schema(), batch(*files, compression="gzip"), state(1), stream_maps=maps)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert sorted(server.accepted) == sorted(f"o-{n}" for n in range(10, 250))
    assert "@" not in json.dumps([p.events for p in server.requests])
    assert max(len(p.events) for p in server.requests) == 100
    counts = run.summary["orders"]
    assert (counts.read, counts.filtered, counts.delivered) == (250, 10, 240)


# STATE


def with_states(count: int) -> list[dict[str, object]]:
    """Return that many orders, each followed by a STATE that says how many came before it."""
    return [part for n, m in enumerate(numbered(count)) for part in (m, state(n + 1))]


def test_state_waits_for_the_oldest_batch(to_server: Launcher, server: FaultyServer) -> None:
    """A batch that hangs holds back the STATE after it, though later batches are delivered."""
    server.answer = lambda request: Reply(held="order-4" in request.ids)
    run = to_server.start(batch_size_rows=2, constants=OFTEN)
    run.send(schema(columns=WITH_ID), *with_states(12))
    wait_until(lambda: len(server.delivered) == 10, "the other batches")
    wait_until(lambda: run.states and run.states[-1] == 4, "the STATE before the one that hangs")
    # A record more, and its delivery, after which a STATE that is due would have been written.
    run.send(*(order(f"x{n}", event_id=f"x{n}") for n in range(2)))
    wait_until(lambda: "x1" in server.delivered, "the batch after it")
    assert run.states[-1] == 4
    server.release()
    wait_until(lambda: run.states[-1] == 12, "the STATE of all")
    run.close_input().wait()
    assert (run.code, run.states[-1]) == (0, 12)
    assert run.states == sorted(run.states)


def test_silent_tap(target: Launcher, sandbox: Sandbox) -> None:
    """On a silent tap, what waits is sent after the interval, and its STATE is written soon.

    A STATE that waits for nothing is written soon as well, and the same one is not written twice.
    """
    run = target.start(flush_interval_seconds=1, constants=OFTEN)
    run.send(schema(), state({"n": 0}))
    wait_until(lambda: run.out, "STATE while standard input is open")
    began = time.monotonic()
    run.send(order(1), state({"n": 1}))
    wait_until(lambda: len(run.out) == 2, "STATE while standard input is open")
    assert time.monotonic() - began >= 0.9
    assert sandbox.stats.accepted == 1
    assert run.send(state({"n": 1})).close_input().wait().code == 0
    assert run.states == [{"n": 0}, {"n": 1}]


# Standard streams that are closed, as `>&-` does in a shell

FILES = {"store": "own.sqlite", "metrics_path": "run.prom", "report_path": "report.html"}


INPUT, OUTPUT = (
    f"standard {name} is closed: remove <&-, >&- or 2>&- from the command"
    for name in ("input", "output")
)


@pytest.mark.parametrize(
    ("is_run", "closed", "said"),
    [(True, ">&-", [OUTPUT]), (True, "2>&-", []), (True, "<&-", [INPUT]), (False, ">&-", [OUTPUT])],
    ids=["output", "error", "input", "command"],
)
def test_closed(
    target: Launcher, sandbox: Sandbox, is_run: bool, closed: str, said: list[str]
) -> None:
    """A closed stream ends the program before anything is sent or made, in one line if possible."""
    config = target.config(**FILES)
    arguments = ("--config", str(config)) if is_run else ("preset", "shopify")
    given = lines([schema(), order(1), state(1)])
    done = target.in_shell(f'exec "$@" {closed}', *arguments, given=given)
    assert (done.returncode, done.stdout, sandbox.stats.requests) == (1, b"", 0)
    assert list(target.folder.iterdir()) == [config]
    shown = done.stderr.decode().splitlines()
    assert [text.split("|", 3)[-1].strip() for text in shown] == said
