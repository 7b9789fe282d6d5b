"""What a signal does to a run: it stops in order, or at once where it cannot."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

STOP_SECONDS = 19.0
"""Seconds after the first signal at which the process ends in any case: 20 are promised."""
_STOPPING = {signal.SIGINT, signal.SIGTERM}
_REPEATED_SECONDS = 2.0
"""Seconds after which another signal ends the process at once; Meltano sends two for one Ctrl-C."""
_LOG_SECONDS = 0.5
"""Seconds that the last log line may take, as standard error may be full as well."""


class StopSignals:
    """Takes the signals that stop a run, from `__enter__` to `__exit__`.

    The first one asks the run to stop. A run that does not come to its end then, because the main
    thread waits for a pipe that nobody reads or for a locked file, is ended after some seconds by a
    thread; one more signal ends it at once. The process then ends as by SIGKILL: what STATE says
    stays true.

    Args:
        what_waits: Returns a clause that says why the run has not stopped.
        then: Says how what is left gets sent; the end of the last line of the log.
        seconds: How long the run may take to stop.

    Attributes:
        received: The number of the first signal; None until then.
    """

    def __init__(
        self,
        logger: logging.Logger,
        what_waits: Callable[[], str],
        then: str,
        seconds: float = STOP_SECONDS,
    ) -> None:
        self._logger = logger
        self._what_waits = what_waits
        self._then = then
        self._seconds = seconds
        self._received_at = 0.0
        self._over = threading.Event()
        self.received: int | None = None

    def note(self, number: int) -> bool:
        """Take a signal, in Python's handler; return whether it is the first one.

        Takes no lock: the handler may have interrupted whoever holds it.
        """
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = number, now
            return True
        if now - self._received_at > _REPEATED_SECONDS:
            os._exit(128 + number)
        return False

    def __enter__(self) -> list[int]:
        """Watch for signals, and return descriptors that are readable from the first one on.

        Only the main thread can; in another one, there are no signals.
        """
        # Python writes to this the moment a signal comes, while handlers have to wait until the
        # main thread comes back from SQLite or the system. What is written stays there: it ends
        # each wait of the reader from then on.
        self._readable, self._writable = socket.socketpair()
        self._writable.setblocking(False)  # noqa: FBT003 (the name says it)
        if self._in_main_thread:
            descriptor = self._writable.fileno()
            self._before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop", daemon=True).start()
        return [self._readable.fileno()]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Watch no more: the run has come to its end."""
        if self._in_main_thread:
            signal.set_wakeup_fd(self._before)
        self._over.set()
        self._writable.close()  # It ends the wait of the thread, which closes the other end.

    @property
    def _in_main_thread(self) -> bool:
        return threading.current_thread() is threading.main_thread()

    def _watch(self) -> None:
        with self._readable:
            while (first := self._readable.recv(1, socket.MSG_PEEK)) and first[0] not in _STOPPING:
                self._readable.recv(1)  # Somebody else handles that one.
            if first and not self._over.wait(self._seconds):
                self._end(first[0])

    def _end(self, number: int) -> None:
        # In a thread, as the main thread may hold the lock of the log, or standard error is full.
        line = threading.Thread(target=self._log, args=(number,), daemon=True)
        line.start()
        line.join(_LOG_SECONDS)
        os._exit(128 + number)

    def _log(self, number: int) -> None:
        self._logger.warning(
            "the signal %s told the run to stop, but the run did not end within %d seconds: %s."
            " The process ends now; %s",
            signal.Signals(number).name,
            self._seconds,
            self._what_waits(),
            self._then,
        )
