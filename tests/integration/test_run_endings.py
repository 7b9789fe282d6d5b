"""A run that is told to stop, wherever it is: it ends in time, and STATE stays true."""

import fcntl
import json
import os
import signal
import struct
import termios
import threading
import time
from typing import IO, Any

import pytest
from faulty_server import FaultyServer, Reply
from integration_support import (
    OFTEN,
    WITH_ID,
    Launcher,
    Running,
    batch,
    lines,
    numbered,
    schema,
    state,
    wait_until,
)
from other_systems import pretend
from postgres_server import Postgres

from target_liveintent.sandbox import Sandbox

MAPS = {"orders": {}}


CTRL_BREAK = 21  # SIGBREAK of Windows.


@pytest.mark.promise(
    "SIGTERM and SIGINT (on Windows: Ctrl-C and Ctrl-Break) stop a run without loss"
)
@pytest.mark.parametrize(
    ("system", "number"),
    [
        *(
            pytest.param("linux", signal.SIGINT, id="interrupt on Linux"),
            pytest.param("darwin", signal.SIGTERM, id="termination on macOS"),
        ),
        *(
            pytest.param("win32", signal.SIGINT, id="interrupt on Windows"),
            pytest.param("win32", CTRL_BREAK, id="break on Windows"),
        ),
    ],
)
def test_a_signal_on_an_idle_input_delivers_what_waits(
    system: str, number: int, target: Launcher, sandbox: Sandbox
) -> None:
    """On an idle input, a signal delivers what waits, writes its STATE and ends, within seconds."""
    pretend(target, system)
    run = target.start(flush_interval_seconds=600, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), *numbered(3), state({"n": 3}), schema("mark", ("id",)))
    wait_until(lambda: "'mark'" in run.log, "the warning that no map names the last stream")
    assert sandbox.stats.requests == 0
    run.signal(number).wait(5)
    assert (run.code, run.states) == (128 + number, [{"n": 3}])
    assert sandbox.stats.accepted == 3
    assert run.summary["total"].delivered == 3


def test_signal_in_a_batch_file(to_server: Launcher, server: FaultyServer) -> None:
    """In the midst of a BATCH file, a signal stops reading, and no STATE passes the file."""
    server.answer = lambda _: Reply(held=True)
    path = to_server.folder / "rows.jsonl"
    path.write_bytes(lines(m["record"] for m in numbered(3000)))
    run = to_server.start(batch_size_rows=5, max_concurrent_requests=2, stream_maps=MAPS)
    run.send(schema(columns=WITH_ID), state(0), batch(path), state(1))
    wait_until(lambda: server.busy == 2, "requests of the file")
    run.signal(signal.SIGTERM)
    server.answer = lambda _: Reply()
    server.release()
    run.wait()
    assert run.code == 143
    assert 1 not in run.states
    assert 0 < len(server.accepted) < 3000
    assert run.summary["total"].adds_up


# A run that cannot stop

QUICK: dict[str, Any] = {
    "batch_size_rows": 1,
    "constants": OFTEN | {"target_liveintent.singer.process:STOP_SECONDS": 1.0},
}
"""A run that has less time to stop: 1 second instead of 19."""
PIPE = 65_536
"""Bytes that a pipe holds while nobody reads it."""


def unread(pipe: IO[bytes]) -> int:
    """Return how many bytes wait in a pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return int(count)


def end(run: Running, number: int = signal.SIGTERM) -> None:
    """Send a signal to a run that hangs: it is ended a second later, and says so."""
    start = time.monotonic()
    run.signal(number).process.wait(20)
    assert 0.9 <= time.monotonic() - start < 5
    assert run.code == 128 + number
    wait_until(lambda: "the run did not end within 1 seconds after" in run.log, "the last line")


@pytest.mark.promise(
    "SIGTERM and SIGINT (on Windows: Ctrl-C and Ctrl-Break) stop a run without loss"
)
@pytest.mark.parametrize(
    ("system", "number"),
    [
        pytest.param("linux", signal.SIGTERM, id="termination on Linux"),
        pytest.param("darwin", signal.SIGTERM, id="termination on macOS"),
        pytest.param("win32", signal.SIGINT, id="interrupt on Windows"),
    ],
)
def test_nobody_reads_standard_output(
    system: str, number: int, target: Launcher, sandbox: Sandbox
) -> None:
    """A run that waits for a full pipe is ended; the STATE lines that are whole are true."""
    pretend(target, system)
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
    end(run, number)
    gate.set()
    run.wait()
    whole, torn = run.out
    assert json.loads(whole) == {"n": 1}
    assert 0 < len(torn) < 3 * PIPE
    assert sandbox.stats.accepted == 2


@pytest.mark.promise(
    "SIGTERM and SIGINT (on Windows: Ctrl-C and Ctrl-Break) stop a run without loss"
)
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
        end(run)
    finally:
        os.kill(server, signal.SIGCONT)
    assert (run.wait().states, sandbox.stats.accepted) == ([1], 1)
