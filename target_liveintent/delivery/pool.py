"""The threads of a run: each carries one request at a time, and decides nothing.

What is sent, and when, the machine decides; a lock lets one thread at a time use it. The results
of batches come back as values, which the main thread takes. So all accounts (counts, dead letters,
STATE) are kept on the main thread alone and need no locks.
"""

from __future__ import annotations

import contextlib
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

    Whoever has used the machine hands out the requests that are due. A thread that has its answer
    keeps the first of them for itself, so that a busy thread needs nobody to wake it.

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
        self._lock = threading.Lock()
        # What threads without work wait for: a request, or None to look at the machine again.
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[BatchResult | Exception | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0  # Requests that are handed out and not answered yet.
        self._due = math.inf  # When the machine must be asked again,
        self._wakes_at = math.inf  # and when the first of the threads without work does so.
        self._closed = False
        self.in_flight = 0

    @property
    def full(self) -> bool:
        """Whether as many batches are here as may be.

        One that only waits for the proof that its refused events are bad does not count.
        """
        if self.in_flight < self._size:
            return False
        with self._lock:
            return self._machine.unsent >= self._size

    @property
    def status(self) -> DeliveryStatus:
        """How far delivery is."""
        with self._lock:
            status = self._machine.status()
        return status._replace(batches=self.in_flight)

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; the pool must not be full."""
        self.in_flight += 1
        with self._lock:
            self._machine.add(batch)
            self._hand_out()

    def drain(self) -> None:
        """Note that no batch is submitted before those that are here have come back."""
        with self._lock:
            self._machine.drain()
            self._hand_out()

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
        with self._lock:
            self._machine.stop(self._clock.monotonic() + seconds)
            self._hand_out()

    def close(self) -> None:
        """Let the threads end, as the process may go on for long after this run."""
        self._closed = True
        for _ in range(self._threads):
            self._requests.put(None)

    # With the lock

    def _hand_out(self, *, keep: bool = False) -> Request | None:
        """Hand out the requests that are due.

        Args:
            keep: Whether to return the first one instead, as the calling thread makes it.
        """
        kept = None
        while isinstance(step := self._ask(), Request):
            self._busy += 1
            if keep and kept is None:
                kept = step
            else:
                self._requests.put(step)
                self._start_thread(self._busy)
        self._due = step
        self._pass_on()
        if kept is not None or not keep:  # Else the calling thread is without work itself.
            self._set_timer()
        return kept

    def _ask(self) -> Request | float:
        return self._machine.next(self._clock.monotonic(), self._clock.time())

    def _set_timer(self) -> None:
        """See to it that a thread without work wakes when the machine must be asked again."""
        if self._due < self._wakes_at:
            self._requests.put(None)  # The thread that gets it waits no longer than until then.
            self._start_thread(self._busy + 1)

    def _start_thread(self, needed: int) -> None:
        """Start another thread if fewer than needed are there."""
        if self._threads >= min(needed, self._most_threads):
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

    def _pass_on(self) -> None:
        """Give the main thread what is finished."""
        while self._machine.finished:
            self._finished.put(self._machine.finished.popleft())

    # In the threads

    def _work(self) -> None:
        request = None
        try:
            while not self._closed:
                request = self._wait() if request is None else self._make(request)
        except Exception as failure:  # noqa: BLE001 (`take` raises it, so that the run ends)
            self._finished.put(failure)

    def _make(self, request: Request) -> Request | None:
        """Make a request, and return the next one if one is due."""
        event_ids = [conversion.event_id for conversion in request.conversions]
        try:
            answer = self._client.post(request.body, event_ids, request.seconds)
        except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
            with self._lock:
                self._busy -= 1
                self._machine.fail(failure, request)
                return self._hand_out(keep=True)
        with self._lock:
            self._busy -= 1
            self._machine.answered(request, answer, self._clock.monotonic())
            return self._hand_out(keep=True)

    def _wait(self) -> Request | None:
        """Wait for a request, or until the machine must be asked again; return what is due."""
        with self._lock:
            until = self._due if self._due < self._wakes_at else math.inf
            self._wakes_at = min(self._wakes_at, until)
        request = self._get(until)
        with self._lock:
            if until < math.inf and until == self._wakes_at:
                self._wakes_at = math.inf
            if request is None:
                return self._hand_out(keep=True)
            self._set_timer()
        return request

    def _get(self, until: float) -> Request | None:
        if until == math.inf:
            return self._requests.get()
        found: list[Request | None] = []

        def wait(seconds: float) -> None:
            with contextlib.suppress(queue.Empty):
                found.append(self._requests.get(timeout=seconds))

        seconds = min(until - self._clock.monotonic(), threading.TIMEOUT_MAX)
        self._clock.wait(wait, max(seconds, 0.0))
        return found[0] if found else None


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
