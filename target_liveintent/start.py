"""Starts the command `target-liveintent`.

The import of the program takes a fraction of a second. This module handles Ctrl-C before that
import begins, so that Ctrl-C always ends the process with one line.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_CODE = 128 + signal.SIGINT


def _say() -> None:
    os.write(2, b"target-liveintent was stopped by SIGINT (Ctrl-C) before a run began\n")


def _end_import(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the process at once: an exception during an import may be lost, or show a traceback."""
    _say()
    os._exit(_CODE)


def _end_command(_number: int, _frame: FrameType | None) -> NoReturn:
    """Raise `SystemExit` in a command, or in a run that has not begun, so that files are closed."""
    _say()
    sys.exit(_CODE)


# If a shell starts this program in the background, SIGINT is ignored, and stays ignored.
_IS_TAKEN = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _IS_TAKEN:
    signal.signal(signal.SIGINT, _end_import)


def start() -> None:
    """Run the program. A run installs its own handlers of signals when it begins."""
    from target_liveintent import cli  # noqa: PLC0415 (see above)

    if _IS_TAKEN:
        signal.signal(signal.SIGINT, _end_command)
    cli.main()
