"""Standard input, standard output and standard error of a run."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, TextIO, cast

from target_liveintent.errors import InputError, StorageError


def input_of(file_input: IO[str] | None) -> IO[str]:
    """Return the input, or standard input; raises an `InputError` if that is closed."""
    found = file_input or cast("TextIO | None", sys.stdin)
    if found is None:
        msg = (
            "standard input is closed, so there is nothing to read: pipe a tap's output into the"
            " target"
        )
        raise InputError(msg)
    return found


def check_output() -> None:
    """Raise a `StorageError` if standard output is closed."""
    if cast("TextIO | None", sys.stdout) is None:
        msg = (
            "standard output is closed, so the target cannot write to it: remove >&- from the"
            " command"
        )
        raise StorageError(msg)


def check_log() -> None:
    """Raise a `StorageError` if standard error is closed, so that nobody would see the log.

    The next file that the run opens would take the place of standard error, too.
    """
    if cast("TextIO | None", sys.stderr) is None:
        msg = "standard error is closed, so nobody can see the log: remove 2>&- from the command"
        raise StorageError(msg)


class StateOutput:
    """Writes STATE to standard output.

    Attributes:
        waiting: Whether a STATE is being written at this moment; for long, if nobody reads it.
    """

    waiting = False

    def write(self, state: str) -> None:
        """Write a STATE; raises a `StorageError` if that is not possible."""
        self.waiting = True
        try:
            _write_all(sys.stdout, f"{state}\n")
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # So that nothing is flushed at exit.
            msg = f"STATE cannot be written to standard output: {error.strerror}"
            raise StorageError(msg) from None
        finally:
            self.waiting = False


def _write_all(output: TextIO, text: str) -> None:
    buffer = getattr(output, "buffer", None)
    if buffer is None:  # A file in memory.
        output.write(text)
        return
    # With PYTHONUNBUFFERED, a write that a signal interrupts writes a part and returns its length;
    # a text file would lose the rest.
    output.flush()
    rest = text.encode()
    while rest:
        written = buffer.write(rest)
        if written is None:  # Nobody reads, and the descriptor is one that does not wait.
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        rest = rest[written:]
    buffer.flush()
