"""A run that cannot stop when it is told to: it is ended in time, and STATE stays true."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import termios
import threading
import time
from typing import IO, TYPE_CHECKING, Any

import pytest
from integration_support import OFTEN, WITH_ID, numbered, schema, state, wait_until

if TYPE_CHECKING:
    from integration_support import Launcher, Running
    from postgres_server import Postgres

    from target_liveintent.sandbox import Sandbox

QUICK: dict[str, Any] = {
    "batch_size_rows": 1,
    "constants": OFTEN | {"target_liveintent.singer.signals:STOP_SECONDS": 1.0},
}
"""A run that has less time to stop: 1 second instead of 19."""
PIPE = 65_536
"""Bytes that a pipe holds while nobody reads it."""


def unread(pipe: IO[bytes]) -> int:
    """Return how many bytes wait in a pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return int(count)


def end(run: Running, why: str) -> None:
    """Send SIGTERM to a run that hangs: it is ended a second later, and says why it hung."""
    start = time.monotonic()
    run.signal(signal.SIGTERM).process.wait(20)
    assert 0.9 <= time.monotonic() - start < 5
    assert run.code == 143
    wait_until(lambda: f"but the run did not end within 1 seconds: {why}." in run.log, "the reason")


def test_nobody_reads_standard_output(target: Launcher, sandbox: Sandbox) -> None:
    """A run that waits for a full pipe is ended; the STATE lines that are whole are true."""
    came, gate = threading.Event(), threading.Event()

    def read_no_more(_: str) -> None:
        came.set()
        gate.wait(20)

    run = target.start(on_stdout=read_no_more, **QUICK)
    first, second = numbered(2)
    run.send(schema(columns=WITH_ID), first, state({"n": 1}))
    assert came.wait(20)
    run.send(second, state({"n": 2, "filler": "x" * 3 * PIPE}))
    # (A page of it may stay empty in part, after a short STATE.)
    wait_until(lambda: unread(run.stdout_pipe) > PIPE - 4_096, "the full pipe")
    end(run, "no program has read STATE from standard output")
    gate.set()
    run.wait()
    whole, torn = run.out
    assert json.loads(whole.text) == {"n": 1}
    assert 0 < len(torn.text) < 3 * PIPE
    assert sandbox.stats.accepted == 2


@pytest.mark.postgres
def test_the_database_does_not_answer(
    target: Launcher, sandbox: Sandbox, store_url: str, postgres: Postgres
) -> None:
    """A run that waits for a server that hangs is ended in time, without a further STATE."""
    first, second = numbered(2)
    run = target.start(store=store_url, **QUICK)
    run.send(schema(columns=WITH_ID), first, state(1))
    wait_until(lambda: run.states, "the first STATE")
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'target-liveintent'"
    server = int(postgres.sql(query))
    os.kill(server, signal.SIGSTOP)
    try:
        run.send(second, state(2))
        wait_until(lambda: unread(run.stdin) == 0, "the end of the input")
        end(run, "the database of the store has not answered")
    finally:
        os.kill(server, signal.SIGCONT)
    assert (run.wait().states, sandbox.stats.accepted) == ([1], 1)
