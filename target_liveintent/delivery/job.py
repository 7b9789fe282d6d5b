"""The delivery of one batch: what is still to be sent, and the outcome of the rest."""

from __future__ import annotations

import operator
from typing import NamedTuple

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.isolation import Isolation
from target_liveintent.delivery.model import Batch, BatchResult, Undelivered

MOST_FAULTS = 10
"""Faults of one part, with other requests accepted in between, after which the part is at fault."""
_expires_at = operator.attrgetter("expires_at")
_SPREAD = 0.618
"""Multiples of the golden ratio, without their integer part, lie far from each other."""


class Refused(NamedTuple):
    """A refused event that waits for the proof that the settings are right.

    Attributes:
        undelivered: What it becomes then.
        newest: The number of the newest request that was made when the refusal came.
    """

    undelivered: Undelivered
    newest: int


class Job:
    """The delivery of one batch. At most one request of it is in flight.

    Attributes:
        result: What became of the batch so far.
        isolation: What is still to be sent.
        refused: The events whose refusal is not proven yet.
        was_refused: Whether the API refused a request of it.
        in_flight: Whether a request is in flight.
        ready_at: Monotonic seconds before which it is not sent again after a fault.
        accepted_at_fault: How many requests of the run were accepted when it last got a fault.
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
        self._accepted_at_first_fault: int | None = None

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

    def note_fault(self, accepted: int) -> None:
        """Note that a request of it got a fault, when so many of the run were accepted."""
        self.accepted_at_fault = accepted
        if self._accepted_at_first_fault is None:
            self._accepted_at_first_fault = accepted

    def blame(self, answer: Answer, accepted: int, *, alone: bool) -> int:
        """Count a fault of the part; after too many, halve it, or give up a single event.

        Args:
            answer: The fault.
            accepted: How many requests of the run were accepted until now.
            alone: Whether all other batches get faults as well, so that none is accepted.

        Returns:
            How many faults of this part count.
        """
        faults = self.isolation.faults
        faults.add(accepted, alone=alone)
        if faults.count < MOST_FAULTS:
            self.isolation.postpone()
        elif len(self.isolation.part) > 1:
            self.isolation.halve()
        elif accepted > (self._accepted_at_first_fault or 0):
            self._give_up("api_error", answer.detail)
        else:
            self.isolation.postpone()
        return faults.count

    def prove_refusals(self) -> None:
        """Give the refused events their outcome."""
        self.result.undelivered += [refused.undelivered for refused in self.refused]
        self.refused.clear()

    def finished(self, failure: Exception | None = None) -> BatchResult:
        """Return the result; what is undelivered is in the order of the records."""
        if self.result.undelivered:
            place = {id(one): n for n, one in enumerate(self.result.batch.conversions)}
            self.result.undelivered.sort(key=lambda one: place[id(one.conversion)])
        self.result.failure = failure
        return self.result

    def _give_up(self, reason: str, detail: str | None) -> None:
        self.result.undelivered += [Undelivered(one, reason, detail) for one in self.isolation.part]
        self.isolation.settled()
