"""Decides what is sent next, and when, and how the delivery ends: a machine without I/O.

    add        a batch arrived           ┐            ┌ next      a request to make now, or when
    answered   an answer came            ├─► machine ─┤           to ask again
    drain      nothing more comes        │            └ finished  the results of batches
    stop       the run must end soon     ┘

The machine has no clock, socket or thread: times are passed in, and a caller makes the requests
(pool.py). Other modules decide

- what becomes of the events of a request after its answer (outcome_table.py, answer_actions.py),
- what faults mean, and when an outage ends the run (retry.py),
- whether the API refuses everything (refusals.py),
- which batch is sent next (batch_queue.py), and when the next request may start (pace.py).

Each batch has at most one request in flight. Usually, the largest part of a batch is sent first: a
few requests then show whether the API accepts anything at all.

All times are monotonic seconds, except where they are called Unix times.
"""

from __future__ import annotations

import math
from collections import deque

from target_liveintent.conversions.event_model import request_body
from target_liveintent.delivery import api
from target_liveintent.delivery.answer_actions import AnswerActions, Answered
from target_liveintent.delivery.api import Answer
from target_liveintent.delivery.batch import (
    Batch,
    BatchDelivery,
    BatchResult,
    DeliveryStatus,
    LetterKind,
    Request,
)
from target_liveintent.delivery.batch_queue import BatchQueue
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.refusals import (
    MOST_SAMPLES_IN_FLIGHT,
    SAMPLES_OF_LETTERS,
    LetterRefusals,
    Refusals,
)
from target_liveintent.delivery.retry import Outage
from target_liveintent.settings import DeliverySettings

# Near the end of an outage's budget, a request still gets this much time (if its usual timeout is
# not shorter), because an API that comes back from an outage may be slow.
_SHORTEST_TIMEOUT_SECONDS = 5.0
_SILENT_INTERVALS = 2
"""If no batch comes for this many times `flush_interval_seconds`, the input may count as ended.
After one interval, a batch with the last records may still be open. After two intervals, no such
batch is left."""


class DeliveryInput:
    """Knows whether the input has ended, and since when no batch has come."""

    def __init__(self, silence_seconds: float) -> None:
        self.has_ended = False
        # When the input becomes silent if no batch comes; infinite from a batch to the next `wait`.
        self.silent_at = math.inf
        self._silence_seconds = silence_seconds

    def note_batch(self) -> None:
        """Note that a batch came, so the input has not ended."""
        self.has_ended = False
        self.silent_at = math.inf

    def wait(self, now: float) -> None:
        """Begin to wait for the next batch, unless this wait has begun already."""
        if math.isinf(self.silent_at):
            self.silent_at = now + self._silence_seconds


class DeliveryMachine:
    """Delivers the batches of a run; at most `most_batches` have events to send at a time."""

    def __init__(
        self, settings: DeliverySettings, pace: Pace, refusals: Refusals, most_batches: int
    ) -> None:
        self.finished: deque[BatchResult] = deque()  # The results, which the caller takes.
        self._settings = settings
        self._pace = pace
        self._refusals = refusals
        self._queue = BatchQueue(refusals, most_batches)
        self._outage = Outage(settings.max_retry_seconds)
        self._letter_refusals: dict[LetterKind, LetterRefusals] = {
            LetterKind.OTHER: LetterRefusals(),
            LetterKind.REFUSED: LetterRefusals(),
        }
        self._actions = AnswerActions(
            settings, refusals, self._letter_refusals, self._queue, self._outage
        )
        self._input = DeliveryInput(_SILENT_INTERVALS * settings.flush_interval_seconds)
        self._ends_at = math.inf
        self._failure: Exception | None = None
        self._in_flight = 0
        self._newest = 0  # The number of the newest request.

    # What happens

    def add(self, batch: Batch) -> None:
        """Take a batch to deliver."""
        self._input.note_batch()
        self._queue.add(BatchDelivery(batch))
        self._finish_batches()

    def drain(self) -> None:
        """Note that no batch will be added until all present batches are finished."""
        self._input.has_ended = True
        self._finish_batches()

    def stop(self, at: float) -> None:
        """Make no request after this time; of several calls, the earliest time counts."""
        self._ends_at = min(self._ends_at, at)

    def fail(self, failure: Exception) -> None:
        """Make no further request because of a failure. A second failure changes nothing.

        The machine still takes the answers to requests in flight.
        """
        self._failure = self._failure or failure
        self._finish_batches()

    def give_up(self) -> None:
        """End the delivery without waiting for answers; each batch gets the result known so far."""
        self._fail_as_stopped()
        for delivery in self._queue:
            self._finish(delivery)

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Note the answer to a request, which came at the time `now`, and change the batch."""
        request.delivery.in_flight = False
        self._in_flight -= 1
        self._pace.answered(request.started_at, now, answer.verdict, answer.retry_after)
        is_last = self._input.has_ended and self._in_flight == 0
        answered = Answered(request, answer, now, self._newest, self._input.has_ended, is_last)
        failure = self._actions.take(answered)
        if failure is not None:
            self.fail(failure)
        self._finish_batches()

    # What to do

    def next(self, now: float, unix_time: float) -> Request | float:
        """Return the request to make now, or the time at which to ask again.

        Also ask again after each call of another method.
        """
        if self._failure is not None:
            return math.inf
        self._end_silent_input(now)
        if now >= self._ends_at:
            if len(self._queue) > 0 and self._in_flight == 0:
                self._fail_as_stopped()
            return math.inf
        start = self._next_start()
        if start <= now:
            chosen = self._next_batch(now, unix_time)
            if chosen is not None:
                delivery, is_sample = chosen
                return self._request(delivery, now, unix_time, is_sample=is_sample)
            start = self._queue.next_retry_at(now)
            if math.isinf(start) and self._in_flight == 0:
                self._outage.end()  # No further request can show whether the outage is over.
        return self._ask_again_at(start, now)

    def _ask_again_at(self, start: float, now: float) -> float:
        """Return when to ask again; `start` is when the next request may start, or infinite."""
        if self._in_flight == 0 and len(self._queue) > 0:
            if math.isinf(start) and not self._input.has_ended:
                if now < self._input.silent_at:
                    start = self._input.silent_at
            elif start > self._ends_at:
                self._fail_as_stopped()
                return math.inf
        return min(start, self._ends_at)

    def _end_silent_input(self, now: float) -> None:
        """Treat a silent input as ended, if this would not make the run fail.

        The API must have accepted events, and few events may be left without an outcome.
        """
        self._input.wait(now)
        is_silent = now >= self._input.silent_at and not self._input.has_ended
        if not (is_silent and self._refusals.accepted):
            return
        if self._refusals.allows_unproven(self._queue.undecided):
            self.drain()

    def _fail_as_stopped(self) -> None:
        self.fail(api.stopped(self._outage.last_fault))

    def _next_start(self) -> float:
        """Return when the next request may start; infinite if that depends on an answer."""
        paced = self._pace.next_start()
        start = math.inf if paced is None else paced
        if self._in_flight > 0:
            return start
        # One more request at the end of the budget shows whether the API is back.
        return min(start, max(self._outage.ends_run_at, self._pace.allowed_at))

    def _next_batch(self, now: float, unix_time: float) -> tuple[BatchDelivery, bool] | None:
        """Choose the batch for the next request, and prepare its first part.

        Return the batch, and whether its first part is a sample.
        """
        while (chosen := self._choose(now)) is not None:
            delivery, is_sample = chosen
            if is_sample:
                delivery.take_sample(unix_time)
            delivery.drop_old(unix_time)
            if delivery.parts:
                return chosen
            self._finish_batches()
        return None

    def _choose(self, now: float) -> tuple[BatchDelivery, bool] | None:
        """Return the batch for the next request, and whether only a sample of the batch is sent."""
        new = self._choose_new(now)
        if new is not None:
            return new, self._refusals.suspects
        for letter_kind, refusals in self._letter_refusals.items():
            if delivery := self._queue.with_acceptance(now, letter_kind):
                return delivery, False
            if not refusals.suspects:
                delivery = self._queue.oldest(now, letter_kind)
            else:
                delivery = self._queue.to_sample(now, letter_kind, more_may_come=False)
            if delivery is not None:
                return delivery, refusals.suspects
        return None

    def _choose_new(self, now: float) -> BatchDelivery | None:
        if not self._refusals.suspects:
            return self._queue.oldest(now)
        if self._in_flight >= MOST_SAMPLES_IN_FLIGHT:
            return None
        more_may_come = not self._input.has_ended and not self.is_full
        return self._queue.to_sample(now, LetterKind.NONE, more_may_come=more_may_come)

    def _request(
        self, delivery: BatchDelivery, now: float, unix_time: float, *, is_sample: bool
    ) -> Request:
        self._newest += 1
        self._in_flight += 1
        delivery.in_flight = True
        delivery.result.requests += 1
        self._pace.started(now)
        seconds_left = max(self._outage.ends_run_at - now, _SHORTEST_TIMEOUT_SECONDS)
        return Request(
            number=self._newest,
            delivery=delivery,
            conversions=delivery.parts[0].events,
            timeout_seconds=min(self._settings.request_timeout_seconds, seconds_left),
            is_sample=is_sample,
            started_at=now,
            sent_at=unix_time,
            body=request_body(delivery.parts[0].events),
        )

    # How far the delivery is

    @property
    def is_full(self) -> bool:
        """Whether enough batches have events to send or in flight."""
        return self._queue.is_full(self._pace.window)

    @property
    def batches_to_send(self) -> int:
        """How many batches have events to send or in flight: see `BatchQueue.batches_to_send`."""
        return self._queue.batches_to_send

    def status(self) -> DeliveryStatus:
        """Return how far the delivery is, and whether there is an outage."""
        last_fault = self._outage.last_fault
        return DeliveryStatus(
            batches=len(self._queue),
            waiting=self._queue.waiting,
            window=self._pace.window,
            rate=self._pace.rate,
            fault=last_fault.detail if last_fault else None,
            since=self._outage.since,
        )

    # What is finished

    def _finish_batches(self) -> None:
        """Put the results of finished batches, and of delivered parts, into `finished`.

        Before this, events that need no further request get their outcome.
        """
        self._reject_refused()
        self._leave_letters()
        if self._input.has_ended and self._failure is None and self._queue.batches_to_send == 0:
            self._end_input()
        for delivery in self._queue:
            if delivery.in_flight:
                continue
            if self._failure is not None or not (delivery.parts or delivery.refused):
                self._finish(delivery)
            elif delivery.result.delivered:
                self.finished.append(delivery.result.split_off())

    def _reject_refused(self) -> None:
        """Reject refused events if the API accepted a request that was made after their refusal."""
        for delivery in self._queue:
            if delivery.refused and self._refusals.accepted_after(delivery.refused_at or 0):
                delivery.reject_refused()

    def _leave_letters(self) -> None:
        """Give up events that have dead letters if too many of them were refused in a row.

        A batch gives them up only if all of its samples were refused, too.
        """
        for letter_kind, refusals in self._letter_refusals.items():
            if not refusals.gives_up:
                continue
            for delivery in self._queue:
                is_tried = delivery.samples >= SAMPLES_OF_LETTERS
                if is_tried and delivery.is_waiting and letter_kind not in delivery.accepted:
                    delivery.leave(letter_kind)

    def _end_input(self) -> None:
        """Reject the refused events that are left, or end the run if there are too many.

        At the end of the input, there are no other events to compare them with.
        """
        unproven = [delivery for delivery in self._queue if delivery.refused]
        undecided = self._queue.undecided
        if not self._refusals.allows_unproven(undecided):
            detail = str(unproven[-1].refused[-1].detail)
            self._failure = api.all_refused(self._refusals.in_a_row, detail)
            return
        self._refusals.unproven += undecided
        for delivery in unproven:
            delivery.result.unproven += len(delivery.refused)
            delivery.reject_refused()

    def _finish(self, delivery: BatchDelivery) -> None:
        """Finish a batch; its last result has the failure if an event of it has no outcome."""
        self._queue.remove(delivery)
        if delivery.parts or delivery.refused:
            delivery.result.failure = self._failure
        self.finished.append(delivery.result)
