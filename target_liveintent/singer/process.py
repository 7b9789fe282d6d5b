"""The process of a run: its standard streams, and the signals that stop it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from functools import partial
from typing import NoReturn

from target_liveintent.errors import StorageError
from target_liveintent.system import Alarm

STOP_SECONDS = 19.0
"""Maximum seconds from the first signal to the end of the process; users are promised 20."""
_REPEATED_SECONDS = 2.0
"""The seconds within which a second signal is ignored: Meltano sends two signals for one Ctrl-C."""
_LOG_SECONDS = 0.5
"""Maximum seconds to write the last log line. The write blocks if nobody reads standard error."""


def write_state(state: str) -> None:
    """Write a STATE to standard output; raise a `StorageError` if the write fails."""
    try:
        _write_all(f"{state}\n")
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Otherwise, the flush at exit fails, too.
        msg = f"STATE cannot be written to standard output: {error.strerror}"
        raise StorageError(msg) from None


def _write_all(text: str) -> None:
    sys.stdout.flush()
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # A file in memory.
        sys.stdout.write(text)
        return
    # With PYTHONUNBUFFERED, a text file loses the rest if a signal interrupts a write.
    rest = text.encode()
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class StopSignals:
    """Handles the signals that stop a run.

    The first signal asks the run to stop, and sets an alarm. The alarm ends the process if the run
    has not ended within `STOP_SECONDS`, for example because nobody reads a pipe or the database
    does not answer; its log line ends with the text `then`, which says how the remaining events are
    sent. A second signal, more than `_REPEATED_SECONDS` after the first, ends the process at once,
    without a log line. STATE stays correct after the alarm or the second signal, as after SIGKILL.

    Attributes:
        received: The number of the first signal; None before a signal arrives.
    """

    def __init__(self, logger: logging.Logger, then: str) -> None:
        self._logger = logger
        self._then = then
        self._received_at = 0.0
        self._is_over = False
        self._alarm: Alarm | None = None
        self.received: int | None = None

    def note(self, number: int) -> bool:
        """Note a signal, and return whether it is the first signal.

        Python's signal handler calls this method. The method acquires no lock, because the handler
        may have interrupted the code that holds the lock.
        """
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = number, now
            if not self._is_over:
                self._alarm = Alarm(STOP_SECONDS, partial(self._end, number))
            return True
        if now - self._received_at > _REPEATED_SECONDS:
            os._exit(128 + number)
        return False

    def close(self) -> None:
        """Cancel the alarm, because the run has ended."""
        self._is_over = True
        if self._alarm is not None:
            self._alarm.cancel()

    def _end(self, number: int) -> NoReturn:
        Alarm(_LOG_SECONDS, partial(os._exit, 128 + number))
        try:
            self._logger.warning(
                "the process ends now, because the run did not end within %d seconds after the"
                " signal %s. Perhaps no program reads STATE from standard output, or the database"
                " of the store does not answer. Nothing is lost: %s",
                STOP_SECONDS,
                signal.Signals(number).name,
                self._then,
            )
        finally:
            os._exit(128 + number)
