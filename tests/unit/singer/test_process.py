"""Standard streams, and what a signal does to a process that stops, and to one that hangs."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from target_liveintent.singer import process
from target_liveintent.singer.process import write_state


def test_state_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A STATE is a line, in the text that the tap sent."""
    write_state('{"a": 1.10}')
    write_state("{}")
    assert capsys.readouterr().out == '{"a": 1.10}\n{}\n'


WRITE = """
import runpy, signal, sys
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
runpy.run_path(sys.argv[1])['write_state']('x' * 1_000_000)
"""
"""Writes a STATE while signals come."""


def start(program: str, stdout: Any = subprocess.PIPE, **env: str) -> subprocess.Popen[bytes]:
    """Start a program that loads only the module, so it starts at once."""
    return subprocess.Popen(
        [sys.executable, "-c", program, process.__file__],
        env={**os.environ, **env},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_standard_output_that_is_full() -> None:
    """The error is readable, and nothing fails again when the program ends."""
    with Path("/dev/full").open("wb") as full, start(WRITE, full) as writer:
        _, log = writer.communicate()
    last_line = log.decode().splitlines()[-1]
    assert "STATE cannot be written to standard output: No space left on device" in last_line


@pytest.mark.posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_while_nobody_reads(unbuffered: str) -> None:
    """A signal in the middle of a STATE loses nothing of it, buffered or not."""
    with start(WRITE, PYTHONUNBUFFERED=unbuffered) as writer:
        assert writer.stdout is not None
        select.select([writer.stdout], [], [])
        threading.Event().wait(0.1)  # Signals come while the pipe is full.
        assert writer.stdout.read() == b"x" * 1_000_000 + b"\n"


# Signals

PROGRAM = """
import logging, os, runpy, signal, sys, time

StopSignals = runpy.run_path(sys.argv[1])["StopSignals"]
logging.basicConfig(format="%(levelname)s %(message)s")
signals = StopSignals(logging.getLogger(), "run it again (run 1)")
{quickly}
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: signals.note(number))
print("started", flush=True)
{hang}
print("ended", flush=True)
"""
QUICKLY = "signals._end.__func__.__globals__.update(STOP_SECONDS=0.2, _LOG_SECONDS={log_seconds})"
FOR_EVER = "while True: time.sleep(1)"  # A signal right before a sleep does not end it.
FULL = "while True: os.write(2, bytes(4096))"


def run(hang: str, *numbers: int, read_log: bool = True) -> tuple[int, str, float]:
    """Send signals; return the exit code, standard error, and how many seconds it took.

    A log that is read has time to be written, as the machine may be busy.
    """
    quickly = QUICKLY.format(log_seconds=15 if read_log else 0.5)
    hanging = start(PROGRAM.format(hang=hang, quickly=quickly))
    try:
        assert hanging.stdout is not None
        assert hanging.stdout.readline() == b"started\n"
        begin = time.monotonic()
        for number in numbers:
            hanging.send_signal(number)
        if not read_log:
            hanging.wait(20)
        took = time.monotonic() - begin
        _, log = hanging.communicate(timeout=20)
        return hanging.returncode, log.decode().strip(), max(took, time.monotonic() - begin)
    finally:
        hanging.kill()
        hanging.communicate()


@pytest.mark.posix
def test_a_main_thread_that_hangs() -> None:
    """It is ended after its time, says so, and has the code of its signal.

    A second signal that comes soon is part of the same stop.
    """
    code, log, took = run(FOR_EVER, signal.SIGINT, signal.SIGTERM)
    said = (
        "WARNING the process ends now, because the run did not end within 0 seconds after the"
        " signal SIGINT. Perhaps no program reads STATE from standard output, or the database of"
        " the store does not answer. Nothing is lost: run it again (run 1)"
    )
    assert (code, log) == (128 + signal.SIGINT, said)
    assert 0.2 <= took < 10


PROMISED_SECONDS = 20
"""In which a run ends after a signal, as docs/guarantees.md says."""


def test_the_process_ends_within_the_promised_time() -> None:
    """The seconds of the program, also for its last word, are less than those of the page."""
    assert process.STOP_SECONDS + vars(process)["_LOG_SECONDS"] < PROMISED_SECONDS
    page = Path(__file__).parents[3] / "docs" / "guarantees.md"
    if page.exists():  # Otherwise, these are not the tests of a checkout.
        promise = f"ends\n  within {PROMISED_SECONDS} seconds, even if nobody reads its output"
        assert promise in page.read_text(encoding="utf-8")


@pytest.mark.posix
@pytest.mark.slow
def test_a_process_that_hangs_ends_within_the_promised_time() -> None:
    """The same, of a real process that waits as long as a run does."""
    hanging = start(PROGRAM.format(hang=FOR_EVER, quickly=""))
    try:
        assert hanging.stdout is not None
        assert hanging.stdout.readline() == b"started\n"
        hanging.send_signal(signal.SIGTERM)
        assert hanging.wait(PROMISED_SECONDS) == 128 + signal.SIGTERM
    finally:
        hanging.kill()
        hanging.communicate()


@pytest.mark.posix
def test_another_signal_later_ends_the_process_at_once() -> None:
    """It ends the process at once, with the code of that signal and no word."""
    hang = "os.kill(os.getpid(), signal.SIGINT); signals._received_at -= 2.1"
    assert run(f"{hang}; os.kill(os.getpid(), signal.SIGTERM)\n{FOR_EVER}")[:2] == (143, "")


@pytest.mark.posix
def test_a_standard_error_that_is_full() -> None:
    """It is ended although nobody reads the log."""
    code, _, took = run(FULL, signal.SIGTERM, read_log=False)
    assert code == 143
    assert 0.2 <= took < 10


@pytest.mark.posix
@pytest.mark.parametrize("end", ["", "signals.close(); assert signal.alarm(0) == 0"])
def test_a_process_that_comes_to_its_end(end: str) -> None:
    """It is left alone, also if it has still something to do."""
    hang = f"while signals.received is None: time.sleep(0.01)\n{end}"
    assert run(hang, signal.SIGTERM)[:2] == (0, "")


@pytest.mark.posix
def test_a_signal_after_the_end() -> None:
    """It sets no alarm."""
    hang = "signals.close(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.5)"
    assert run(hang)[:2] == (0, "")
