"""How long a run may still send and wait: the same limit for all threads."""

from __future__ import annotations

import threading

from target_liveintent.clock import Clock


class RunDeadline:
    """The moment after which a run sends nothing more. All threads share it.

    There is none at the start: each batch has its own budget of time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ends_at = float("inf")
        self.waiting = 0  # Threads that wait now.

    def end_within(self, seconds: float) -> None:
        """Send nothing more after so many seconds; an earlier deadline stays."""
        with self._changed:
            self._ends_at = min(self._ends_at, self._clock.monotonic() + seconds)
            self._changed.notify_all()

    @property
    def passed(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._clock.monotonic() >= self._ends_at

    def wait(self, seconds: float) -> bool:
        """Wait; return False as soon as it is known that the wait would outlast the deadline."""
        end = self._clock.monotonic() + seconds
        with self._changed:
            self.waiting += 1
            try:
                while end < self._ends_at:
                    left = end - self._clock.monotonic()
                    if left <= 0:
                        return True
                    self._clock.wait(self._changed.wait, left)
            finally:
                self.waiting -= 1
        return False
