"""Standard input and standard output of a run."""

from __future__ import annotations

import os
import sys
from typing import IO

from target_liveintent.errors import StorageError
from target_liveintent.storage import refuse_own_file


def check_input(file_input: IO[str] | None, dead_letter_path: str) -> None:
    """Raise a `ConfigurationError` if the run would read the file of its own dead letters."""
    try:
        descriptor = (file_input or sys.stdin).fileno()
    except (OSError, ValueError, AttributeError):  # An input in memory.
        return
    refuse_own_file(descriptor, dead_letter_path)


def write_state(state: str) -> None:
    """Write a STATE to standard output; raises a `StorageError` if that is not possible."""
    try:
        sys.stdout.write(f"{state}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # So that nothing is flushed at exit.
        msg = f"STATE cannot be written to standard output: {error.strerror}"
        raise StorageError(msg) from None
