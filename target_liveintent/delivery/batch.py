"""Batches, which go into delivery, the parts that are sent, and the results, which come out."""

from __future__ import annotations

import math
import operator
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.api import Answer, Verdict

_GOLDEN_RATIO = 0.618  # The fractional parts of its multiples are far away from each other.
_expires_at = operator.attrgetter("expires_at")


class Batch(msgspec.Struct, eq=False):
    """Conversions of one stream that are sent together."""

    number: int  # Its place in the order in which the run opened batches, counted from 0.
    stream: str
    opened_at: float  # Monotonic seconds when its first conversion came.
    conversions: list[Conversion]  # 1 to 100, in the order of their records.


class BatchResult(msgspec.Struct, eq=False):
    """The outcome of a batch, or what was delivered of it so far.

    The rest may be refused, or fail, for long, and the ledger must learn what is confirmed.
    """

    batch: Batch
    delivered: list[Conversion] = msgspec.field(default_factory=list)
    sent_at: list[float] = msgspec.field(default_factory=list)  # The Unix time of each of these.
    confirmed: list[Conversion] = msgspec.field(default_factory=list)  # Those of them with a 204.
    undelivered: list[Rejection] = msgspec.field(default_factory=list)
    unproven: int = 0  # How many of these were refused, and nothing was left to compare them with.
    requests: int = 0  # The number of POSTs, retries included.
    retries: int = 0  # How many of them were sent again because of a fault.
    throttled: int = 0  # How many of them came too fast for the API (429, 503).
    failure: Exception | None = None  # It ended the delivery before all events had an outcome.
    is_last: bool = True  # Whether the batch is finished. If not, it has only delivered events.

    def split_off(self) -> BatchResult:
        """Return a first result with the events delivered so far, and keep the others."""
        done = self.delivered, self.sent_at, self.confirmed
        self.delivered, self.sent_at, self.confirmed = [], [], []
        return BatchResult(self.batch, *done, is_last=False)


class Part(msgspec.Struct, eq=False):
    """Events that are sent together, at least one, and how often that failed."""

    events: list[Conversion]
    # Failed requests. One counts only if the API accepted another that was made after the fault
    # before it, and a 429 or 503 only as a quarter.
    faults: float = 0.0
    failed_at: int = -1  # The number of the run's newest request when one last failed.
    ready_at: float = 0.0  # Monotonic seconds before which it is not sent again.


class Job:
    """The delivery of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.result = BatchResult(batch)  # What became of the batch since its last result.
        self.parts = [Part(batch.conversions)]  # Without an outcome; the first one is sent next.
        self.refused: list[Rejection] = []  # The events whose refusal is not proven yet.
        # The number of the run's newest request when the API last refused one of this batch,
        self.refused_at: int | None = None
        self.failed_at = math.inf  # and when one of it first failed.
        self.in_flight = False  # Whether a request is in flight, with the first part.
        self.samples = 0  # How many single events of it were sent as samples.
        # The second part, if it has a bad event should the API accept all events of the first.
        self._other_half: Part | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the job has something to send, and no request in flight."""
        return bool(self.parts) and not self.in_flight

    # What becomes of the first part

    def drop_old(self, unix_time: float) -> None:
        """Reject the events that are too old, because one of them makes a whole request fail."""
        while self.parts and unix_time >= min(map(_expires_at, self.parts[0].events)):
            events = self.parts[0].events
            old = [event for event in events if unix_time >= event.expires_at]
            rejections = (one.rejected("event_too_old", "event_time", None) for one in old)
            self.result.undelivered += rejections
            self._other_half = None  # The part no longer proves that the other has a bad event.
            if young := [event for event in events if unix_time < event.expires_at]:
                self.parts[0] = Part(young)  # The old events may have caused its faults.
            else:
                self._settle()

    def accept(self, answer: Answer, sent_at: float) -> None:
        """Note that the API processed the events, except those that the answer names."""
        delivered, named = self.parts[0].events, answer.not_processed
        if answer.verdict is Verdict.ACCEPTED:
            self.result.confirmed += delivered
        else:
            left_out = [event for event in delivered if event.event_id in named]
            delivered = [event for event in delivered if event.event_id not in named]
            self.result.undelivered += [
                one.rejected("not_processed", None, None) for one in left_out
            ]
        self.result.delivered += delivered
        self.result.sent_at += [sent_at] * len(delivered)
        self._settle(all_good=answer.verdict is Verdict.ACCEPTED)

    def refuse(self, answer: Answer, newest: int) -> None:
        """Note that the API refused the part; if it is a single event, this event is bad."""
        self.refused_at = newest
        events = self.parts[0].events
        if len(events) > 1:
            is_too_large = answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            self.halve(has_bad_event=not is_too_large)
        else:
            self.refused.append(events[0].rejected("refused_by_api", None, answer.detail))
            self._settle()

    def give_up(self, reason: str, detail: str | None) -> None:
        """Give the events of the part this outcome."""
        events = self.parts[0].events
        self.result.undelivered += [event.rejected(reason, None, detail) for event in events]
        self._settle()

    def halve(self, *, has_bad_event: bool = False) -> None:
        """Put the halves of the part into its place."""
        events = self.parts.pop(0).events
        middle = len(events) // 2
        left, right = Part(events[:middle]), Part(events[middle:])
        self.parts[:0] = [left, right]
        self._other_half = right if has_bad_event else None
        if not has_bad_event:
            self._sort()

    def postpone(self) -> None:
        """Send all other parts before this one, which has failed."""
        self._other_half = None
        self._sort()

    def take_sample(self) -> None:
        """Send a single event next, each time from another place in the batch."""
        self.samples += 1
        self._other_half = None
        part = max(self.parts, key=lambda part: len(part.events))
        self.parts.remove(part)
        if len(events := part.events) > 1:
            place = int(self.samples * _GOLDEN_RATIO % 1 * len(events))
            self.parts.append(Part([*events[:place], *events[place + 1 :]]))
            part = Part([events[place]])
        self.parts.insert(0, part)

    def prove_refusals(self) -> None:
        """Give the refused events their outcome."""
        self.result.undelivered += self.refused
        self.refused = []

    def _settle(self, *, all_good: bool = False) -> None:
        """Remove the part, as its events have their outcome."""
        right, self._other_half = self._other_half, None
        self.parts.pop(0)
        if all_good and right is not None and len(right.events) > 1:
            self.halve(has_bad_event=True)
        else:  # A single event that is left over is sent: the API must have refused it alone.
            self._sort()

    def _sort(self) -> None:
        self.parts.sort(key=lambda part: (part.failed_at, -len(part.events)))


class DeliveryStatus(NamedTuple):
    """How far delivery is."""

    batches: int = 0  # Those that are not finished.
    waiting: int = 0  # Those of them that wait for a request to start.
    window: int = 0  # The most requests that may be in flight now.
    rate: float | None = None  # The most a second that may start; None if there is no limit.
    fault: str | None = None  # The last answer, in words, if the API accepts nothing now,
    since: float = 0.0  # and since when, in monotonic seconds.
