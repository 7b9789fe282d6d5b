"""What a signal does to a process that stops, and to one that hangs; in processes of their own."""

import logging
import signal
import subprocess
import sys
import time

import pytest

from target_liveintent.singer import signals
from target_liveintent.singer.signals import StopSignals

PROGRAM = """
import logging, os, runpy, signal, sys, time

StopSignals = runpy.run_path(sys.argv[1])["StopSignals"]  # Without the package, it starts at once.
logging.basicConfig(format="%(levelname)s %(message)s")
waits = lambda: "it waits for a test"
signals = StopSignals(logging.getLogger(), waits, "run it again (run 1)")
signals._end.__func__.__globals__.update(STOP_SECONDS=0.2, _LOG_SECONDS={log_seconds})
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: signals.note(number))
print("started", flush=True)
{hang}
print("ended", flush=True)
"""
FOR_EVER = "while True: time.sleep(60)"
FULL = "while True: os.write(2, bytes(4096))"


def run(hang: str, *numbers: int, read_log: bool = True) -> tuple[int, str, float]:
    """Send signals; return the exit code, standard error, and how many seconds it took.

    A log that is read has time to be written, as the machine may be busy.
    """
    program = PROGRAM.format(hang=hang, log_seconds=15 if read_log else 0.5)
    process = subprocess.Popen(
        [sys.executable, "-c", program, signals.__file__],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        start = time.monotonic()
        for number in numbers:
            process.send_signal(number)
        if not read_log:
            process.wait(20)
        took = time.monotonic() - start
        _, log = process.communicate(timeout=20)
        return process.returncode, log.decode().strip(), max(took, time.monotonic() - start)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_hangs(number: signal.Signals) -> None:
    """It is ended after its time, says what it waited for, and has the code of its signal."""
    code, log, took = run(FOR_EVER, number)
    said = (
        f"WARNING the signal {number.name} told the run to stop, but the run did not end within 0"
        " seconds: it waits for a test. The process ends now; run it again (run 1)"
    )
    assert (code, log) == (128 + number, said)
    assert 0.2 <= took < 10


def test_a_standard_error_that_is_full() -> None:
    """It is ended although nobody reads the log."""
    code, _, took = run(FULL, signal.SIGTERM, read_log=False)
    assert code == 143
    assert 0.2 <= took < 10


@pytest.mark.parametrize("end", ["", "signals.close(); time.sleep(0.5)"])
def test_a_process_that_comes_to_its_end(end: str) -> None:
    """It is left alone, also if it has still something to do."""
    hang = f"while signals.received is None: time.sleep(0.01)\n{end}"
    assert run(hang, signal.SIGTERM)[:2] == (0, "")


def test_a_signal_after_the_end() -> None:
    """It sets no alarm."""
    hang = "signals.close(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.5)"
    assert run(hang)[:2] == (0, "")


def test_a_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second signal that comes soon is part of the same stop."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    taken = StopSignals(logging.getLogger(), str, "")
    assert (taken.note(signal.SIGINT), taken.note(signal.SIGTERM)) == (True, False)
    assert taken.received == signal.SIGINT
