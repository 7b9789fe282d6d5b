"""Standard input, standard output and standard error of a run."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from target_liveintent.errors import StorageError


def check_standard_streams() -> None:
    """Raise a `StorageError` if one is closed: the next file that is opened would take its place.

    What is meant for standard error would then be written into the store.
    """
    streams = {"input": sys.stdin, "output": sys.stdout, "error": sys.stderr}
    for name, stream in streams.items():
        if stream is None:
            msg = f"standard {name} is closed: remove <&-, >&- or 2>&- from the command"
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
    output.flush()
    try:
        descriptor = output.fileno()
    except OSError:  # A file in memory.
        output.write(text)
        return
    # With PYTHONUNBUFFERED, a text file would lose the rest if a signal interrupts the write.
    rest = text.encode()
    while rest:
        rest = rest[os.write(descriptor, rest) :]
