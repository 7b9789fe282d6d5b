"""Simulated time, processes and signals. Only one process runs at a time: the one that is due next.

The work of a process consists of *steps*: to take a message, to start or end a request, to take a
result, or to make a transaction of the store. At a step, a signal may arrive, the process may be
suspended, or the wall clock may jump.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from typing import TYPE_CHECKING

from simulated_feed import EPOCH

from target_liveintent.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulated_plan import Ending, Happening

BOOTS_APART = 1_000_000.0
"""The seconds between the boots of two machines, so that a comparison of their clocks fails."""


class KilledError(BaseException):
    """The process got SIGKILL, and does nothing more."""


class World:
    """The true time, which all processes share, and the processes that sleep.

    Attributes:
        now: Seconds since the beginning of the history.
        wall_ahead: Seconds by which the wall clocks are ahead of the true time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.wall_ahead = 0.0
        self.clocks = itertools.count(1)
        self._latest = 0.0
        self._sleepers: list[tuple[float, int, threading.Lock]] = []
        self._numbers = itertools.count()
        self._failure: BaseException | None = None

    def wall(self) -> float:
        """Return the Unix time that wall clocks show."""
        return EPOCH + self.now + self.wall_ahead

    @property
    def latest_wall(self) -> float:
        """The latest Unix time that wall clocks have shown."""
        return max(self._latest, self.wall())

    def jump(self, seconds: float) -> None:
        """Set the wall clocks ahead by `seconds`, or back if the number is negative."""
        self._latest = self.latest_wall
        self.wall_ahead += seconds

    def sleep_until(self, moment: float) -> None:
        """Let other processes run until a moment of the true time."""
        if self._sleepers and self._sleepers[0][0] < moment:
            self._sleep(moment)
            if self._failure is not None:
                raise KilledError
        else:
            self.now = max(self.now, moment)

    def together(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Let two processes run at the same time, until both have ended."""

        def run(process: Callable[[], None]) -> None:
            try:
                if self._failure is None:
                    process()
            except BaseException as failure:  # noqa: BLE001 (raised when both have ended)
                self._failure = self._failure or failure

        def run_second() -> None:
            turn.acquire()
            run(second)
            self._wake_next()

        turn = self._queue_up(self.now)
        thread = threading.Thread(target=run_second, daemon=True)
        thread.start()
        run(first)
        if self._sleepers:
            self._sleep(math.inf)
        thread.join()
        if self._failure is not None:
            raise self._failure

    def _sleep(self, moment: float) -> None:
        turn = self._queue_up(moment)
        self._wake_next()
        turn.acquire()

    def _queue_up(self, moment: float) -> threading.Lock:
        turn = threading.Lock()
        turn.acquire()
        heapq.heappush(self._sleepers, (moment, next(self._numbers), turn))
        return turn

    def _wake_next(self) -> None:
        if self._sleepers:
            moment, _, turn = heapq.heappop(self._sleepers)
            if moment < math.inf:
                self.now = max(self.now, moment)
            turn.release()


class SimulatedClock(Clock):
    """The clocks of a process on its own machine.

    Attributes:
        asleep: The seconds for which the machine slept. The monotonic clock does not count them.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.asleep = 0.0
        self._booted = next(world.clocks) * BOOTS_APART

    @property
    def now(self) -> float:
        return self.world.now - self.asleep

    def time(self) -> float:
        return self.world.wall()

    def monotonic(self) -> float:
        return self.now

    def since_boot(self) -> float:
        return self._booted + self.world.now

    def go_on_until(self, moment: float) -> None:
        """Let time pass until a moment of the monotonic clock."""
        self.world.sleep_until(moment + self.asleep)
        while self.now < moment:  # Sums of floating-point numbers are not exact.
            self.world.now = math.nextafter(self.world.now, math.inf)


class Signals:
    """Counts the steps of a process, and sends the signals that the plan has for these steps.

    Attributes:
        on_stop: The function that each step from SIGTERM on calls.
        may_kill: Whether the process gets SIGKILL at some step.
        suspended: The seconds for which the process was suspended.
    """

    def __init__(self, ending: Ending, clock: SimulatedClock) -> None:
        self.on_stop: Callable[[], None] = lambda: None
        self.may_kill = ending.kill_at is not None
        self.suspended = 0.0
        self._clock = clock
        self._stop_at = math.inf if ending.stop_at is None else ending.stop_at
        self._kill_at = math.inf if ending.kill_at is None else ending.kill_at
        self._happenings = sorted(ending.happenings, reverse=True)
        self._steps = 0

    def step(self, *, is_start: bool = False) -> None:
        """Count a step, and send the signals that are due.

        With `is_start`, the step starts a request, and suspensions and jumps wait for the next
        step.

        Raises:
            KilledError: If the process is killed at this step or was killed before.
        """
        self._steps += 1
        if self._steps >= self._kill_at:
            raise KilledError
        if self._steps >= self._stop_at:
            self.on_stop()
        if self._happenings and self._steps >= self._happenings[-1].step and not is_start:
            self._meet(self._happenings.pop())

    def _meet(self, happening: Happening) -> None:
        seconds = happening.seconds
        if happening.kind == "the wall clock jumps":
            self._clock.world.jump(seconds)
            return
        began = self._clock.now
        self.suspended += seconds
        self._clock.go_on_until(began + seconds)
        if happening.kind == "the machine sleeps":
            self._clock.asleep += seconds
            self._clock.go_on_until(began)  # A monotonic clock does not go back, even by rounding.
