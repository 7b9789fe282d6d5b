"""The deadline of a run, on a clock that only waits move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fakes import FakeClock

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery.deadline import RunDeadline

if TYPE_CHECKING:
    from collections.abc import Callable


def test_without_a_deadline() -> None:
    """At the start nothing ends a wait early."""
    clock = FakeClock()
    start = clock.now
    deadline = RunDeadline(clock)
    assert not deadline.passed
    assert deadline.wait(1_000.0)
    assert clock.now == start + 1_000.0
    assert not deadline.passed


def test_a_wait_that_would_end_too_late() -> None:
    """A wait that would end at the deadline or after it does not begin."""
    clock = FakeClock()
    deadline = RunDeadline(clock)
    deadline.end_within(5.0)
    assert not deadline.wait(5.0)
    assert clock.waits == []
    assert deadline.wait(4.5)
    assert clock.waits == [4.5]


def test_the_earlier_deadline_stays() -> None:
    """A later deadline does not replace an earlier one; time makes it pass."""
    clock = FakeClock()
    deadline = RunDeadline(clock)
    deadline.end_within(5.0)
    deadline.end_within(50.0)
    clock.now += 4.5
    assert not deadline.passed
    clock.now += 0.5
    assert deadline.passed


def test_a_wait_that_is_woken_too_early() -> None:
    """A condition may wake without a reason: the rest is waited for."""

    class Restless(FakeClock):
        def wait(self, wait: Callable[[float], object], seconds: float) -> None:
            super().wait(wait, seconds / 2 if len(self.waits) < 3 else seconds)

    clock = Restless()
    start = clock.now
    assert RunDeadline(clock).wait(8.0)
    assert clock.now == start + 8.0
    assert clock.waits == [4.0, 2.0, 1.0, 1.0]


def test_waiting_is_counted() -> None:
    """While a thread waits, it is counted; not before, and not after."""
    seen: list[int] = []

    class Watched(FakeClock):
        def wait(self, wait: Callable[[float], object], seconds: float) -> None:
            seen.append(deadline.waiting)
            super().wait(wait, seconds)

    deadline = RunDeadline(Watched())
    assert deadline.waiting == 0
    deadline.wait(1.0)
    assert (seen, deadline.waiting) == ([1], 0)


def test_a_deadline_ends_waits_of_other_threads() -> None:
    """Threads that wait for long end their wait at once when the run ends."""
    deadline = RunDeadline(SYSTEM_CLOCK)
    outcomes: list[bool] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(deadline.wait(60.0)), daemon=True)
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    deadline.end_within(0.0)
    for thread in threads:
        thread.join(5.0)
    assert outcomes == [False] * 3
