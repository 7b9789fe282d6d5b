"""The threads of a run: batches go in, results come out; decides nothing about their delivery.

One thread delivers a batch from start to end. The outcome comes back as one value, `BatchResult`,
which the main thread takes. So all accounts (counts, dead letters, STATE) are kept on the main
thread alone and need no locks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from target_liveintent.clock import Clock
from target_liveintent.delivery.breaker import Breaker
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.sender import Sender, SenderParts
from target_liveintent.settings import Settings


class DeliveryPool:
    """Delivers batches by a bounded number of threads.

    Args:
        deliver: Delivers a batch; called in a thread.
        deadline: The run's deadline, at which the threads stop sending.
        size: The most batches that may be in flight.

    Attributes:
        in_flight: How many batches were submitted and not taken back yet.
    """

    def __init__(
        self, deliver: Callable[[Batch], BatchResult], deadline: RunDeadline, size: int
    ) -> None:
        self._deliver = deliver
        self._deadline = deadline
        self._size = size
        self._submitted: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[BatchResult | None] = queue.SimpleQueue()
        self._threads = 0
        self.in_flight = 0

    @property
    def full(self) -> bool:
        """Whether as many batches are in flight as may be."""
        return self.in_flight >= self._size

    @property
    def waiting(self) -> int:
        """How many of the batches in flight wait to be tried again."""
        return self._deadline.waiting

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; the pool must not be full."""
        if self._threads <= self.in_flight:  # The batch would have to wait for a thread.
            self._threads += 1
            # A daemon, so that a request that hangs cannot keep a stopped run from ending.
            threading.Thread(target=self._work, name="delivery", daemon=True).start()
        self.in_flight += 1
        self._submitted.put(batch)

    def take(self, seconds: float) -> BatchResult | None:
        """Take a finished batch back; None if none finished in time, or `wake` ended the wait."""
        try:
            result = self._finished.get(seconds > 0, seconds or None)
        except queue.Empty:
            return None
        if result is not None:
            self.in_flight -= 1
        return result

    def wake(self) -> None:
        """End the present or the next wait in `take`. Safe in a signal handler."""
        self._finished.put(None)

    def stop(self, seconds: float) -> None:
        """Send nothing more after so many seconds."""
        self._deadline.end_within(seconds)

    def close(self) -> None:
        """Let the threads end, as the process may go on for long after this run."""
        for _ in range(self._threads):
            self._submitted.put(None)

    def _work(self) -> None:
        while (batch := self._submitted.get()) is not None:
            try:
                result = self._deliver(batch)
            except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
                result = BatchResult(batch, failure=failure)
            self._finished.put(result)
            if result.failure is not None:
                # The run is over: the other threads send nothing more, even before the main thread
                # knows. This result is in the queue first, so that the run ends with the cause.
                self._deadline.end_within(0.0)


def delivery_of(settings: Settings, client: Client, clock: Clock) -> DeliveryPool:
    """Return the threads that deliver the batches of a run by one client."""
    deadline = RunDeadline(clock)
    parts = SenderParts(settings, client, Breaker(), deadline, clock)
    return DeliveryPool(
        lambda batch: Sender(batch, parts).deliver(), deadline, settings.max_concurrent_requests
    )
