"""Takes the place of `DeliveryPool`: the same machine, without threads and sockets.

Its time is simulated: whoever waits lets the clock move on to the next thing that happens.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from typing import TYPE_CHECKING

from simulated_api import Reply

from target_liveintent.delivery import DeliveryStatus
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.machine import DeliveryMachine, Request

if TYPE_CHECKING:
    from simulated_api import SimulatedApi
    from simulated_process import Signals, SimulatedClock
    from simulation import Checks

    from target_liveintent.delivery import Batch, BatchResult

STARVED = Reply(0.0, Answer(Verdict.STARVED, "no file descriptors are left"), [])


class SimulatedDelivery:
    """Delivers batches in simulated time; see `DeliveryPool`.

    Args:
        machine: Decides what is sent, and when.
        size: The most batches that may be here at the same time.
        descriptors: The most connections; a request that has none is not made.
    """

    def __init__(  # noqa: PLR0917 (what it is made of)
        self,
        machine: DeliveryMachine,
        api: SimulatedApi,
        clock: SimulatedClock,
        signals: Signals,
        checks: Checks,
        size: int,
        descriptors: int,
    ) -> None:
        self.in_flight = 0
        self._machine = machine
        self._api = api
        self._clock = clock
        self._signals = signals
        self._checks = checks
        self._size = size
        self._descriptors = descriptors
        self._on_their_way: list[tuple[float, int, Request, Answer]] = []
        self._numbers = itertools.count()
        self._finished: deque[BatchResult | None] = deque()
        self._closed = False
        self._ask_again_at = -math.inf

    @property
    def full(self) -> bool:
        return self.in_flight >= self._size and self._machine.unsent >= self._size

    @property
    def status(self) -> DeliveryStatus:
        return DeliveryStatus(batches=self.in_flight)  # (The machine's takes a tenth of the time.)

    def submit(self, batch: Batch) -> None:
        self._signals.step()
        self.in_flight += 1
        self._checks.outcomes.submitted(batch, self._clock.now)
        self._machine.add(batch)
        self._note_change()

    def drain(self) -> None:
        self._checks.run.drained = True
        self._machine.drain()
        self._note_change()

    def take(self, seconds: float) -> BatchResult | None:
        if not self._finished and seconds > 0:
            self.pass_time(seconds, until_finished=True)
        result = self._finished.popleft() if self._finished else None
        while result is None and not seconds and self._finished:
            result = self._finished.popleft()
        if result is not None:
            self.in_flight -= result.is_last
            self._checks.outcomes.result(result, self._clock.time())
            self._signals.step()
        return result

    def wake(self) -> None:
        self._finished.append(None)

    def stop(self, seconds: float) -> None:
        self._machine.stop(self._clock.now + seconds)
        self._note_change()
        self._checks.requests.stopped(self._clock.now + seconds)

    def close(self) -> None:
        self._signals.step()
        self._closed = True
        self._machine.give_up()
        self._pass_on()

    def pass_time(self, seconds: float, *, until_finished: bool = False) -> None:
        """Let time pass, at most until a batch is finished if that is asked for."""
        end = self._clock.now + seconds
        while not (until_finished and self._finished):
            self._start_requests()
            answer_at = self._on_their_way[0][0] if self._on_their_way else math.inf
            next_at = min(self._ask_again_at, answer_at)
            if until_finished and self._finished:
                return
            if next_at > end or self._closed:
                self._clock.now = end
                self._checks.requests.time_passed(end, is_waiting=self._machine.unsent > 0)
                return
            self._clock.now = max(self._clock.now, next_at)
            if answer_at <= self._clock.now:
                self._answer_next()

    def _start_requests(self) -> None:
        """Start all requests that are due."""
        while self._ask_again_at <= self._clock.now and not self._closed:
            step = self._machine.next(self._clock.now, self._clock.time())
            self._pass_on()
            if isinstance(step, Request):
                self._start(step)
            else:
                self._ask_again_at = step
                is_waiting = self._machine.unsent > 0
                self._checks.requests.idle(step, self._clock.now, is_waiting=is_waiting)

    def _start(self, request: Request) -> None:
        self._signals.step()
        now = self._clock.now
        self._checks.requests.started(request, now, self._clock.time())
        if len(self._on_their_way) < self._descriptors:
            reply = self._api.post(request.conversions, request.seconds, now)
        else:
            reply = STARVED
        self._checks.requests.arrived(request, reply)
        arrives = (now + reply.seconds, next(self._numbers), request, reply.answer)
        heapq.heappush(self._on_their_way, arrives)

    def _answer_next(self) -> None:
        _, _, request, answer = heapq.heappop(self._on_their_way)
        self._signals.step()
        self._checks.requests.answered(request, answer, self._clock.now)
        self._machine.answered(request, answer, self._clock.now)
        self._note_change()
        self._checks.outcomes.answered(request)

    def _note_change(self) -> None:
        """Ask the machine what to do now, after it was told of something."""
        self._ask_again_at = -math.inf
        self._pass_on()

    def _pass_on(self) -> None:
        while self._machine.finished:
            result = self._machine.finished.popleft()
            self._checks.outcomes.finished(result, self._clock.now)
            self._finished.append(result)
