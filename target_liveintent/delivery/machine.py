"""Decides what is sent next, when, and what each answer means: a state machine without I/O.

    add        a batch arrived           ┐            ┌ next      a request to make now, or when
    answered   an answer came            ├─► machine ─┤           to ask again
    drain      nothing more comes        │            └ finished  the results of batches
    stop       the run must end soon     ┘

It has no clock, socket or thread: times are passed in, and a caller makes the requests (pool.py).
pace.py says when the next request may start, and refusals.py whether the API refuses everything.

A batch is a flat list of *parts*: events that are sent together. At first it is one part. A request
has the events of one part, and each batch has at most one request in flight. The table says what
becomes of a part after its request (`Job`, batch.py). *Halved* means that its halves take its place
in the list.

| what happens | what becomes of the part |
| --- | --- |
| 204 | All events are delivered and confirmed. If the part was the left half of a refused part, \
the right half has the bad event. So the right half is halved at once, and not sent as a whole. |
| 200 that names some of the events | The others are delivered. Those that it names become dead \
letters (`not_processed`). |
| any other 200 | All events become dead letters (`unconfirmed`). |
| 400 or 422, several events | It is halved, and the left half is sent next. |
| 400, 413 or 422, one event | The event is refused. It becomes a dead letter (`refused_by_api`) \
when the API accepts a request that is made later, or at the end of the input. |
| 413, several events | It is halved. No event is at fault. |
| 408, 425, 429, 5xx, no connection, no answer in time, or no file descriptor is left | It is sent \
again, after other batches. |
| ten such failures (or forty 429 or 503) while the API accepts other requests, several events \
| It is halved. |
| as many, one event | The event becomes a dead letter (`api_error`). |
| 401 or 403, and the file of the token has a new token | It is sent again at once. |
| an event is too old, before a request | The event becomes a dead letter (`event_too_old`). |
| any other answer, or 401 or 403 without a new token | The run ends. |

The largest part of a batch is sent first: a few requests then show whether the API accepts
anything at all. A part that may be at fault for failures is sent after all others of its batch.

All times are monotonic seconds, except where they are called Unix times.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from target_liveintent.conversions.event_model import Conversion, request_body
from target_liveintent.delivery import api
from target_liveintent.delivery.api import REPEATED, Answer, Verdict
from target_liveintent.delivery.batch import Batch, BatchResult, DeliveryStatus, Job
from target_liveintent.delivery.pace import Pace
from target_liveintent.delivery.refusals import MOST_SAMPLES, Refusals
from target_liveintent.settings import Settings

_MOST_FAULTS = 10.0  # That count; then a part is halved, and a single event is given up.
_THROTTLED = 0.25  # What a 429 or 503 counts: a limit may cause many by chance.
# In at most so many batches at the end of a run, failing events are found within the budget: after
# this share of it, the batches are halved.
_FEW_LEFT, _LATE = 3, 0.25
# Seconds that each request may take, however little of the budget is left: an API that comes back
# from an outage may be slow.
_SHORTEST_TIMEOUT = 5.0
_SAMPLES_BEFORE_MORE_INPUT = 3  # Of one batch; then the run waits for other batches.
_FEWEST = 6  # So many batches may wait at least: fewer make the main thread wait too often.
_SILENT_INTERVALS = 2
"""After so many times `flush_interval_seconds` without a batch, the input is treated as ended.
After one, a batch of the last records may still be open; after two, it would have come."""


class Request(NamedTuple):
    """A request to make."""

    number: int  # Its place in the order of the run's requests, counted from 1.
    job: Job
    conversions: list[Conversion]  # 1 to 100.
    seconds: float  # How long it may take.
    is_sample: bool  # It only serves to find out if the settings are wrong.
    started_at: float
    sent_at: float  # The same as a Unix time.
    body: bytes  # The JSON array of the events.


class DeliveryMachine:
    """Delivers the batches of a run; no more than `size` of them are here at the same time."""

    def __init__(self, settings: Settings, pace: Pace, refusals: Refusals, size: int) -> None:
        self.finished: deque[BatchResult] = deque()  # The results, which the caller takes.
        self._settings = settings
        self._pace = pace
        self._refusals = refusals
        self._size = size
        self._jobs: list[Job] = []  # The oldest first.
        self._drained = False
        self._silence = _SILENT_INTERVALS * settings.flush_interval_seconds
        self._silent_at: float | None = None  # When the input counts as silent, once computed.
        self._ends_at = math.inf
        self._failure: Exception | None = None
        self._in_flight = 0
        self._requests = 0  # How many were made; each one's number is its place among them.
        # An outage is the time since which each request got a fault. As long as the API accepts
        # any request, there is none, however long a batch waits.
        self._outage_since = math.inf
        self._last_fault: Answer | None = None  # None if there is no outage.
        self._taken_at = -math.inf  # When the API last processed a request.

    # What happens

    def add(self, batch: Batch) -> None:
        """Take a batch to deliver."""
        self._drained = False
        self._silent_at = None
        self._jobs.append(Job(batch))
        self._finish_jobs()

    def drain(self) -> None:
        """Note that no batch will be added until all present ones are finished."""
        self._drained = True
        self._finish_jobs()

    def stop(self, at: float) -> None:
        """Make no request after this time, or after an earlier one that was set before."""
        self._ends_at = min(self._ends_at, at)

    def fail(self, failure: Exception) -> None:
        """End the delivery. A second failure changes nothing. Answers are still taken."""
        self._failure = self._failure or failure
        self._finish_jobs()

    def give_up(self) -> None:
        """End the delivery without waiting for answers; each batch has the result known so far."""
        self.fail(api.stopped(self._last_fault))
        for job in list(self._jobs):
            self._finish(job)

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Take the answer to a request."""
        job = request.job
        job.in_flight = False
        self._in_flight -= 1
        self._pace.answered(request.started_at, now, answer.verdict, answer.retry_after)
        if answer.verdict in REPEATED:
            job.samples -= request.is_sample  # The answer says nothing about the event.
            self._retry(request, answer, now)
        else:
            self._taken_at = now
            self._forget_outage()
            self._take(request, answer)
        self._finish_jobs()

    # What to do

    def next(self, now: float, unix_time: float) -> Request | float:
        """Return the request to make now, or the time from which on to ask again.

        Ask again as well after each call of another method.
        """
        if self._failure is not None:
            return math.inf
        self._silent_at = self._silent_at or now + self._silence
        is_silent = now >= self._silent_at and not self._drained and self._refusals.accepted
        if is_silent and self._refusals.allows_unproven(self._undecided):
            self.drain()  # The input is as good as over, and that fails no run.
        has_ended = now >= self._ends_at
        start = math.inf if has_ended else self._start()
        if start <= now:
            job = self._next_job(now, unix_time)
            if job is not None:
                return self._request(job, now, unix_time)
            resting = (one.parts[0].ready_at for one in self._jobs if one.is_waiting)
            start = min((at for at in resting if at > now), default=math.inf)
            if math.isinf(start) and self._in_flight == 0:
                self._forget_outage()  # No further request can show whether it is over.
        if math.isinf(start) and not (self._in_flight or self._drained or has_ended):
            # More input, or its end, may come before the end of the run.
            is_next = bool(self._jobs) and now < self._silent_at
            start = self._silent_at if is_next else self._ends_at
        elif start > self._ends_at and self._jobs and not self._in_flight:
            self.fail(api.stopped(self._last_fault))
            return math.inf
        return start if has_ended else min(start, self._ends_at)

    @property
    def is_full(self) -> bool:
        """Whether enough batches still have something to send, those in flight among them.

        These are twice as many as may be in flight, but at least 6. While events of a batch have
        failed, they are as many as the pool may hold, because failures must be compared with other
        batches.
        """
        failed = any(one.refused_at is not None or one.failed_at < math.inf for one in self._jobs)
        most = self._size if failed else max(_FEWEST, 2 * self._pace.window)
        return self.unsent >= min(most, self._size)

    @property
    def unsent(self) -> int:
        """How many batches do more than wait for the proof that their refused events are bad."""
        return sum(bool(job.parts) for job in self._jobs)

    def status(self) -> DeliveryStatus:
        """Return how far the delivery is, and whether there is an outage."""
        return DeliveryStatus(
            batches=len(self._jobs),
            waiting=sum(job.is_waiting for job in self._jobs),
            window=self._pace.window,
            rate=self._pace.rate,
            fault=self._last_fault.detail if self._last_fault else None,
            since=self._outage_since,
        )

    def _start(self) -> float:
        """Return when the next request may start; infinite if that depends on an answer."""
        if self._refusals.suspects and self._in_flight >= MOST_SAMPLES:
            return math.inf
        start = self._pace.next_start()
        start = math.inf if start is None else start
        if self._in_flight == 0:
            # One more request at the end of the budget shows whether the API is back.
            start = min(start, max(self._outage_ends_at, self._pace.allowed_at))
        return start

    def _next_job(self, now: float, unix_time: float) -> Job | None:
        """Choose the job for the next request, and prepare its first part."""
        while job := self._sample(now) if self._refusals.suspects else self._oldest(now):
            job.drop_old(unix_time)
            if job.parts:
                return job
            self._finish_jobs()
        return None

    def _oldest(self, now: float) -> Job | None:
        """Return the oldest job with a request to make, but those that seem at fault last."""
        reserve = self._reserve(now)
        deferred = []
        for job in self._jobs:
            if job.is_waiting and job.parts[0].ready_at <= now and job is not reserve:
                if self._refusals.accepted_after(job.parts[0].failed_at):
                    return job
                deferred.append(job)
        return min(deferred, key=lambda job: job.parts[0].failed_at, default=None)

    def _reserve(self, now: float) -> Job | None:
        """Return the batch that is kept back to compare others with, while bad events are found."""
        refused = (job for job in self._jobs if job.refused_at is not None and job.parts)
        if not any(job.parts[0].ready_at <= now for job in refused):
            return None
        untried = (job for job in reversed(self._jobs) if job.refused_at is None)
        return next((job for job in untried if job.is_waiting), None)

    def _sample(self, now: float) -> Job | None:
        """Choose the job that gives a sample; None if there is none, or none before more input."""
        waiting = [job for job in reversed(self._jobs) if job.is_waiting]
        ready = (job for job in waiting if job.parts[0].ready_at <= now)
        job = min(ready, key=lambda job: (job.refused_at is not None, job.samples), default=None)
        if job is None:
            return None
        more_may_come = not self._drained and not self.is_full
        if more_may_come and job.samples >= _SAMPLES_BEFORE_MORE_INPUT:
            return None
        job.take_sample()
        return job

    def _request(self, job: Job, now: float, unix_time: float) -> Request:
        self._requests += 1
        self._in_flight += 1
        job.in_flight = True
        job.result.requests += 1
        self._pace.started(now)
        left = max(self._outage_ends_at - now, _SHORTEST_TIMEOUT)
        return Request(
            number=self._requests,
            job=job,
            conversions=job.parts[0].events,
            seconds=min(self._settings.request_timeout_seconds, left),
            is_sample=self._refusals.suspects,
            started_at=now,
            sent_at=unix_time,
            body=request_body(job.parts[0].events),
        )

    # What an answer means

    def _take(self, request: Request, answer: Answer) -> None:
        match answer.verdict:
            case Verdict.ACCEPTED | Verdict.PARTLY:
                self._refusals.accept(request.number)
                request.job.accept(answer, request.sent_at)
            case Verdict.UNCONFIRMED:
                request.job.give_up("unconfirmed", None)
            case Verdict.REFUSED:
                self._refuse(request, answer)
            case Verdict.ROTATED:
                request.job.result.retries += 1
            case _:
                accepted = self._refusals.accepted_after(0)
                self.fail(api.ended_by(answer, self._settings, accepted=accepted))

    def _refuse(self, request: Request, answer: Answer) -> None:
        self._refusals.refuse(self._requests, is_sample=request.is_sample)
        request.job.refuse(answer, self._requests)
        few = self._drained and self._refusals.allows_unproven(self._undecided)
        if self._refusals.proves_wrong and not few:
            self.fail(api.all_refused(self._refusals.in_a_row, answer.detail))

    # What a fault means

    @property
    def _outage_ends_at(self) -> float:
        """When an outage ends the run; infinite if there is none."""
        return self._outage_since + self._settings.max_retry_seconds

    def _forget_outage(self) -> None:
        self._outage_since = math.inf
        self._last_fault = None

    def _retry(self, request: Request, answer: Answer, now: float) -> None:
        """Let a part be sent again, or end the delivery if the API accepts nothing for too long."""
        job = request.job
        job.result.throttled += answer.is_throttled
        job.result.retries += not answer.is_throttled
        self._outage_since = min(self._outage_since, max(request.started_at, self._taken_at))
        self._last_fault = answer
        is_asked_too_much = answer.retry_after > self._settings.max_retry_seconds
        if is_asked_too_much or (now >= self._outage_ends_at and not self._give_up_last(answer)):
            self.fail(api.outage(answer, self._settings))
        elif job.parts:
            self._note_fault(job, answer, now)

    def _note_fault(self, job: Job, answer: Answer, now: float) -> None:
        """Count a fault of a part, and let it rest.

        At the end of a run there may be nothing to compare a batch with but its own parts. So it is
        halved in any case when a quarter of `max_retry_seconds` is over without an acceptance.
        """
        part = job.parts[0]
        passed, part.failed_at = part.failed_at, self._requests
        if answer.verdict is Verdict.STARVED:  # That says nothing of the events.
            return
        if self._refusals.accepted_after(passed):
            part.faults += _THROTTLED if answer.is_throttled else 1.0
        job.failed_at = min(job.failed_at, self._requests)
        late_at = self._outage_since + _LATE * self._settings.max_retry_seconds
        is_late = now >= late_at and self._drained and self.unsent <= _FEW_LEFT
        if len(part.events) > 1 and (is_late or part.faults >= _MOST_FAULTS):
            job.halve()
        elif part.faults >= _MOST_FAULTS:
            job.give_up("api_error", answer.detail)
        elif is_late or part.faults >= 1:
            job.postpone()
            part.ready_at = min(now + part.faults, self._outage_ends_at)  # A second for each.

    def _give_up_last(self, answer: Answer) -> bool:
        """Give up the last events of a run if they cause the faults; return whether they do.

        They do if only single events are left, on each of which the API has failed, while it
        accepted a request that was made after the first fault of their batch.
        """
        left = [job for job in self._jobs if job.parts]
        parts = [part for job in left for part in job.parts]
        are_stuck = all(len(part.events) == 1 and part.faults > 0 for part in parts)
        is_api_up = all(self._refusals.accepted_after(job.failed_at) for job in left)
        if self._in_flight or not (self._drained and are_stuck and is_api_up):
            return False
        for job in left:
            while job.parts:
                job.give_up("api_error", answer.detail)
        self._forget_outage()  # More events may come after others of the store.
        return True

    # What is finished

    def _finish_jobs(self) -> None:
        """Put the results of jobs that ended, and of parts that were delivered, into `finished`."""
        for job in self._jobs:
            if job.refused and self._refusals.accepted_after(job.refused_at or 0):
                job.prove_refusals()
        if self._drained and self._failure is None and not self.unsent:
            self._end_input()
        for job in [job for job in self._jobs if not job.in_flight]:
            if self._failure is not None or not (job.parts or job.refused):
                self._finish(job)
            elif job.result.delivered:
                self.finished.append(job.result.split_off())

    def _end_input(self) -> None:
        """Decide about refused events when nothing is left to compare them with."""
        unproven = [job for job in self._jobs if job.refused]
        if not self._refusals.allows_unproven(self._undecided):
            detail = str(unproven[-1].refused[-1].detail)
            self._failure = api.all_refused(self._refusals.in_a_row, detail)
            return
        self._refusals.unproven += self._undecided
        for job in unproven:
            job.result.unproven += len(job.refused)
            job.prove_refusals()

    def _finish(self, job: Job) -> None:
        """Return the last result of a job, which has failed if an event has no outcome."""
        self._jobs.remove(job)
        if job.parts or job.refused:
            job.result.failure = self._failure
        self.finished.append(job.result)

    @property
    def _undecided(self) -> int:
        """The number of events without an outcome."""
        left = (len(part.events) for job in self._jobs for part in job.parts)
        return sum(left) + sum(len(job.refused) for job in self._jobs)
