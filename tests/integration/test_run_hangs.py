"""A run that cannot stop when it is told to: it is ended in time, and STATE stays true."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from typing import IO, TYPE_CHECKING, Any

from integration_support import (
    OPTIONS,
    WITH_ID,
    Launcher,
    lines,
    numbered,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.sandbox import Sandbox

QUICK = """
from target_liveintent.target import TargetLiveIntent
TargetLiveIntent.stop_seconds = 1.0
TargetLiveIntent.cli()
"""
"""The target, with less time to stop: 1 second instead of 19."""
PIPE = 65_536
"""Bytes that a pipe holds while nobody reads it."""


@contextlib.contextmanager
def started(target: Launcher, *messages: Any, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a target whose output nobody reads, and whose input stays open."""
    config = target.config(batch_size_rows=1, **settings)
    with subprocess.Popen(
        [sys.executable, *OPTIONS, "-c", QUICK, "--config", str(config)],
        cwd=target.folder,
        env=target.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(lines(messages))
        process.stdin.flush()
        yield process
        process.kill()


def unread(pipe: IO[bytes] | None) -> int:
    """Return how many bytes wait in a pipe."""
    assert pipe is not None
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return int(count)


def end(process: subprocess.Popen[bytes]) -> tuple[float, str]:
    """Send SIGTERM; return how many seconds the process still lives, and its last line."""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    took = time.monotonic() - start
    assert process.stderr is not None
    return took, process.stderr.read().decode().splitlines()[-1]


def test_nobody_reads_standard_output(target: Launcher, sandbox: Sandbox) -> None:
    """A run that waits for a full pipe is ended; the STATE lines that are whole are true."""
    long = {"n": 2, "filler": "x" * 2 * PIPE}
    messages = [part for n, m in enumerate(numbered(2)) for part in (m, state({"n": n + 1}))]
    with started(target, schema(columns=WITH_ID), *messages[:-1], state(long)) as process:
        # (A page of it may stay empty in part, after a short STATE.)
        wait_until(lambda: unread(process.stdout) > PIPE - 4_096, "the full pipe")
        took, line = end(process)
        assert process.stdout is not None
        out = process.stdout.read().split(b"\n")
    assert 0.9 <= took < 5
    assert (
        "but the run did not end within 1 seconds: no program has read STATE from standard output."
        in line
    )
    assert [json.loads(whole) for whole in out[:-1]] in ([], [{"n": 1}])
    assert sandbox.stats.accepted == 2


def test_the_ledger_is_locked(target: Launcher, sandbox: Sandbox) -> None:
    """A run that waits for another one to release the ledger is ended, and writes no STATE."""
    first, *rest = numbered(2)
    with started(
        target, schema(columns=WITH_ID), first, state(1), ledger_path="ledger.sqlite"
    ) as process:
        wait_until(lambda: unread(process.stdout) == len("1\n"), "the first STATE")
        other = sqlite3.connect(target.folder / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert process.stdin is not None
        process.stdin.write(lines([*rest, state(2)]))
        process.stdin.flush()
        wait_until(lambda: unread(process.stdin) == 0, "the end of the input")
        took, line = end(process)
        other.close()
        assert process.stdout is not None
        assert process.stdout.read() == b"1\n"
    assert sandbox.stats.accepted == 1
    assert 0.9 <= took < 5
    assert (
        "but the run did not end within 1 seconds: another process still locks the file of"
        " ledger_path." in line
    )
