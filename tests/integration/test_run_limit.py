"""The setting `limit`: a canary sends a few events and leaves the rest, and STATE, alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
import threading
from typing import TYPE_CHECKING

from faulty_server import Reply
from integration_support import OFTEN, lines, orders, read_store, schema, state, wait_until

if TYPE_CHECKING:
    from faulty_server import FaultyServer, Request
    from integration_support import Launcher


def test_limit(to_server: Launcher, server: FaultyServer) -> None:
    """The first events go, no more and no fewer; nothing else is read, and no STATE is written.

    Rejected records do not count.
    """
    limit = 101
    bad = orders(2_000, 2_005, event_time="never")
    run = to_server.run(schema(), state(0), *bad, *orders(1_000), state(1), limit=limit)
    assert (run.code, run.states, len(run.letters)) == (0, [], len(bad))
    assert sum(len(request.ids) for request in server.requests) == limit
    assert max(len(request.ids) for request in server.requests) <= 100
    assert run.summary["orders"].read == len(bad) + limit
    assert run.summary["total"].adds_up
    assert "'limit'" in run.log
    assert read_store(to_server.store, "SELECT kind FROM run") == [("canary",)]


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


def test_the_next_run_sends_the_rest(to_server: Launcher, server: FaultyServer) -> None:
    """And with --send-again all of it, with the same IDs; the canary says what will be sent."""
    stream = [schema(), *orders(20), state(1)]
    canary = to_server.run(*stream, limit=5)
    first = [name for request in server.requests for name in request.ids]
    assert len(first) == 5
    assert to_server.run(*stream).states == [1]
    assert len(server.accepted) == len(server.delivered) == 20
    assert to_server.run(*stream, options=["--send-again"]).states == [1]
    assert (len(server.accepted), len(server.delivered)) == (40, 20)
    (line,) = [line.text for line in canary.err if "(setting 'limit')" in line.text]
    assert "is reached; the next run continues from the last STATE" in line


# Progress


def test_progress_on_a_terminal(to_server: Launcher, server: FaultyServer) -> None:
    """On a terminal, one line is drawn again and again, and is gone at the end."""
    gate = threading.Event()

    def answer(_: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = answer
    source = to_server.folder / "input.singer"
    source.write_bytes(lines([schema(), *orders(150), state(1)]))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    with source.open("rb") as stdin, open(os.devnull, "wb") as nobody:  # noqa: PTH123
        run = to_server.forks.start(
            ["--config", str(to_server.config())],
            to_server.folder,
            {**to_server.env, "TERM": "xterm"},
            (stdin.fileno(), nobody.fileno(), theirs),
            OFTEN,
        )
    os.close(theirs)
    shown = b""
    try:
        while b"150 read" not in shown or b"in flight" not in shown:
            shown += os.read(ours, 65_536)
        gate.set()
        assert run.wait(20) == 0
        with contextlib.suppress(OSError):  # What a terminal says when the other end is closed.
            while more := os.read(ours, 65_536):
                shown += more
    finally:
        run.kill()
        os.close(ours)
    assert b"so far" not in shown
    assert "total: read 150" in shown.decode()
    assert "in flight" not in shown.decode().splitlines()[-1]
