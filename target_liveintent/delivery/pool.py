"""Runs the threads that make requests, each thread one request at a time.

The machine decides what is sent, and when. A lock lets only one thread at a time use the machine.
The results of batches come back as values, which the main thread takes. So only the main thread
changes counts, dead letters and STATE, and these need no locks.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable

from target_liveintent.clock import Clock
from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.batch import Batch, BatchResult, DeliveryStatus, Request
from target_liveintent.delivery.client import Client, DryClient
from target_liveintent.delivery.machine import DeliveryMachine
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import DeliveryError
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.settings import DeliverySettings
from target_liveintent.system import free_descriptors

# The pool has room for batches with about this many events or more, to compare events if the API
# refuses some.
_FEWEST_EVENTS_TO_COMPARE = 1_600

# The file descriptors that the store, the report, metrics and the look-up of host names need.
_SPARE_DESCRIPTORS = 16
# If the main thread has not used the pool for longer, no request starts. Usually, it takes results
# at least once a second.
_LONGEST_AWAY_SECONDS = 2.0


class DeliveryPool:
    """Makes the requests of a machine by a bounded number of threads.

    Each thread that has used the machine hands out the requests that are due. A thread that has got
    an answer makes the first of these requests itself, so no other thread has to be woken for it.
    """

    def __init__(
        self, machine: DeliveryMachine, client: Client | DryClient, clock: Clock, threads: int
    ) -> None:
        self._machine = machine
        self._client = client
        self._clock = clock
        self._most_threads = threads
        self._lock = threading.Condition(threading.Lock())
        # What threads without work wait for: a request, or None to end.
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        # What the main thread waits for: a result, or None to end its wait.
        self._finished: queue.SimpleQueue[BatchResult | None] = queue.SimpleQueue()
        self._threads = 0  # How many threads make requests.
        self._wakes_at = math.inf  # When another thread asks the machine again.
        self._busy = 0  # How many requests are handed out and not answered yet.
        self._closed = False
        self._away_since = clock.monotonic()  # When the main thread last used the pool.
        # Until when the reservations are valid, by `Clock.since_boot`.
        self.reserved_until: Callable[[], float] = lambda: math.inf
        self._was_held = False  # Whether `_ask` has held back requests since the last `take`.
        self.in_flight = 0  # How many batches were submitted, and have not come back.

    @property
    def full(self) -> bool:
        """Whether the pool has enough batches, and takes no further batch now."""
        with self._lock:
            return self._machine.is_full

    @property
    def status(self) -> DeliveryStatus:
        """How far the delivery is."""
        with self._lock:
            return self._machine.status()

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; the pool must not be full."""
        self.in_flight += 1
        with self._lock:
            self._machine.add(batch)
            if self._threads == 0:
                self._start_first_threads()
            self._away_since = self._clock.monotonic()
            self._hand_out()

    def drain(self) -> None:
        """Note that no batch will be submitted until all present batches have come back."""
        with self._lock:
            self._machine.drain()
            self._hand_out()

    def take(self, seconds: float) -> BatchResult | None:
        """Take a result; return None if no result came in time, or `wake` ended the wait."""
        with self._lock:
            self._away_since = math.inf
            if self._was_held:
                self._was_held = False
                self._hand_out()
        try:
            result = self._wait_for_result(seconds) if seconds > 0 else self._finished_result()
        finally:
            self._away_since = self._clock.monotonic()
        if result is not None and result.is_last:
            self.in_flight -= 1
        return result

    def _wait_for_result(self, seconds: float) -> BatchResult | None:
        try:
            return self._finished.get(timeout=seconds)
        except queue.Empty:
            return None

    def _finished_result(self) -> BatchResult | None:
        """Return a result if there is one now; skip the wake-ups before it."""
        try:
            while (result := self._finished.get(block=False)) is None:
                pass
        except queue.Empty:
            return None
        return result

    def wake(self) -> None:
        """End the present or the next wait in `take`. Safe in a signal handler."""
        self._finished.put(None)

    def stop(self, seconds: float) -> None:
        """Send nothing after this time, in seconds from now."""
        with self._lock:
            self._machine.stop(self._clock.monotonic() + seconds)
            self._hand_out()

    def close(self) -> None:
        """End the threads, because the process may continue for a long time after this run."""
        with self._lock:
            self._closed = True
            self._machine.give_up()
            self._pass_on()
            self._lock.notify_all()
        for _ in range(self._threads):
            self._requests.put(None)

    # Methods that need the lock

    def _hand_out(self) -> None:
        """Hand out the requests that are due.

        If all threads are busy, another thread starts: while a request waited for a thread, its
        events could get too old. If the system gives no more threads, the present threads make all
        requests.
        """
        while (request := self._due_request()) is not None:
            if self._threads < self._busy:
                self._start_another_thread()
            self._requests.put(request)
        self._pass_on()

    def _due_request(self) -> Request | None:
        """Return a request to make now; if there is none, note when to ask the machine again."""
        if self._busy >= self._most_threads:
            return None  # An answer must come first.
        step = self._ask()
        if isinstance(step, Request):
            self._busy += 1
            return step
        if step < self._wakes_at:
            self._wakes_at = step
            self._lock.notify_all()
        return None

    def _start_first_threads(self) -> None:
        """Start the thread that watches the time, and one for requests, or end the delivery."""
        if self._start(self._watch) and self._start(self._work):
            self._threads = 1
        else:
            self._machine.fail(DeliveryError(Failure(FailureCode.NO_THREAD)))

    def _start_another_thread(self) -> None:
        if self._start(self._work):
            self._threads += 1
        else:
            self._most_threads = self._threads

    def _is_away(self) -> bool:
        """Whether the main thread has waited too long for the store or for the reader of STATE.

        Meanwhile, the main thread saves no confirmed events and renews no reservations, so no
        request may start.
        """
        return self._clock.monotonic() - self._away_since > _LONGEST_AWAY_SECONDS

    def _is_reserved(self) -> bool:
        """Whether this run surely still has its reservations.

        A process that is suspended cannot renew its reservations, so they may expire.
        """
        return self._clock.since_boot() < self.reserved_until()

    def _ask(self) -> Request | float:
        if self._is_away() or not self._is_reserved():
            self._was_held = True
            return math.inf
        return self._machine.next(self._clock.monotonic(), self._clock.time())

    def _pass_on(self) -> None:
        """Give finished results to the main thread."""
        while self._machine.finished:
            self._finished.put(self._machine.finished.popleft())

    # What runs in the threads

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            while request is not None:  # A thread without work must keep no events in memory.
                request = self._make(request)

    def _make(self, request: Request) -> Request | None:
        """Make a request, and return the next one if one is due."""
        event_ids = (conversion.event_id for conversion in request.conversions)
        answer = self._client.post(
            request.body, event_ids, request.timeout_seconds, self._is_reserved
        )
        with self._lock:
            self._busy -= 1
            if self._closed:  # Nobody waits for the result any more.
                return None
            now = self._clock.monotonic()
            if answer.verdict is Verdict.STARVED:  # The request was never made, so it took no time.
                request = request._replace(started_at=now)
            self._machine.answered(request, answer, now)
            own = self._due_request()
            if own is None:
                self._pass_on()
            else:
                self._hand_out()
            return own

    def _watch(self) -> None:
        """Hand out requests when they are due.

        Only one thread waits with a timeout: in many threads, a `get` with a timeout may hang.
        """
        with self._lock:
            while not self._closed:
                left = self._wakes_at - self._clock.monotonic()
                if left <= 0:
                    self._wakes_at = math.inf
                    self._hand_out()
                elif left == math.inf:
                    self._lock.wait()
                else:
                    self._clock.wait(self._lock.wait, min(left, threading.TIMEOUT_MAX))

    def _start(self, work: Callable[[], None]) -> bool:
        """Start a thread; return False if the system gives no thread.

        An unexpected exception in the thread ends the delivery.
        """

        def run() -> None:
            try:
                work()
            except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
                with self._lock:
                    self._machine.fail(failure)
                    self._machine.give_up()  # The request of this thread gets no answer any more.
                    self._pass_on()

        # A daemon, so that a request that hangs cannot keep a stopped run from ending.
        try:
            threading.Thread(target=run, name="delivery", daemon=True).start()
        except RuntimeError:  # The system gives no more threads.
            return False
        return True


def most_batches(max_concurrent_requests: int, batch_size_rows: int) -> int:
    """Return how many batches may be in delivery at the same time."""
    return max(max_concurrent_requests, _FEWEST_EVENTS_TO_COMPARE // batch_size_rows)


def most_connections(wanted: int) -> int:
    """Return how many of the wanted connections the free file descriptors allow, at least one."""
    free = free_descriptors()
    return wanted if free is None else min(wanted, max(1, free - _SPARE_DESCRIPTORS))


def delivery_of(
    settings: DeliverySettings,
    client: Client | DryClient,
    clock: Clock,
    refusals: Refusals | None = None,
    tasks: int = 1,
) -> DeliveryPool:
    """Return the pool that delivers the batches of a run; `tasks` such pools share a limit."""
    connections = most_connections(settings.max_concurrent_requests)
    batches = most_batches(settings.max_concurrent_requests, settings.batch_size_rows)
    per_minute = None if settings.dry_run else settings.max_requests_per_minute
    pace = Pace(connections, per_minute=per_minute, tasks=tasks)
    machine = DeliveryMachine(settings, pace, refusals or Refusals(), batches)
    return DeliveryPool(machine, client, clock, connections)
