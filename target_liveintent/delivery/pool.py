"""The threads of a run: each carries one request at a time, and decides nothing.

What is sent, and when, the machine decides; a lock lets one thread at a time use it. The results
of batches come back as values, which the main thread takes. So all accounts (counts, dead letters,
STATE) are kept on the main thread alone and need no locks.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Collection
from typing import Protocol

from target_liveintent.clock import Clock
from target_liveintent.delivery.answers import Answer
from target_liveintent.delivery.machine import DeliveryMachine, Request
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.suspicion import Suspicion
from target_liveintent.settings import Settings

_FEWEST_BATCHES = 16
"""Batches that may be here at the same time, if only one request may be in flight: so many are
there to be compared when the API refuses one."""


class Poster(Protocol):
    """Makes one attempt to send events; see `Client.post`."""

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
        """Send a JSON array of events once, and return the answer."""


class DeliveryPool:
    """Makes the requests of a machine by a bounded number of threads.

    Args:
        machine: Decides what is sent, and when.
        client: Makes the requests.
        clock: Tells the machine the time.
        threads: The most threads.
        size: The most batches that may be here at the same time.

    Attributes:
        in_flight: How many batches were submitted and not taken back yet.
    """

    def __init__(
        self, machine: DeliveryMachine, client: Poster, clock: Clock, threads: int, size: int
    ) -> None:
        self._machine = machine
        self._client = client
        self._clock = clock
        self._most_threads = threads
        self._size = size
        self._changed = threading.Condition()
        self._finished: queue.SimpleQueue[BatchResult | Exception | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._wakes_at = math.inf  # When the first of the idle threads wakes by itself.
        self._closed = False
        self.in_flight = 0

    @property
    def full(self) -> bool:
        """Whether as many batches are here as may be.

        One that only waits for the proof that its refused events are bad does not count.
        """
        if self.in_flight < self._size:
            return False
        with self._changed:
            return self._machine.unsent >= self._size

    @property
    def status(self) -> DeliveryStatus:
        """How far delivery is."""
        with self._changed:
            status = self._machine.status()
        return status._replace(batches=self.in_flight)

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; the pool must not be full."""
        self.in_flight += 1
        with self._changed:
            self._machine.add(batch)
            self._pass_on()
            self._changed.notify()
            if not self._idle:
                self._start_thread()

    def drain(self) -> None:
        """Note that no batch is submitted before those that are here have come back."""
        with self._changed:
            self._machine.drain()
            self._pass_on()
            self._changed.notify()

    def take(self, seconds: float) -> BatchResult | None:
        """Take a finished batch back; None if none finished in time, or `wake` ended the wait."""
        try:
            result = self._finished.get(seconds > 0, seconds or None)
        except queue.Empty:
            return None
        if isinstance(result, Exception):
            raise result
        if result is not None:
            self.in_flight -= 1
        return result

    def wake(self) -> None:
        """End the present or the next wait in `take`. Safe in a signal handler."""
        self._finished.put(None)

    def stop(self, seconds: float) -> None:
        """Send nothing more after so many seconds."""
        with self._changed:
            self._machine.stop(self._clock.monotonic() + seconds)
            self._changed.notify()

    def close(self) -> None:
        """Let the threads end, as the process may go on for long after this run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start_thread(self) -> None:
        if self._threads >= self._most_threads:
            return
        # A daemon, so that a request that hangs cannot keep a stopped run from ending.
        thread = threading.Thread(target=self._work, name="delivery", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system gives no more threads: go on with those that there are.
            if not self._threads:
                raise
            self._most_threads = self._threads
        else:
            self._threads += 1

    def _work(self) -> None:
        try:
            while (request := self._next_request()) is not None:
                self._make(request)
        except Exception as failure:  # noqa: BLE001 (`take` raises it, so that the run ends)
            self._finished.put(failure)

    def _make(self, request: Request) -> None:
        event_ids = [conversion.event_id for conversion in request.conversions]
        try:
            answer = self._client.post(request.body, event_ids, request.seconds)
        except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
            with self._changed:
                self._machine.fail(failure, request)
        else:
            with self._changed:
                self._machine.answered(request, answer, self._clock.monotonic())

    def _next_request(self) -> Request | None:
        """Wait until a request is due; return None if the pool is closed."""
        with self._changed:
            while not self._closed:
                step = self._machine.next(self._clock.monotonic(), self._clock.time())
                self._pass_on()
                if isinstance(step, Request):
                    if self._machine.has_more:
                        # Another thread looks for what comes next while this one is busy.
                        self._changed.notify()
                        if not self._idle:
                            self._start_thread()
                    return step
                self._wait(step)
        return None

    def _wait(self, until: float) -> None:
        """Wait until something happens; the thread with the earliest time also wakes at it."""
        self._idle += 1
        if until >= self._wakes_at:
            self._changed.wait()
        else:
            self._wakes_at = until
            seconds = min(until - self._clock.monotonic(), threading.TIMEOUT_MAX)
            self._clock.wait(self._changed.wait, max(seconds, 0.0))
            if self._wakes_at == until:
                self._wakes_at = math.inf
        self._idle -= 1

    def _pass_on(self) -> None:
        """Give the main thread what is finished."""
        while self._machine.finished:
            self._finished.put(self._machine.finished.popleft())


def delivery_of(
    settings: Settings, client: Poster, clock: Clock, *, accepted: bool = False
) -> DeliveryPool:
    """Return the threads that deliver the batches of a run by one client.

    Args:
        settings: The settings.
        client: Makes the requests.
        clock: Tells the time.
        accepted: As in `Suspicion`.
    """
    most = settings.max_concurrent_requests
    size = max(most, _FEWEST_BATCHES)
    pace = Pace(most, per_minute=settings.max_requests_per_minute)
    machine = DeliveryMachine(settings, pace, Suspicion(accepted=accepted), size)
    return DeliveryPool(machine, client, clock, most, size)
