"""The setting `limit`: a canary sends a few events and leaves the rest, and STATE, alone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from integration_support import lines, order, orders, schema, state, wait_until

if TYPE_CHECKING:
    from faulty_server import FaultyServer, Request
    from integration_support import Launcher


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 250])
def test_limit(to_server: Launcher, server: FaultyServer, limit: int) -> None:
    """The first events go, no more and no fewer; nothing else is read, and no STATE is written."""
    run = to_server.run(schema(), state(0), *orders(1_000), state(1), limit=limit)
    assert (run.code, run.states, run.letters) == (0, [], [])
    assert sum(len(request.ids) for request in server.requests) == limit
    assert max(len(request.ids) for request in server.requests) <= 100
    assert run.summary["orders"].read == limit
    assert run.summary["total"].adds_up
    assert "'limit'" in run.log


def test_a_tap_that_is_not_done(to_server: Launcher, server: FaultyServer) -> None:
    """The canary's events go at once; the tap may write on, and is not cut off."""
    run = to_server.start(limit=5)
    run.send(schema(), *orders(20))
    wait_until(lambda: server.requests, "the canary's events")
    for _ in range(20):
        run.send(*orders(2_000))  # More than a pipe holds.
    run.close_input().wait()
    assert (run.code, run.states) == (0, [])
    assert [len(request.ids) for request in server.requests] == [5]
    run = to_server.start(limit=5)
    run.send(schema(), *orders(20))
    wait_until(lambda: len(server.requests) == 2, "the canary's events")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 128 + signal.SIGTERM


def test_fewer_than_the_limit(to_server: Launcher, server: FaultyServer) -> None:
    """A stream that is shorter is sent whole, and still without STATE."""
    run = to_server.run(schema(), *orders(5), state(1), limit=10)
    assert (run.code, run.states) == (0, [])
    assert [len(request.ids) for request in server.requests] == [5]


@pytest.mark.parametrize("ledger", [True, False])
def test_the_next_run_sends_the_rest(
    to_server: Launcher, server: FaultyServer, ledger: bool
) -> None:
    """And without a ledger all of it, with the same IDs; the canary says which of it will be."""
    stream = [schema(), *orders(20), state(1)]
    canary = to_server.run(*stream, limit=5, ledger=ledger)
    first = [name for request in server.requests for name in request.ids]
    run = to_server.run(*stream, ledger=ledger)
    assert run.states == [1]
    assert len(first) == 5
    sent = [name for request in server.requests for name in request.ids]
    assert sent[:5] == first
    assert (len(sent), len(set(sent))) == (20 if ledger else 25, 20)
    ending = (
        "only the events that this run did not deliver, because the ledger contains the"
        " delivered ones"
    )
    (line,) = [line.text for line in canary.err if "(setting 'limit')" in line.text]
    ending = ending if ledger else "every event, including those that this run delivered"
    assert line.endswith(f"reads the whole input again, and sends {ending}")


def test_rejections_do_not_count(to_server: Launcher, server: FaultyServer) -> None:
    """Only what can be sent counts towards the limit."""
    bad = [order(n, event_time="never") for n in range(50)]
    run = to_server.run(schema(), *bad, *orders(50), limit=10, max_dead_letter_percent=100)
    assert run.code == 0
    assert sum(len(request.ids) for request in server.requests) == 10
    assert len(run.letters) == 50


def test_copies_of_a_record(to_server: Launcher, server: FaultyServer) -> None:
    """Of a record that two maps use, the second event may be over the limit; the totals add up."""
    maps = {"orders": {"event_time": "event_time"}, "copy": {"__source__": "orders"}}
    run = to_server.run(schema(), *orders(10), limit=3, stream_maps=maps, ledger=False)
    assert run.code == 0
    assert sum(len(request.ids) for request in server.requests) == 3
    assert run.summary["total"].adds_up
    assert run.summary["copy"].drops == {"over_limit": 1}


def test_with_a_ledger(to_server: Launcher, server: FaultyServer) -> None:
    """What was sent before does not count: the next canary sends the next events."""
    for expected in (10, 20):
        run = to_server.run(schema(), *orders(50), limit=10, ledger_path="ledger.sqlite")
        assert run.code == 0
        sent = {name for request in server.requests for name in request.ids}
        assert len(sent) == expected
    assert run.summary["orders"].drops == {"already_sent": 10}


def test_a_refused_canary(to_server: Launcher, server: FaultyServer) -> None:
    """A canary that finds a wrong token fails as any run does."""
    server.answer = lambda _: Reply(401)
    run = to_server.run(schema(), *orders(50), state(1), limit=10)
    assert (run.code, run.states) == (1, [])


# Progress


def test_progress_in_a_log(to_server: Launcher, server: FaultyServer) -> None:
    """Without a terminal, a line comes every `flush_interval_seconds` while a run goes on."""
    run = to_server.start(flush_interval_seconds=1)
    run.send(schema(), *orders(150))
    wait_until(lambda: "so far: 150 read" in run.log, "a line of progress")
    run.close_input().wait()
    assert run.code == 0
    line = next(x for x in run.log.splitlines() if "so far" in x)
    for words in ("delivered", "/s", "in flight", "waiting", "retries", "0 rejected"):
        assert words in line


def test_progress_on_a_terminal(to_server: Launcher, server: FaultyServer) -> None:
    """On a terminal, one line is drawn again and again, and is gone at the end."""
    waiting = threading.Event()

    def answer(_: Request) -> Reply:
        waiting.wait(20)
        return Reply()

    server.answer = answer
    ours, theirs = pty.openpty()
    config = to_server.config()
    source = to_server.folder / "input.singer"
    source.write_bytes(lines([schema(), *orders(150), state(1)]))
    command = [sys.executable, "-m", "target_liveintent", "--config", str(config)]
    with source.open("rb") as stdin:
        child = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            cwd=to_server.folder,
            env={**to_server.env, "TERM": "xterm", "COLUMNS": "120"},
        )
    os.close(theirs)
    shown = b""
    try:
        while b"150 read" not in shown or b"in flight" not in shown:
            shown += os.read(ours, 65_536)
        waiting.set()
        assert child.wait(20) == 0
    finally:
        waiting.set()
        child.kill()
    try:
        while more := os.read(ours, 65_536):
            shown += more
    except OSError:  # What a terminal says when the other end is closed.
        pass
    os.close(ours)
    assert b"so far" not in shown
    last = shown.decode().splitlines()[-1]
    assert "total: read 150" in shown.decode()
    assert "in flight" not in last
