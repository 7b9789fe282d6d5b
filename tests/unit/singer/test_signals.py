"""What a signal does to a process that stops, and to one that hangs; in processes of their own."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from target_liveintent.singer import signals
from target_liveintent.singer.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import logging, os, runpy, signal, sqlite3, sys, threading

StopSignals = runpy.run_path(sys.argv[1])["StopSignals"]  # Without the package, it starts at once.
logging.basicConfig(format="%(levelname)s %(message)s")
waits = lambda: "it waits for a test"
signals = StopSignals(logging.getLogger(), waits, "run it again (run 1)", 0.2)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: signals.note(number))
signal.signal(signal.SIGUSR1, lambda *_: None)
with signals as wake:
    print("started", flush=True)
    {hang}
print("ended", flush=True)
"""
LOGGER = logging.getLogger("test")
FOR_EVER = "threading.Event().wait()"


class Hanging:
    """A process that hangs."""

    def __init__(self, hang: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(hang=hang), signals.__file__, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"started\n"

    def ends(self, *numbers: int) -> tuple[int, str, float]:
        """Send signals; return the exit code, standard error, and how many seconds it took."""
        start = time.monotonic()
        for number in numbers:
            self.process.send_signal(number)
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log.decode().strip(), time.monotonic() - start


@pytest.fixture
def hanging() -> Iterator[list[Hanging]]:
    """Collect processes, and end those that are left over."""
    started: list[Hanging] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


def line(name: str) -> str:
    return (
        f"WARNING the signal {name} told the run to stop, but the run did not end within 0"
        " seconds: it waits for a test. The process ends now; run it again (run 1)"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_hangs(hanging: list[Hanging], number: signal.Signals) -> None:
    """It is ended after its time, says what it waited for, and has the code of its signal."""
    hanging.append(Hanging(FOR_EVER))
    code, log, took = hanging[0].ends(number)
    assert (code, log) == (128 + number, line(number.name))
    assert 0.2 <= took < 3


def test_a_main_thread_that_runs_no_handler(hanging: list[Hanging], tmp_path: Path) -> None:
    """It is ended even where Python's handlers cannot run, such as in a wait of SQLite's."""
    path = tmp_path / "locked.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    wait = "sqlite3.connect(sys.argv[2], timeout=30).execute('CREATE TABLE t (x)')"
    hanging.append(Hanging(wait, str(path)))
    code, log, took = hanging[0].ends(signal.SIGTERM)
    assert (code, log) == (143, line("SIGTERM"))
    assert took < 3
    other.close()


def test_a_standard_error_that_is_full(hanging: list[Hanging]) -> None:
    """It is ended although the main thread holds the lock of the log and nobody reads the log."""
    full = "logging.root.handlers[0].acquire(); [os.write(2, bytes(4096)) for _ in iter(int, 1)]"
    hanging.append(Hanging(full))
    start = time.monotonic()
    hanging[0].process.send_signal(signal.SIGTERM)
    assert hanging[0].process.wait(20) == 143
    assert 0.2 <= time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("number", "what_it_does"),
    [
        # A process that has come to its end is left alone.
        (signal.SIGTERM, "__import__('select').select(wake, [], [])\nthreading.Event().wait(0.5)"),
        # Other signals, which somebody else handles, end nothing.
        (signal.SIGUSR1, "threading.Event().wait(0.5)"),
    ],
)
def test_what_is_not_ended(
    hanging: list[Hanging], number: signal.Signals, what_it_does: str
) -> None:
    hanging.append(Hanging(what_it_does))
    assert hanging[0].ends(number)[:2] == (0, "")


def test_a_second_signal() -> None:
    """A second signal that comes soon is part of the same stop."""
    taken = StopSignals(LOGGER, str, str, "")
    assert (taken.note(signal.SIGINT), taken.note(signal.SIGTERM)) == (True, False)
    assert taken.received == signal.SIGINT


def test_what_was_there_before_is_given_back() -> None:
    """The descriptor for signals that somebody else has set stays theirs."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    before = signal.set_wakeup_fd(writable)
    try:
        with StopSignals(LOGGER, str, str, "") as wake:
            assert len(wake) == 1
        assert signal.set_wakeup_fd(before) == writable
    finally:
        signal.set_wakeup_fd(before)
        os.close(readable)
        os.close(writable)
    for thread in threading.enumerate():
        if thread.name == "stop":
            thread.join(5)
            assert not thread.is_alive()
