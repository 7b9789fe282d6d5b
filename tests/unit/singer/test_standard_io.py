"""Standard input and output: streams that are closed, and STATE that cannot be written."""

import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.singer import standard_io
from target_liveintent.singer.standard_io import StateOutput, check_standard_streams


@pytest.mark.parametrize(
    ("name", "said"), [("stdin", "input"), ("stdout", "output"), ("stderr", "error")]
)
def test_streams_that_are_closed(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """A closed stream is an ordinary error, which names it."""
    check_standard_streams()
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(StorageError, match=f"standard {said} is closed"):
        check_standard_streams()


def test_state_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A STATE is a line, in the text that the tap sent."""
    output = StateOutput()
    output.write('{"a": 1.10}')
    output.write("{}")
    assert capsys.readouterr().out == '{"a": 1.10}\n{}\n'


WRITE = (
    "import runpy, signal, sys;"
    "signal.signal(signal.SIGALRM, lambda *_: None);"
    "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01);"
    "runpy.run_path(sys.argv[1])['StateOutput']().write('x' * 1_000_000)"
)
"""Writes a STATE while signals come."""


def writer(stdout: Any, unbuffered: str = "") -> subprocess.Popen[bytes]:
    """Start a process that writes a STATE; it loads only the module, so it starts at once."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, standard_io.__file__],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_standard_output_that_is_full() -> None:
    """The error is readable, and nothing fails again when the program ends."""
    with Path("/dev/full").open("wb") as full, writer(full) as process:
        _, log = process.communicate()
    last_line = log.decode().splitlines()[-1]
    assert "STATE cannot be written to standard output: No space left on device" in last_line


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_while_nobody_reads(unbuffered: str) -> None:
    """A signal in the middle of a STATE loses nothing of it, buffered or not."""
    with writer(subprocess.PIPE, unbuffered) as process:
        assert process.stdout is not None
        select.select([process.stdout], [], [])
        threading.Event().wait(0.1)  # Signals come while the pipe is full.
        assert process.stdout.read() == b"x" * 1_000_000 + b"\n"
