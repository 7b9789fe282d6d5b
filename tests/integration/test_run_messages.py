"""What each kind of message does, which STATE is written and when, and what comes of streams."""

import re
import time

from faulty_server import FaultyServer
from integration_support import OFTEN, WITH_ID, Launcher, numbered, order, schema, state, wait_until
from store_tables import ask

from target_liveintent.sandbox import Sandbox


def test_meltano_test(target: Launcher, sandbox: Sandbox) -> None:
    """Meltano's test of a loader's settings succeeds, sends nothing, and has no alarming word.

    It says what it has checked, and leaves no run in the history, and no report.
    """
    stream = "meltano_test_stream"
    run = target.run(
        schema(stream, ("id", "name", "value"), ()),
        {"type": "RECORD", "stream": stream, "record": {"id": 1, "name": "Test", "value": 0.5}},
        report_path="report.html",
        stream_maps={"*": {"event_time": "created_at", "__else__": "__NULL__"}},
        on_rejection="fail",
    )
    assert (run.code, run.letters, sandbox.stats.requests) == (0, [], 0)
    assert run.last_line.startswith(
        "meltano config test: the settings are valid, and the store can be opened. The test"
    )
    assert ask(target.store, "SELECT * FROM run") == []
    assert not (target.folder / "report.html").exists()
    assert target.ask("health").stdout.startswith("There is no run in the history. ")
    assert not re.search("error|exception", run.log + run.stdout, re.IGNORECASE)


def test_schema_change(to_server: Launcher, server: FaultyServer) -> None:
    """A real change of a SCHEMA in mid-stream keeps order, and its new columns are used."""
    before, after = schema(columns=WITH_ID), schema(columns=(*WITH_ID, "consent"))
    messages = numbered(9)
    for message in messages[3:6]:
        message["record"]["consent"] = "yes"
    run = to_server.run(
        before,
        *messages[:3],
        state(3),
        after,
        order(3, event_id="without-consent"),
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
    assert run.summary["orders"].drops == {"no_consent": 1}


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
