"""Standard input, standard output and standard error of a run."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

from target_liveintent.errors import StorageError

_CLOSED = {
    "stdin": "standard input is closed: remove <&- from the command",
    "stdout": "standard output is closed: remove >&- from the command",
    "stderr": "standard error is closed, so nobody can see the log: remove 2>&- from the command",
}


def check_standard_streams() -> None:
    """Raise a `StorageError` if one is closed: the next file that is opened would take its place.

    What is meant for standard error would then be written into the store.
    """
    for name, msg in _CLOSED.items():
        if getattr(sys, name) is None:
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
        if written is None:  # Nobody reads, and the descriptor does not block.
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        rest = rest[written:]
    buffer.flush()
