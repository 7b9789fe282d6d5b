"""Decides what is sent next, when, and what each answer means: a state machine without I/O.

    add        a batch arrived           ┐            ┌ next      a request to make now, or when
    answered   an answer came            ├─► machine ─┤           to ask again
    drain      nothing more comes        │            └ finished  the results of batches
    stop       the run must end soon     ┘

It has no clock, socket or thread: times are passed in, and a caller makes the requests (pool.py).
pace.py says when the next request may start, and refusals.py whether the API refuses everything.

A batch is a flat list of *parts*: events that are sent together. At first it is one part. A request
has the events of one part, and each batch has at most one request in flight. The table says what
becomes of a part after its request (`Job`, model.py). *Halved* means that its halves take its place
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
| 413, several events | It is halved. No event is at fault. Requests that are as large as this one \
are halved before they are sent. |
| 408, 425, 429 or 503, or no answer in time | It is sent again. |
| no file descriptor is left | It is sent again, after other batches. |
| another 5xx, or no connection | It is sent again, after other parts and batches. |
| ten such failures while the API accepts other requests, several events | It is halved. |
| ten of them (twenty if one is a 429 or 503), one event | The event becomes a dead letter \
(`api_error`). |
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

from target_liveintent.conversions import Conversion, request_body
from target_liveintent.delivery import api
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus, Job, Part
from target_liveintent.delivery.pace import Pace, Signal
from target_liveintent.delivery.refusals import MOST_SAMPLES, Refusals
from target_liveintent.settings import Settings

_MOST_FAULTS = 10
"""After this number of faults that count, a part is halved, and a single event is given up."""
_MOST_THROTTLED = 20
"""The same for a single event if one of the answers was a 429 or 503. A limit may cause these by
chance, but not so often while the API accepts other requests."""
_FEW_FAULTS = 3
"""The same for a single event near the end of the budget, if nothing else is left to send."""
_FEW_LEFT = 3
"""In at most so many batches at the end of a run, failing events are found within the budget."""
_LATE = 0.25
"""The share of the budget after which these batches are halved."""
_FIRST_PAUSE = 0.2
"""Seconds for which a batch rests after the first fault that counts; each further one doubles them
and adds as many."""
_LONGEST_PAUSE = 10.0
_SHORTEST_TIMEOUT = 5.0
"""Seconds that each request may take, however little of the budget is left: an API that comes back
from an outage may be slow."""
_SAMPLES_BEFORE_MORE_INPUT = 3
"""How many samples one batch gives before the run waits for other batches."""
_SILENT_INTERVALS = 2
"""After so many times `flush_interval_seconds` without a batch, the input is treated as ended.
After one, a batch of the last records may still be open; after two, it would have come."""
_SIGNALS = {
    Verdict.LIMITED: Signal.LIMITED,
    Verdict.STARVED: Signal.LIMITED,
    Verdict.FAULT: Signal.FAULT,
}
"""The verdicts after which the same part is sent again later. All others show that the API
works."""


class Request(NamedTuple):
    """A request to make.

    Attributes:
        number: Its place in the order of the run's requests, counted from 1.
        job: The delivery of its batch.
        conversions: What is sent, 1 to 100 events.
        seconds: How long it may take.
        is_sample: Whether it only serves to find out if the settings are wrong.
        started_at: When it starts.
        sent_at: The same as a Unix time.
        body: The JSON array of the events.
    """

    number: int
    job: Job
    conversions: list[Conversion]
    seconds: float
    is_sample: bool
    started_at: float
    sent_at: float
    body: bytes


class Outage:
    """The time since which each request got a fault, if that is so now.

    As long as the API accepts any request, there is no outage, however long a batch waits.

    Attributes:
        budget: Seconds after which an outage ends the run: the setting `max_retry_seconds`.
        since: When the outage began; infinite if there is none.
        last_fault: The last answer; None if there is no outage.
        taken_at: When the API took the last request.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.since = math.inf
        self.last_fault: Answer | None = None
        self.taken_at = -math.inf
        self._told_at = self._quiet_until = -math.inf  # The last `Retry-After`.

    @property
    def ends_at(self) -> float:
        """When the budget is used up; infinite if there is no outage."""
        return self.since + self.budget

    def fault(self, answer: Answer, started_at: float, now: float) -> None:
        """Note a fault that came now, and when its request started."""
        self.since = min(self.since, max(started_at, self.taken_at))
        self.last_fault = answer
        if answer.retry_after:
            self._told_at = now
            self._quiet_until = max(self._quiet_until, now + answer.retry_after)

    def forget(self) -> None:
        """Forget the outage: it is over, or no further request can show whether it is over."""
        self.since = math.inf
        self.last_fault = None

    def taken(self, started_at: float, now: float) -> None:
        """Note that the API processed a request now, even if it refused the events."""
        self.taken_at = now
        if started_at < self._told_at and now < self._quiet_until:
            self.since = now  # It was in flight when the API asked to wait, and shows nothing.
        else:
            self.forget()


class DeliveryMachine:
    """Delivers the batches of a run.

    Args:
        settings: The settings of the run.
        pace: Says when a request may start.
        refusals: Says whether the API refuses everything.
        size: The most batches that are here at the same time; the caller adds no more.

    Attributes:
        finished: The results that the caller has not taken yet.
    """

    def __init__(
        self,
        settings: Settings,
        pace: Pace,
        refusals: Refusals,
        size: int,
    ) -> None:
        self.finished: deque[BatchResult] = deque()
        self._settings = settings
        self._pace = pace
        self._refusals = refusals
        self._size = size
        self._jobs: list[Job] = []  # The oldest first.
        self._outage = Outage(settings.max_retry_seconds)
        self._drained = False
        self._silent_at: float | None = None  # When the input counts as silent.
        self._ends_at = math.inf
        self._failure: Exception | None = None
        self._in_flight = 0
        self._requests = 0  # How many were made; each one's number is its place among them.
        self._accepted = self._newest_accepted = 0  # How many were, and the highest number.
        self._throttled = 0
        self._limit: Answer | None = None  # The last answer that a request came too fast,
        self._limited_at = 0.0  # and when the first one came.
        self._fits = 0  # Bytes of the largest request that was accepted,
        self._too_large = math.inf  # and of the smallest one that was refused for its size.

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
        """End the delivery without waiting for answers; each batch has the result known so far."""
        self.fail(api.stopped(self._outage.last_fault, self._settings))
        for job in list(self._jobs):
            self._finish(job)

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Take the answer to a request."""
        job = request.job
        job.in_flight = False
        self._in_flight -= 1
        signal = _SIGNALS.get(answer.verdict, Signal.TAKEN)
        self._pace.answered(request.started_at, now, signal, answer.retry_after)
        if signal is Signal.TAKEN:
            self._outage.taken(request.started_at, now)
            self._take(request, answer)
        else:
            job.samples -= request.is_sample  # The answer says nothing about the event.
            self._retry(request, answer, now)
        self._finish_jobs()

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
            resting = [one.ready_at for one in self._jobs if one.is_waiting and one.ready_at > now]
            start = min(resting, default=math.inf)
            if math.isinf(start) and self._in_flight == 0:
                self._outage.forget()
        # A batch may wait for more input, or for its end: either may come before the run's end.
        is_open = math.isinf(start) and not self._drained and now < self._ends_at
        if start > self._ends_at and not (is_open or self._in_flight) and self._jobs:
            self.fail(api.stopped(self._outage.last_fault, self._settings))
            return math.inf
        if now >= self._ends_at:
            return start
        if math.isinf(start) and self._jobs and not self._in_flight:
            start = silent_at
        return min(start, self._ends_at)

    @property
    def unsent(self) -> int:
        """How many batches are not completely sent yet."""
        # What is sent stays here only while the refusal of an event is not proven.
        return sum(not job.is_sent for job in self._jobs)

    def status(self) -> DeliveryStatus:
        """Return how far the delivery is, and why it waits."""
        waiting = sum(job.is_waiting for job in self._jobs)
        rate = self._pace.rate
        status = DeliveryStatus(waiting=waiting, window=self._pace.window, rate=rate)
        if not waiting:
            return status
        if self._outage.last_fault is not None:
            reason, since = self._outage.last_fault.in_words, self._outage.since
            return status._replace(reason=reason, since=since, is_outage=True)
        if self._refusals.suspects:
            reason = f"the API has refused the last requests ({self._refusals.in_a_row})"
            return status._replace(reason=reason, since=self._outage.taken_at)
        if rate is not None and self._limit is not None:
            return status._replace(reason=self._limit.in_words, since=self._limited_at)
        return status

    def _note_silence(self, now: float) -> float:
        """Treat a silent input as its end if this fails no run; return when the silence begins."""
        if self._silent_at is None:
            self._silent_at = now + _SILENT_INTERVALS * self._settings.flush_interval_seconds
        if self._drained or not self._jobs:
            return math.inf
        if now < self._silent_at:
            return self._silent_at
        if self._refusals.accepted and self._refusals.allows_unproven(self._undecided):
            self.drain()
        return math.inf

    def _start(self) -> float:
        """Return when the next request may start; infinite if that depends on an answer."""
        if self._refusals.suspects and self._in_flight >= MOST_SAMPLES:
            return math.inf
        start = self._pace.next_start()
        if self._in_flight == 0:
            # One more request at the end of the budget shows whether the API is back.
            last = max(self._outage.ends_at, self._pace.allowed_at)
            return min(last, math.inf if start is None else start)
        return math.inf if start is None else start

    def _next_job(self, now: float, unix_time: float) -> Job | None:
        """Choose the job for the next request, and prepare its first part."""
        while job := self._sample(now) if self._refusals.suspects else self._oldest(now):
            job.drop_old(unix_time)
            while job.parts and self._is_too_large(job.parts[0].events):
                job.halve()
                job.drop_old(unix_time)  # The first part may be a different one now.
            if job.parts:
                return job
            self._finish_jobs()
        return None

    def _oldest(self, now: float) -> Job | None:
        """Return the oldest job whose next request may be made now.

        Those that seem to be at fault come last, the one that waits longest first.
        """
        reserve = self._reserve(now)
        deferred = []
        for job in self._jobs:
            if job.is_waiting and job.ready_at <= now and job is not reserve:
                if job.deferred_at[0] != self._accepted:
                    return job
                deferred.append(job)
        return min(deferred, key=lambda job: job.deferred_at, default=None)

    def _reserve(self, now: float) -> Job | None:
        """Return the batch that is kept back to compare others with, while bad events are found."""
        refused = (job for job in self._jobs if job.refused_at is not None and not job.is_sent)
        if not any(job.ready_at <= now for job in refused):
            return None
        untried = (job for job in reversed(self._jobs) if job.refused_at is None)
        return next((job for job in untried if job.is_waiting), None)

    def _sample(self, now: float) -> Job | None:
        """Choose the job whose single event is sent next, far away from the previous samples.

        None if there is no event, or if it is better to wait until there are other batches.
        """
        ready = [job for job in reversed(self._jobs) if job.is_waiting and job.ready_at <= now]
        job = min(ready, key=lambda job: (job.refused_at is not None, job.samples), default=None)
        if job is None:
            return None
        more_may_come = not self._drained and self.unsent < self._size
        if more_may_come and job.samples >= _SAMPLES_BEFORE_MORE_INPUT:
            return None
        job.take_sample()
        return job

    def _is_too_large(self, events: list[Conversion]) -> bool:
        """Return whether a request would be as large as one that was refused for its size."""
        is_known = self._too_large < math.inf and len(events) > 1
        return is_known and len(request_body(events)) >= self._too_large

    def _request(self, job: Job, now: float, unix_time: float) -> Request:
        self._requests += 1
        self._in_flight += 1
        job.in_flight = True
        job.result.requests += 1
        self._pace.started(now)
        left = max(self._outage.ends_at - now, _SHORTEST_TIMEOUT)
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
        """Act on an answer that is neither a fault nor throttling."""
        match answer.verdict:
            case Verdict.ACCEPTED | Verdict.PARTLY:
                self._accepted += 1
                self._newest_accepted = max(self._newest_accepted, request.number)
                self._fits = max(self._fits, len(request.body))
                self._refusals.accept(request.number)
                request.job.accept(answer, request.sent_at)
            case Verdict.UNCONFIRMED:
                request.job.give_up("unconfirmed", None)
            case Verdict.REFUSED:
                self._refuse(request, answer)
            case Verdict.ROTATED:
                request.job.result.retries += 1
            case _:
                accepted = self._accepted > 0
                self.fail(api.ended_by(answer, self._settings, accepted=accepted))

    def _refuse(self, request: Request, answer: Answer) -> None:
        if not answer.proves_bad_event:
            self._note_size(request)
        self._refusals.refuse(self._requests, is_sample=request.is_sample)
        request.job.refuse(answer, self._requests)
        few = self._drained and self._refusals.allows_unproven(self._undecided)
        if self._refusals.proves_wrong and not few:
            self.fail(api.all_refused(self._refusals.in_a_row, answer.detail))

    def _note_size(self, request: Request) -> None:
        """Note that a request got a 413.

        Its size is not at fault if the API accepted more bytes, or if it has no other event.
        """
        size = len(request.body)
        if len(request.conversions) == 1:
            self._too_large = math.inf  # Larger requests may have been refused for this event.
        elif self._fits < size:
            self._too_large = min(self._too_large, size)

    def _retry(self, request: Request, answer: Answer, now: float) -> None:
        """Let a part be sent again, or end the delivery if the API accepts nothing for too long."""
        job, outage = request.job, self._outage
        job.result.throttled += answer.is_throttled
        job.result.retries += not answer.is_throttled
        outage.fault(answer, request.started_at, now)
        is_asked_too_much = (answer.retry_after or 0.0) > outage.budget
        if now < outage.ends_at and not is_asked_too_much:
            self._note_fault(job, answer, now)
        elif self._drained and not self._in_flight and self._give_up_last(answer):
            outage.forget()  # The events are at fault; more may come after others of the store.
        else:
            self.fail(api.outage(answer, self._settings))

    def _note_fault(self, job: Job, answer: Answer, now: float) -> None:
        """Count a fault of a part, and let its batch rest.

        A part that gets faults again and again while other requests are accepted is halved, and a
        single event is given up. At the end of a run there may be nothing to compare a batch with
        but its own parts. So it is halved in any case when a quarter of `max_retry_seconds` is over
        without an acceptance.
        """
        part = job.parts[0]
        if answer.verdict is Verdict.STARVED:  # That says nothing of the events.
            job.deferred_at = (self._accepted, self._requests)
            job.ready_at = min(now + _FIRST_PAUSE, self._outage.ends_at)
            return
        self._count_fault(job, part, answer)
        late_at = self._outage.since + _LATE * self._outage.budget
        is_late = now >= late_at and self._drained and self.unsent <= _FEW_LEFT
        if answer.is_throttled:
            self._limited_at = now if self._limit is None else self._limited_at
            self._limit = answer
        if part.counted >= 1 or is_late:
            most = _MOST_THROTTLED if part.was_throttled else _MOST_FAULTS
            is_single = len(part.events) == 1
            job.deferred_at = (self._accepted, self._requests)
            job.blamed_at = self._requests if job.blamed_at is None else job.blamed_at
            if not is_single and (is_late or part.counted >= _MOST_FAULTS):
                job.halve()
            elif is_single and part.counted >= most and self._is_to_blame(job):
                job.give_up("api_error", answer.detail)
            else:
                job.postpone(self._requests)
        counted = min(job.parts[0].counted if job.parts else 0, _MOST_FAULTS)
        pause = min(_FIRST_PAUSE * (2**counted - 1), _LONGEST_PAUSE)
        job.ready_at = min(now + pause, self._outage.ends_at)

    def _count_fault(self, job: Job, part: Part, answer: Answer) -> None:
        """Count a fault of a part if its events may be the cause."""
        good, others = self._accepted - part.accepted, self._throttled - part.throttled
        if answer.is_throttled:
            part.was_throttled = True
            self._throttled += 1
            part.counted += bool(good and part.faults and not others)
        elif good or not part.counted or self._all_fail(job):
            part.counted += 1
        part.faults += 1
        part.accepted, part.throttled = self._accepted, self._throttled

    def _all_fail(self, job: Job) -> bool:
        """Return whether all other batches fail as well, so that none of them goes first."""
        others = (one for one in self._jobs if one.parts and one is not job)
        return all(one.deferred_at[0] == self._accepted for one in others)

    def _is_to_blame(self, job: Job) -> bool:
        """Return whether a request was accepted that was made after the first fault of the batch.

        One that was under way then does not show that the API accepts others.
        """
        return job.blamed_at is not None and self._newest_accepted > job.blamed_at

    def _give_up_last(self, answer: Answer) -> bool:
        """Give up the last events of a run if they cause the faults; return whether they do.

        They are if only single events are left on which the API fails, while it accepted others.
        """
        left = [job for job in self._jobs if job.parts]
        parts = [part for job in left for part in job.parts]
        are_stuck = all(len(one.events) == 1 and one.faults >= _FEW_FAULTS for one in parts)
        if len(left) > _FEW_LEFT or not are_stuck or not all(map(self._is_to_blame, left)):
            return False
        for job in left:
            while job.parts:
                job.give_up("api_error", answer.detail)
        return True

    # What is finished

    def _finish_jobs(self) -> None:
        """Put the results of jobs that are finished, or in part delivered, into `finished`."""
        for job in self._jobs:
            if job.refused and self._refusals.has_passed(job.refused_at or 0):
                job.prove_refusals()
        if self._drained and self._failure is None and all(job.is_sent for job in self._jobs):
            self._end_input()
        for job in [job for job in self._jobs if not job.in_flight]:
            if self._failure is not None or not (job.parts or job.refused):
                self._finish(job)
            elif job.result.delivered:
                self.finished.append(job.result.split_off())

    def _end_input(self) -> None:
        """Decide about refused events when nothing is left to compare them with."""
        unproven = [job for job in self._jobs if job.refused]
        events = sum(len(job.refused) for job in unproven)
        if events and self._ends_at < math.inf and not self._refusals.accepted:
            # The run was stopped before it could find out whether the settings are right.
            self._failure = api.stopped(self._outage.last_fault, self._settings)
        elif not self._refusals.allows_unproven(events):
            detail = str(unproven[-1].refused[-1].detail)
            self._failure = api.all_refused(self._refusals.in_a_row, detail)
        else:
            self._refusals.leave_unproven(events)
            for job in unproven:
                job.result.unproven += len(job.refused)
                job.prove_refusals()

    def _finish(self, job: Job) -> None:
        """Return the last result of a job, which has failed if an event has no outcome."""
        self._jobs.remove(job)
        has_outcomes = job.is_sent and not job.refused
        self.finished.append(job.finished(None if has_outcomes else self._failure))

    @property
    def _undecided(self) -> int:
        """The number of events without an outcome."""
        return sum(job.undecided for job in self._jobs)
