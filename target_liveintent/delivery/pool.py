"""Batches in, their fates out: the pool, back-off, and the isolation of what the API refuses.

The only module with threads. A batch is delivered from start to end by one thread; what became of
it comes back as one value, `BatchResult`, which the main thread collects. So everything that keeps
books (counts, dead letters, STATE) runs on the main thread alone and needs no locks.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from typing import TYPE_CHECKING

from target_liveintent.delivery.breaker import Breaker
from target_liveintent.delivery.client import Answer, Client, Verdict
from target_liveintent.delivery.model import Batch, BatchResult, Refusal
from target_liveintent.errors import AccessDeniedError, DeliveryError, OutageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_liveintent.conversions.model import Conversion
    from target_liveintent.settings import Settings

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_NEVER = float("inf")


class RunDeadline:
    """How long the run may still wait for the API; shared by all threads.

    Attributes:
        waiting: Threads that wait now.
    """

    def __init__(self) -> None:
        """Wait for as long as each batch's own budget allows."""
        self._changed = threading.Condition()
        self._gives_up_at = _NEVER
        self.waiting = 0

    def end_within(self, seconds: float) -> None:
        """Let nobody wait for longer than this from now on."""
        with self._changed:
            self._gives_up_at = min(self._gives_up_at, time.monotonic() + seconds)
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing may be sent any more."""
        return time.monotonic() >= self._gives_up_at

    def pause(self, seconds: float) -> bool:
        """Wait, unless that is longer than allowed.

        Returns:
            False, without further waiting, as soon as the wait would end too late.
        """
        end = time.monotonic() + seconds
        with self._changed:
            self.waiting += 1
            try:
                while end < self._gives_up_at:
                    left = end - time.monotonic()
                    if left <= 0:
                        return True
                    self._changed.wait(left)
            finally:
                self.waiting -= 1
        return False


class Delivery:
    """Delivers batches over a bounded number of threads.

    Args:
        settings: The run's settings.
        settle: Called on the main thread, from `submit`, `collect` and `join`, with what became of
            each batch.
    """

    def __init__(self, settings: Settings, settle: Callable[[BatchResult], None]) -> None:
        """Start without threads; each is started when a batch has to wait for one."""
        self._settings = settings
        self._settle = settle
        self._client = Client(settings)
        self._breaker = Breaker()
        self._patience = RunDeadline()
        self._waiting: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[BatchResult | None] = queue.SimpleQueue()
        self._threads = 0
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        """How many of the batches in flight wait to be tried again."""
        return self._patience.waiting

    def submit(self, batch: Batch, tick: Callable[[], None]) -> None:
        """Hand over a batch; blocks while `max_concurrent_requests` are in flight.

        Args:
            batch: The batch.
            tick: Called at least once a second while it blocks.
        """
        while self.in_flight >= self._settings.max_concurrent_requests:
            self._take(1.0)
            tick()
        if self._threads <= self.in_flight:
            self._threads += 1
            # A daemon, so that a request that hangs cannot keep a stopped run from ending.
            threading.Thread(target=self._work, name="delivery", daemon=True).start()
        self.in_flight += 1
        self._waiting.put(batch)

    def collect(self) -> None:
        """Settle what has finished, without waiting."""
        while self._take(0.0):
            pass

    def join(self, seconds: float) -> bool:
        """Settle what is in flight, for at most that long or until `wake`.

        Returns:
            Whether nothing is in flight any more.
        """
        end = time.monotonic() + seconds
        while self.in_flight and (left := end - time.monotonic()) > 0 and self._take(left):
            pass
        return not self.in_flight

    def wake(self) -> None:
        """Make whoever waits on the main thread look up. Safe in a signal handler."""
        self._finished.put(None)

    def stop(self, seconds: float) -> None:
        """Send nothing any more after that many seconds."""
        self._patience.end_within(seconds)

    def close(self) -> None:
        """Let the threads end: the process may outlive this delivery by far."""
        for _ in range(self._threads):
            self._waiting.put(None)

    def _take(self, timeout: float) -> bool:
        """Settle one finished batch; False if there was none in time."""
        try:
            done = self._finished.get(timeout > 0, timeout or None)
        except queue.Empty:
            return False
        if done is None:
            return False
        self.in_flight -= 1
        self._settle(done)
        return True

    def _work(self) -> None:
        while (batch := self._waiting.get()) is not None:
            try:
                done = _Shipment(
                    batch, self._client, self._breaker, self._patience, self._settings
                ).deliver()
            except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
                done = BatchResult(batch, failure=failure)
            self._finished.put(done)
            if done.failure is not None:
                # The run is over: nothing more is sent, even before the main thread looks.
                # The cause is in the queue first, so that it is told and not what comes of it.
                self._patience.end_within(0.0)


class _Shipment:
    """The delivery of one batch by one thread."""

    def __init__(
        self,
        batch: Batch,
        client: Client,
        breaker: Breaker,
        patience: RunDeadline,
        settings: Settings,
    ) -> None:
        self._result = BatchResult(batch)
        self._client = client
        self._breaker = breaker
        self._patience = patience
        self._settings = settings
        self._budget = float(settings.max_retry_seconds)
        self._request = 0  # The number of the request that was made last.
        self._sent_at = 0.0  # And when: Unix time.

    def deliver(self) -> BatchResult:
        """Deliver what can be delivered, and say what became of each conversion."""
        batch = self._result.batch
        try:
            self._deliver(batch.conversions)
        except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
            self._result.failure = failure
        finally:
            self._breaker.done(batch.number)
        if self._result.refusals:  # In the order of the records, for whoever reads the letters.
            place = {id(conversion): n for n, conversion in enumerate(batch.conversions)}
            self._result.refusals.sort(key=lambda refusal: place[id(refusal.conversion)])
        return self._result

    def _deliver(self, conversions: Sequence[Conversion]) -> None:
        """Send, and narrow down what is refused: each round isolates one bad event.

        The largest part of which nothing is known comes first: so whether the API takes anything
        at all is known after a few requests.
        """
        unknown = [list(conversions)]
        while unknown:
            unknown.sort(key=len)
            bad, refusal = self._send(unknown.pop())
            if refusal.kind is not Verdict.REFUSED:
                continue
            while len(bad) > 1:
                half = len(bad) // 2
                left, right = bad[:half], bad[half:]
                sent, outcome = self._send(left)
                if outcome.kind is Verdict.REFUSED:
                    unknown.append(right)
                    bad, refusal = sent, outcome
                elif self._all_good(left, sent, outcome) and refusal.proves_bad_event and right[1:]:
                    bad = right  # All of the left is good, so the right holds the bad one.
                else:  # No proof, or a single one: no event is given up that was not sent alone.
                    unknown.append(right)
                    break
            else:
                self._isolate(bad[0], refusal)

    @staticmethod
    def _all_good(part: list[Conversion], sent: list[Conversion], outcome: Answer) -> bool:
        """Whether a part was accepted whole, without one that had grown too old meanwhile."""
        return outcome.kind is Verdict.ACCEPTED and len(sent) == len(part)

    def _isolate(self, conversion: Conversion, refusal: Answer) -> None:
        self._breaker.isolated(refusal.detail)
        self._result.refusals.append(Refusal(conversion, "refused_by_api", refusal.detail))

    def _send(self, conversions: list[Conversion]) -> tuple[list[Conversion], Answer]:
        """Send until there is an answer, and book all but a refusal.

        Returns:
            What was sent of it, being young enough still, and the answer.
        """
        attempt = 0
        while True:
            # Before ages are judged: events may grow too old here.
            self._request = self._breaker.wait_for_turn(self._result.batch.number)
            conversions = self._young_enough(conversions)
            if not conversions:
                return conversions, Answer(Verdict.ACCEPTED, "nothing left to send")
            outcome = self._post(conversions)
            if outcome.kind is Verdict.ROTATED:
                self._result.retries += 1
                continue
            if outcome.kind is not Verdict.RETRY:
                self._book(conversions, outcome)
                return conversions, outcome
            self._back_off(attempt, outcome)
            attempt += 1

    def _young_enough(self, conversions: list[Conversion]) -> list[Conversion]:
        """What the API still takes: one event outside the window would sink the whole request."""
        now = time.time()
        young = [conversion for conversion in conversions if now < conversion.expires_at]
        if len(young) < len(conversions):
            self._result.refusals += [
                Refusal(conversion, "event_too_old")
                for conversion in conversions
                if now >= conversion.expires_at
            ]
        return young

    def _post(self, conversions: list[Conversion]) -> Answer:
        if self._patience.ended:
            msg = "the run was stopped"
            raise DeliveryError(msg)
        body = b"[" + b",".join(conversion.body for conversion in conversions) + b"]"
        event_ids = [conversion.event_id for conversion in conversions]
        self._result.requests += 1
        self._sent_at = time.time()
        outcome = self._client.post(body, event_ids, self._budget)
        self._result.latencies.append(outcome.seconds)
        return outcome

    def _book(self, sent: list[Conversion], outcome: Answer) -> None:
        kind = outcome.kind
        if kind in {Verdict.ACCEPTED, Verdict.PARTLY}:
            self._result.accepted = True
            self._breaker.accepted(self._request)
            if kind is Verdict.ACCEPTED:
                self._result.delivered += sent
                self._result.confirmed += sent
                self._result.sent_at += [self._sent_at] * len(sent)
                return
            for conversion in sent:
                if conversion.event_id in outcome.not_processed:
                    self._result.refusals.append(Refusal(conversion, "not_processed"))
                else:
                    self._result.delivered.append(conversion)
                    self._result.sent_at.append(self._sent_at)
        elif kind is Verdict.UNCONFIRMED:
            self._result.refusals += [Refusal(conversion, "unconfirmed") for conversion in sent]
        elif kind is Verdict.REFUSED:
            self._breaker.refused(outcome.detail)
        elif kind is Verdict.DENIED:
            raise AccessDeniedError(
                self._explain(
                    f"the API denied access ({outcome.detail}). The token may have been rotated,"
                    f" or be that of another customer_id: {self._advice_on_token()}"
                )
            )
        else:
            raise DeliveryError(
                self._explain(
                    f"the API answered with {outcome.detail}, which it is"
                    " not known to do. Check api_url and customer_id"
                )
            )

    def _advice_on_token(self) -> str:
        if self._settings.auth_token_path is None:
            return "ask your account manager for the present auth_token"
        return (
            "the file that auth_token_path names was read again and holds no other. Ask your"
            " account manager for the present token"
        )

    def _explain(self, what: str) -> str:
        return (
            f"{what} (api_url {self._settings.api_url}, customer_id {self._settings.customer_id})"
        )

    def _back_off(self, attempt: int, outcome: Answer) -> None:
        """Wait before a retry.

        Raises:
            OutageError: If the batch's budget or the run's patience is at its end.
        """
        longest = min(_FIRST_BACKOFF * 2 ** min(attempt, 10), _LONGEST_BACKOFF)
        delay = max(random.uniform(longest / 2, longest), outcome.retry_after or 0.0)  # noqa: S311
        self._budget -= outcome.seconds + delay
        if self._budget < 0:
            raise OutageError(
                self._explain(
                    f"no luck within max_retry_seconds"
                    f" ({self._settings.max_retry_seconds}): {outcome.detail}"
                )
            )
        if not self._patience.pause(delay):
            raise OutageError(self._explain(f"stopped while retrying: {outcome.detail}"))
        self._result.retries += 1
