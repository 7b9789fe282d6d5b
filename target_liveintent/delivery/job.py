"""The delivery of one batch: what is still to be sent, and the outcome of the rest."""

from __future__ import annotations

import operator
from typing import NamedTuple

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.isolation import Isolation
from target_liveintent.delivery.model import Batch, BatchResult, Undelivered

MOST_FAULTS = 10
"""Faults of one part, with other requests accepted in between, after which the part is at fault."""
MOST_THROTTLED = 20
"""The same for a single event that the API says came too fast (429, 503): a limit may do that by
chance, but not so often while it takes others."""
_FEW_THROTTLED = 3
"""The same answers to a part from which on it lets others go first now and then."""
_FEW_FAULTS = 3
"""Faults of a single event, with nothing else to send, before the end of the budget."""
_SPREAD = 0.618
"""Multiples of the golden ratio, without their integer part, lie far from each other."""
_expires_at = operator.attrgetter("expires_at")


class Refused(NamedTuple):
    """A refused event that waits for the proof that the settings are right.

    Attributes:
        undelivered: What it becomes then.
        newest: The number of the newest request that was made when the refusal came.
    """

    undelivered: Undelivered
    newest: int


class Progress(NamedTuple):
    """What became of the requests of a run until now.

    Attributes:
        requests: How many were made; each one's number is its place among them.
        newest_accepted: The highest number of those that were accepted.
        accepted: How many were accepted.
        throttled: How many came too fast.
    """

    requests: int = 0
    newest_accepted: int = 0
    accepted: int = 0
    throttled: int = 0


class Job:
    """The delivery of one batch. At most one request of it is in flight.

    Attributes:
        result: What became of the batch since its last result.
        isolation: What is still to be sent.
        refused: The events whose refusal is not proven yet.
        was_refused: Whether the API refused a request of it.
        in_flight: Whether a request is in flight.
        ready_at: Monotonic seconds before which it is not sent again after a fault.
        accepted_at_fault: How many requests of the run were accepted when it last got a fault.
        lets_pass: The number of the run's newest request when it last had to let another go first.
        samples: How many single events of it were asked about as samples.
    """

    def __init__(self, batch: Batch) -> None:
        self.result = BatchResult(batch)
        self.isolation = Isolation(batch.conversions)
        self.refused: list[Refused] = []
        self.was_refused = False
        self.in_flight = False
        self.ready_at = 0.0
        self.samples = 0
        self.accepted_at_fault: int | None = None
        self.lets_pass: int | None = None
        self._newest_at_first_fault: int | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a request of it is to be made, and none is in flight."""
        return not (self.in_flight or self.isolation.is_done)

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send."""
        return not self.in_flight and self.isolation.is_done

    def drop_old(self, unix_time: float) -> None:
        """Give the events that are too old their outcome; one such event spoils a whole request."""
        while part := self.isolation.part:
            if unix_time < min(map(_expires_at, part)):  # The usual case, in a fifth of the time.
                return
            young = [conversion for conversion in part if unix_time < conversion.expires_at]
            self.result.undelivered += [
                Undelivered(conversion, "event_too_old")
                for conversion in part
                if unix_time >= conversion.expires_at
            ]
            self.isolation.keep(young)

    def take_sample(self) -> None:
        """Ask about a single event next; each time it lies somewhere else in the batch."""
        self.samples += 1
        self.isolation.sample(self.samples * _SPREAD % 1)

    def accept(self, answer: Answer, sent_at: float) -> None:
        """Note that the API processed the part that was sent, but for those that it names."""
        delivered = self.isolation.part
        if answer.verdict is Verdict.ACCEPTED:
            self.result.confirmed += delivered
        else:
            named = [one for one in delivered if one.event_id in answer.not_processed]
            self.result.undelivered += [Undelivered(one, "not_processed") for one in named]
            delivered = [one for one in delivered if one.event_id not in answer.not_processed]
        self.result.delivered += delivered
        self.result.sent_at += [sent_at] * len(delivered)
        self.isolation.settled(all_good=answer.verdict is Verdict.ACCEPTED)

    def leave_unconfirmed(self) -> None:
        """Note that the API processed an unknown part of what was sent."""
        self._give_up("unconfirmed", None)

    def refuse(self, answer: Answer, newest: int) -> None:
        """Note that the API refused the part; a single event is found bad by that."""
        part = self.isolation.part
        self.was_refused = True
        if len(part) == 1:
            undelivered = Undelivered(part[0], "refused_by_api", answer.detail)
            self.refused.append(Refused(undelivered, newest))
            self.isolation.settled()
        elif answer.proves_bad_event:
            self.isolation.refused()
        else:
            self.isolation.halve()

    def note_fault(self, run: Progress) -> None:
        """Note that a request of it got a fault, and how far the run is."""
        self.accepted_at_fault = run.accepted
        self._note_first_fault(run)

    def blame(self, answer: Answer, run: Progress, *, alone: bool, late: bool) -> float:
        """Count a fault of the part; after too many, halve it, or give up a single event.

        Args:
            answer: The fault.
            run: How far the run is.
            alone: Whether all other batches get faults as well, so that none is accepted.
            late: As in `throttle`.

        Returns:
            How many faults of this part count.
        """
        faults = self.isolation.faults
        faults.add(run.accepted, alone=alone)
        most = MOST_THROTTLED if faults.was_throttled else MOST_FAULTS
        if not self._has_ended(answer, run, most, late=late):
            self.isolation.postpone()
        return self._counted

    def throttle(self, answer: Answer, run: Progress, *, late: bool) -> float:
        """Count that the part came too fast; do the same as after a fault if that is not by chance.

        Args:
            answer: The answer that says so.
            run: How far the run is; this answer is counted.
            late: Whether there is little time left to find out which part gets faults, and nothing
                else to send.

        Returns:
            How many answers to this part count as faults.
        """
        faults = self.isolation.faults
        faults.throttle(run.accepted, run.throttled)
        if late or faults.total >= _FEW_THROTTLED:
            self.lets_pass = run.requests
            self._note_first_fault(run)
            if not self._has_ended(answer, run, MOST_THROTTLED, late=late):
                self.isolation.postpone()
        return self._counted

    def is_stuck(self, run: Progress) -> bool:
        """Return whether only single events are left on which the API fails, while it works.

        Args:
            run: How far the run is.
        """
        return self._is_to_blame(run) and self.isolation.is_stuck(_FEW_FAULTS)

    def give_up(self, answer: Answer) -> None:
        """Give up all events that are left because of this fault."""
        while self.isolation.part:
            self._give_up("api_error", answer.detail)

    @property
    def _counted(self) -> float:
        """How many faults of the part that is next count."""
        return self.isolation.faults.count if self.isolation.part else 0.0

    def _note_first_fault(self, run: Progress) -> None:
        if self._newest_at_first_fault is None:
            self._newest_at_first_fault = run.requests

    def _is_to_blame(self, run: Progress) -> bool:
        """Return whether a request was accepted that was made after the first fault of the batch.

        One that was under way then does not show that the API accepts others.
        """
        first = self._newest_at_first_fault
        return first is not None and run.newest_accepted > first

    def _has_ended(self, answer: Answer, run: Progress, most: int, *, late: bool) -> bool:
        """Halve the part, or give up a single event, if so many faults are too many."""
        count = self.isolation.faults.count
        if len(self.isolation.part) > 1 and (late or count >= MOST_FAULTS):
            self.isolation.halve()
        elif len(self.isolation.part) == 1 and count >= most and self._is_to_blame(run):
            self._give_up("api_error", answer.detail)
        else:
            return False
        return True

    def prove_refusals(self) -> None:
        """Give the refused events their outcome."""
        self.result.undelivered += [refused.undelivered for refused in self.refused]
        self.refused.clear()

    def finished(self, failure: Exception | None = None) -> BatchResult:
        """Return the last result; what is undelivered is in the order of the records."""
        if self.result.undelivered:
            place = {id(one): n for n, one in enumerate(self.result.batch.conversions)}
            self.result.undelivered.sort(key=lambda one: place[id(one.conversion)])
        self.result.failure = failure
        return self.result

    def _give_up(self, reason: str, detail: str | None) -> None:
        self.result.undelivered += [Undelivered(one, reason, detail) for one in self.isolation.part]
        self.isolation.settled()
