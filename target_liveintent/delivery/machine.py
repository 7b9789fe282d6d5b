"""Decides what is sent next, when, and what each answer means: a state machine without I/O.

    add        a batch arrived           ┐            ┌ next      a request to make now, or when
    answered   an answer came            ├─► machine ─┤           to ask again
    drain      nothing more comes        │            └ finished  the results of batches
    stop       the run must end soon     ┘

It has no clock, socket or thread: times are passed in, and a caller makes the requests (pool.py).
Its parts decide about one thing each:

    pace.py        when the next request may start
    backlog.py     of which batch it is
    job.py         which events of a batch are sent, and what became of them
    isolation.py   which part of a refused batch is asked about next
    sizes.py       which requests are too large
    suspicion.py   whether the API refuses everything or only bad events
    blame.py       whether an event is to blame for faults
    outage.py      how long the run continues while the API accepts nothing
    silence.py     when nothing more seems to come

All times are monotonic seconds, except where they are called Unix times.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

from target_liveintent.delivery import failures
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.backlog import Backlog
from target_liveintent.delivery.blame import Blame
from target_liveintent.delivery.job import Job
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
from target_liveintent.delivery.outage import Outage
from target_liveintent.delivery.pace import Pace, Signal
from target_liveintent.delivery.request import Request
from target_liveintent.delivery.silence import Silence
from target_liveintent.delivery.sizes import RequestSizes
from target_liveintent.delivery.suspicion import MOST_SAMPLES, Suspicion
from target_liveintent.settings import Settings

_SHORTEST_TIMEOUT = 5.0
"""Seconds that each request may take, however little of the budget is left: an API that comes back
from an outage may be slow."""
_SIGNALS = {
    Verdict.LIMITED: Signal.LIMITED,
    Verdict.FAULT: Signal.FAULT,
    Verdict.STARVED: Signal.STARVED,
}
"""The verdicts after which the same part is sent again later. The API took all other requests."""


class DeliveryMachine:
    """Delivers the batches of a run.

    Args:
        settings: The settings of the run.
        pace: Says when a request may start.
        suspicion: Judges refusals.
        size: The most batches that are here at the same time; the caller adds no more.
        jitter: Returns random numbers from 0 to 1, for pauses.

    Attributes:
        pace: Says when a request may start.
        outage: Says since when the API accepts nothing.
        finished: The results that the caller has not taken yet.
    """

    def __init__(
        self,
        settings: Settings,
        pace: Pace,
        suspicion: Suspicion,
        size: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.pace = pace
        self.outage = Outage(settings.max_retry_seconds)
        self.finished: deque[BatchResult] = deque()
        self._settings = settings
        self._suspicion = suspicion
        self._backlog = Backlog(size)
        self._blame = Blame(self._backlog, self.outage)
        self._jitter = jitter
        self._drained = False
        self._silence = Silence(settings.flush_interval_seconds)
        self._requests = 0
        self._in_flight = 0
        self._limit: Answer | None = None  # The last answer that a request came too fast,
        self._limited_at = 0.0  # and when the first one came.
        self._sizes = RequestSizes()
        self._ends_at = math.inf
        self._failure: Exception | None = None

    # What happens

    def add(self, batch: Batch) -> None:
        """Take a batch to deliver."""
        self._drained = False
        self._silence.end()
        job = Job(batch)
        self._backlog.jobs.append(job)
        if self._failure is not None:
            self._finish_jobs(job)

    def drain(self) -> None:
        """Note that no batch is added before those that are here are finished."""
        self._drained = True
        self._finish_jobs()

    def stop(self, at: float) -> None:
        """Make no request after this time; an earlier one stays."""
        self._ends_at = min(self._ends_at, at)

    def fail(self, failure: Exception, request: Request | None = None) -> None:
        """End the delivery; a second failure changes nothing. Answers are still taken.

        Args:
            failure: Why.
            request: The request that ended without an answer, if that is the reason.
        """
        if request is not None:
            request.job.in_flight = False
            self._in_flight -= 1
        self._failure = self._failure or failure
        self._finish_jobs()

    def give_up(self) -> None:
        """End the delivery, and wait for no answer: what is known of each batch is its result."""
        self.fail(failures.stopped(self.outage.last_fault, self._settings))
        for job in list(self._backlog.jobs):
            self._finish(job, self._failure)

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Take the answer to a request."""
        request.job.in_flight = False
        self._in_flight -= 1
        if answer.verdict is Verdict.STARVED:
            request.job.result.requests -= 1  # It was not made.
        else:
            request.job.result.latencies.append(answer.seconds)
        signal = _SIGNALS.get(answer.verdict, Signal.TAKEN)
        # If it is longer than the budget, the API is asked at the end of that.
        retry_after = min(answer.retry_after or 0.0, self._settings.max_retry_seconds)
        self.pace.answered(request.started_at, now, signal, retry_after)
        given_up: list[Job] = []
        if signal is Signal.TAKEN:
            self.outage.taken(request.started_at, now)
            self._take(request, answer)
        else:
            request.job.samples -= request.is_sample  # It says nothing of the event.
            given_up = self._retry(request, answer, now)
        self._finish_jobs(request.job, *given_up)

    # What to do

    def next(self, now: float, unix_time: float) -> Request | float:
        """Return the request to make now, or the time from which on to ask again.

        Ask again as well after each call of another method.
        """
        if self._failure is not None:
            return math.inf
        silent_at = self._note_silence(now)
        start = self._start() if now < self._ends_at else math.inf
        if start <= now:
            job = self._next_job(now, unix_time)
            if job is not None:
                return self._request(job, now, unix_time)
            start = self._backlog.next_ready(now)
            if math.isinf(start) and self._in_flight == 0:
                self.outage.forget()
        # A batch may wait for more input, or for its end: either may come before the run's end.
        is_open = math.isinf(start) and not self._drained and now < self._ends_at
        if start > self._ends_at and not (is_open or self._in_flight) and self._backlog.jobs:
            self.fail(failures.stopped(self.outage.last_fault, self._settings))
            return math.inf
        if now >= self._ends_at:
            return start
        if math.isinf(start) and self._backlog.jobs and not self._in_flight:
            start = silent_at
        return min(start, self._ends_at)

    @property
    def unsent(self) -> int:
        """How many batches are not sent yet as a whole."""
        return self._backlog.unsent

    def status(self) -> DeliveryStatus:
        """Return how far the delivery is, and why it waits."""
        waiting = sum(job.is_waiting for job in self._backlog.jobs)
        rate = self.pace.rate
        status = DeliveryStatus(waiting=waiting, window=self.pace.window, rate=rate)
        if not waiting:
            return status
        if self.outage.last_fault is not None:
            reason, since = self.outage.last_fault.in_words, self.outage.since
            return status._replace(reason=reason, since=since, is_outage=True)
        if self._suspicion.suspects:
            reason = f"the API has refused the last requests ({self._suspicion.in_a_row})"
            return status._replace(reason=reason, since=self.outage.taken_at)
        if rate is not None and self._limit is not None:
            return status._replace(reason=self._limit.in_words, since=self._limited_at)
        return status

    def _note_silence(self, now: float) -> float:
        """Take a silent input for its end, if that fails no run; return when it will be silent."""
        at = self._silence.begins_at(now)
        if self._drained or not self._backlog.jobs:
            return math.inf
        if now < at:
            return at
        if self._suspicion.accepted and self._suspicion.allows_unproven(self._backlog.undecided):
            self.drain()
        return math.inf

    def _start(self) -> float:
        """Return when the next request may start; infinite if that depends on an answer."""
        if self._suspicion.suspects and self._in_flight >= MOST_SAMPLES:
            return math.inf
        start = self.pace.next_start()
        if self._in_flight == 0:
            # One more request at the end of the budget shows whether the API is back.
            last = max(self.outage.ends_at, self.pace.allowed_at)
            return min(last, math.inf if start is None else start)
        return math.inf if start is None else start

    def _next_job(self, now: float, unix_time: float) -> Job | None:
        """Return the job of which a request is made now, and get its part ready."""
        while job := (
            self._backlog.sample(now, drained=self._drained)
            if self._suspicion.suspects
            else self._backlog.oldest(now, self._blame.run)
        ):
            job.drop_old(unix_time)
            while self._sizes.is_too_large(part := job.isolation.part):
                job.isolation.halve()
                job.drop_old(unix_time)  # The part may be another one now.
            if part:
                return job
            self._finish_jobs(job)
        return None

    def _request(self, job: Job, now: float, unix_time: float) -> Request:
        self._requests += 1
        self._blame.sent(self._requests)
        self._in_flight += 1
        job.in_flight = True
        job.result.requests += 1
        self.pace.started(now)
        left = max(self.outage.ends_at - now, _SHORTEST_TIMEOUT)
        return Request(
            number=self._requests,
            job=job,
            conversions=job.isolation.part,
            seconds=min(self._settings.request_timeout_seconds, left),
            is_sample=self._suspicion.suspects,
            started_at=now,
            sent_at=unix_time,
        )

    # What an answer means

    def _take(self, request: Request, answer: Answer) -> None:
        """Do what the answer to a request that the API took asks for."""
        match answer.verdict:
            case Verdict.ACCEPTED | Verdict.PARTLY:
                self._blame.accepted(request.number)
                self._sizes.accept(request.conversions)
                self._suspicion.accept(request.number)
                request.job.accept(answer, request.sent_at)
            case Verdict.UNCONFIRMED:
                request.job.leave_unconfirmed()
            case Verdict.REFUSED:
                self._refuse(request, answer)
            case Verdict.ROTATED:
                request.job.result.retries += 1
            case Verdict.DENIED:
                self.fail(failures.access_denied(answer, self._settings))
            case Verdict.UNREACHABLE:
                self.fail(failures.unreachable(answer, self._settings))
            case _:
                self.fail(failures.unknown_answer(answer, self._settings))

    def _refuse(self, request: Request, answer: Answer) -> None:
        if not answer.proves_bad_event and self._sizes.refuse(request.conversions):
            request.job.result.too_large.append(len(request.conversions))
        self._suspicion.refuse(self._requests, is_sample=request.is_sample)
        request.job.refuse(answer, self._requests)
        few = self._drained and self._suspicion.allows_unproven(self._backlog.undecided)
        if self._suspicion.proves_wrong and not few:
            self.fail(failures.all_refused(self._suspicion.in_a_row, answer.detail))

    def _retry(self, request: Request, answer: Answer, now: float) -> list[Job]:
        """Let a part be sent again, or end the delivery if the API accepts nothing for too long.

        Returns:
            The jobs that have ended because the API fails on what was left of them.
        """
        job = request.job
        job.result.throttled += answer.is_throttled
        is_starved = answer.verdict is Verdict.STARVED
        if is_starved and self._in_flight:
            return []  # What is in flight has the descriptors, and its answers tell of an outage.
        job.result.retries += not (answer.is_throttled or is_starved)
        self.outage.fault(answer, request.started_at, now)
        if now >= self.outage.ends_at:
            is_last = self._drained and not (self._in_flight or is_starved)
            if is_last and (given_up := self._blame.give_up_last(answer)):
                self.outage.forget()  # The events are at fault; more may come, as with a ledger.
                return given_up
            self.fail(failures.outage(answer, self.outage.asked, self._settings))
        elif not is_starved:
            if answer.is_throttled:
                self._limited_at = now if self._limit is None else self._limited_at
                self._limit = answer
            pause = self._blame.fault(job, answer, now, drained=self._drained)
            rest = pause * (1 + self._jitter()) / 2
            job.ready_at = min(now + rest, self.outage.ends_at)
        return []

    # What is finished

    def _finish_jobs(self, *changed: Job) -> None:
        """Put the results of jobs that are finished, or in part delivered, into `finished`.

        Args:
            changed: The jobs that something happened to. Only they and those with refused events
                can be finished, unless the delivery has failed.
        """
        unproven = self._backlog.unproven
        for job in unproven:
            if self._suspicion.has_passed(job.refused[-1].newest):
                job.prove_refusals()
        jobs = self._backlog.jobs
        if self._drained and self._failure is None and all(job.is_sent for job in jobs):
            self._end_input()
        if self._failure is None:
            jobs = [*unproven, *changed]
        for job in dict.fromkeys(job for job in jobs if not job.in_flight):
            if job.is_sent and not job.refused:
                self._finish(job, None)
            elif self._failure is not None:
                self._finish(job, self._failure)
            elif job.result.delivered:
                self.finished.append(job.result.split_off())

    def _end_input(self) -> None:
        """Decide about refused events when nothing is left to compare them with."""
        unproven = self._backlog.unproven
        events = sum(len(job.refused) for job in unproven)
        if events and self._ends_at < math.inf and not self._suspicion.accepted:
            # The run was stopped before it could find out whether the settings are right.
            self._failure = failures.stopped(self.outage.last_fault, self._settings)
            return
        if not self._suspicion.allows_unproven(events):
            detail = str(unproven[-1].refused[-1].undelivered.detail)
            self._failure = failures.all_refused(self._suspicion.in_a_row, detail)
            return
        self._suspicion.leave_unproven(events)
        for job in unproven:
            job.result.unproven += len(job.refused)
            job.prove_refusals()

    def _finish(self, job: Job, failure: Exception | None) -> None:
        self._backlog.jobs.remove(job)
        self.finished.append(job.finished(failure))
