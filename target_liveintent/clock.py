"""The clock that a run is given, so that tests can give it another one."""

from __future__ import annotations

import time
from collections.abc import Callable

from target_liveintent.system import seconds_since_boot


class Clock:
    """The clock of this machine."""

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Return the same, but these seconds also pass while the machine is suspended.

        What another machine may do meanwhile is timed by them; only this process can compare them.
        """
        return seconds_since_boot()

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        """Wait for at most so many seconds by a function such as `Condition.wait`."""
        wait(seconds)


SYSTEM_CLOCK = Clock()
"""It has no state, so everything may share it."""
