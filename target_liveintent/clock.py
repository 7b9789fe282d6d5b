"""The clock of a run. Tests replace it with a clock of their own."""

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
        """Return seconds since an arbitrary start; they never go backwards."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Return the same, but these seconds also pass while the machine is suspended.

        What another machine may do meanwhile is timed by them; only this process can compare them.
        """
        return seconds_since_boot()

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        """Wait at most `seconds` with the function `wait`, such as `Condition.wait`."""
        wait(seconds)


SYSTEM_CLOCK = Clock()
"""The clock has no state, so all parts of a run may share it."""
