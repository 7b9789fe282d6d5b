"""The clock of a run. Tests replace this clock with a simulated one."""

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
        """Return the seconds since an arbitrary moment; this number never decreases."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Return the seconds since an arbitrary moment; the time of a suspension counts, too.

        The store uses this clock for reservations: they expire even while the machine that made
        them is suspended. Only numbers from the same machine can be compared.
        """
        return seconds_since_boot()

    def wait(self, wait: Callable[[float], object], seconds: float) -> None:
        """Wait at most `seconds` with the function `wait`, such as `Condition.wait`."""
        wait(seconds)


SYSTEM_CLOCK = Clock()
"""The clock that all parts of a run share. They can share it because a clock has no state."""
