"""The clock that a run is given, so that tests can give it another one."""

from __future__ import annotations

import time
from typing import Protocol


class Waitable(Protocol):
    """A condition whose lock the caller holds, such as `threading.Condition`."""

    def wait(self, timeout: float) -> bool:
        """Wait until notified, and for at most so many seconds."""


class Clock(Protocol):
    """Tells the time and waits."""

    def time(self) -> float:
        """Return the Unix time in seconds."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""

    def wait(self, condition: Waitable, seconds: float) -> None:
        """Wait until the condition is notified, and for at most so many seconds."""


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""
        return time.monotonic()

    def wait(self, condition: Waitable, seconds: float) -> None:
        """Wait until the condition is notified, and for at most so many seconds."""
        condition.wait(seconds)


SYSTEM_CLOCK = SystemClock()
"""It has no state, so everything may share it."""
