"""What a simulated process runs on: a clock, and signals that come at any step.

What happens here one thing after another are *steps*. A step is where a signal may arrive: a
message, a start or an end of a request, a result that is taken, a transaction of the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulated_feed import EPOCH

from target_liveintent.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulated_plan import Ending


class KilledError(BaseException):
    """The process got SIGKILL: nothing of it goes on."""


class SimulatedClock(Clock):
    """A clock that moves when the simulator says so; it shows the seconds of the history."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return EPOCH + self.now

    def monotonic(self) -> float:
        return self.now


class Signals:
    """Counts steps, and sends the signals of a plan; SIGTERM calls `on_stop`, again and again."""

    def __init__(self, ending: Ending) -> None:
        self.steps = 0
        self.on_stop: Callable[[], None] = lambda: None
        self._ending = ending

    @property
    def may_kill(self) -> bool:
        return self._ending.kill_at is not None

    def step(self) -> None:
        """Note a step; a signal may come now. A process that was killed does nothing more."""
        self.steps += 1
        if self._ending.kill_at is not None and self.steps >= self._ending.kill_at:
            raise KilledError
        if self._ending.stop_at is not None and self.steps >= self._ending.stop_at:
            self.on_stop()
