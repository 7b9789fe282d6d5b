"""The real `DeliveryPool` with simulated threads, network and time.

A wait moves the simulated clock to the next event: an answer, or a request that is due.
"""

from __future__ import annotations

import heapq
import itertools
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from simulated_api import Reply

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.batch import DeliveryStatus, Request
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.pool import DeliveryPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulated_api import SimulatedApi
    from simulated_process import Checks
    from simulated_time import Signals, SimulatedClock

    from target_liveintent.delivery.batch import Batch, BatchResult

STARVED = Reply(0.0, Answer(Verdict.STARVED, "no file descriptors are left"), [])


class WatchedMachine(DeliveryMachine):
    """The real delivery machine, whose results are compared with the table of outcomes."""

    def __init__(self, checks: Checks, *given: Any) -> None:
        super().__init__(*given)
        self._checks = checks

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        kind = request.delivery.kind
        super().answered(request, answer, now)
        self._checks.outcomes.part_answered(request, answer.verdict, kind, self.finished)


class SimulatedDelivery(DeliveryPool):
    """Delivers batches in simulated time.

    Args:
        machine: The machine that decides what is sent, and when.
        api: The API that receives the requests.
        clock: The clock of the process.
        signals: The signals that the process gets.
        checks: The checks that watch the delivery.
        threads: The maximum number of requests in flight.
        descriptors: The maximum number of connections. A request without a connection fails.
    """

    def __init__(  # noqa: PLR0917 (what it is made of)
        self,
        machine: DeliveryMachine,
        api: SimulatedApi,
        clock: SimulatedClock,
        signals: Signals,
        checks: Checks,
        threads: int,
        descriptors: int,
    ) -> None:
        client = SimpleNamespace(post=lambda *_: self._answer)
        super().__init__(machine, cast("Any", client), clock, threads)
        self._answer: Answer
        self._api = api
        self._clock: SimulatedClock = clock
        self._signals = signals
        self._checks = checks
        self._descriptors = descriptors
        self._on_their_way: list[tuple[float, int, Request, Answer]] = []
        self._numbers = itertools.count()

    @property
    def status(self) -> DeliveryStatus:
        return DeliveryStatus()  # (The machine's takes a tenth of the time.)

    def submit(self, batch: Batch) -> None:
        self._signals.step()
        self._checks.outcomes.submitted(batch, self._clock.now)
        super().submit(batch)

    def drain(self) -> None:
        self._checks.run.drained = True
        super().drain()

    def take(self, seconds: float) -> BatchResult | None:
        if seconds > 0:
            self.pass_time(seconds, until_finished=True)
        result = super().take(0.0 if self._finished.empty() else seconds)
        if result is not None:
            self._checks.outcomes.result(result, self._clock.world.latest_wall)
            self._signals.step()
        return result

    def stop(self, seconds: float) -> None:
        super().stop(seconds)
        self._checks.requests.stopped(self._clock.now + seconds)

    def close(self) -> None:
        self._signals.step()
        super().close()

    def pass_time(self, seconds: float, *, until_finished: bool = False) -> None:
        """Let time pass; with `until_finished`, stop as soon as there is a result."""
        end = self._clock.now + seconds
        while not (until_finished and not self._finished.empty()):
            answer_at = self._on_their_way[0][0] if self._on_their_way else math.inf
            next_at = min(self._wakes_at, answer_at)
            if next_at > end or self._closed:
                self._clock.go_on_until(end)
                self._checks.requests.time_passed(end, is_waiting=self._machine.batches_to_send > 0)
                return
            self._clock.go_on_until(next_at)
            if self._wakes_at <= answer_at:
                self._wakes_at = math.inf
                with self._lock:
                    self._hand_out()
            else:
                self._answer_next()

    # In place of threads

    def _start(self, _: Callable[[], None]) -> bool:
        return True

    def _ask(self) -> Request | float:
        step = super()._ask()
        if isinstance(step, Request):
            self._send(step)
        elif not self._was_held:  # (An outage goes on while the run waits for the store.)
            has_outage = self._machine.status().fault is not None
            self._checks.requests.idle(step, self._clock.now, has_outage=has_outage)
        return step

    def _send(self, request: Request) -> None:
        self._signals.step(is_start=True)
        now = self._clock.now
        self._checks.requests.started(request, now, self._clock.time())
        if len(self._on_their_way) < self._descriptors:
            reply = self._api.post(
                request.conversions, request.timeout_seconds, self._clock.world.now
            )
        else:
            reply = STARVED
        self._checks.requests.arrived(request, reply)
        arrives = (now + reply.seconds, next(self._numbers), request, reply.answer)
        heapq.heappush(self._on_their_way, arrives)

    def _answer_next(self) -> None:
        _, _, request, self._answer = heapq.heappop(self._on_their_way)
        self._signals.step()
        self._checks.requests.answered(request, self._answer, self._clock.now)
        self._make(request)
        self._checks.outcomes.answered(request)

    def _pass_on(self) -> None:
        for result in self._machine.finished:
            self._checks.outcomes.finished(result, self._clock.now)
        super()._pass_on()
