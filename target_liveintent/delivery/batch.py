"""The batches that a run delivers, the parts in which a batch is sent, and its results."""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.outcome_table import PartKind

_GOLDEN_RATIO = 0.618  # The fractional parts of its multiples are far apart.
_expires_at = operator.attrgetter("expires_at")


class LetterKind(enum.Enum):
    """The kind of dead letter that an event already has in the store.

    Events of different kinds are sent in separate requests, in this order.
    """

    NONE = 0  # If the API refuses the event, a proof is needed that the event is bad.
    OTHER = 1  # A replay may leave such an event unsent, because its letter stays in the store.
    REFUSED = 2  # The API refused the event before: a further refusal shows nothing new.

    @classmethod
    def of(cls, conversion: Conversion) -> LetterKind:
        """Return the kind of dead letter that an event has."""
        if conversion.was_refused:
            return cls.REFUSED
        return cls.NONE if conversion.letter is None else cls.OTHER


class Batch(msgspec.Struct, eq=False):
    """Conversions of one stream that are sent together."""

    number: int  # The run numbers its batches from 0, in the order in which it opens them.
    stream: str
    opened_at: float  # When its first conversion came, in monotonic seconds.
    read_at: float  # The Unix time of the same moment.
    # 1 to `MAX_EVENTS_PER_REQUEST`, in the order of their records.
    conversions: list[Conversion]


class BatchResult(msgspec.Struct, eq=False):
    """The outcomes of a batch, or of the events that were delivered since its previous result.

    Delivered events are returned at once, because the other events may fail for a long time.
    """

    batch: Batch
    delivered: list[Conversion] = msgspec.field(default_factory=list)
    sent_at: list[float] = msgspec.field(default_factory=list)  # Unix times of `delivered`.
    # The delivered events that the API has confirmed by a 204, or a 200 that names all events. The
    # other delivered events are known from a 200 that names some events of the request.
    confirmed: list[Conversion] = msgspec.field(default_factory=list)
    undelivered: list[Rejection] = msgspec.field(default_factory=list)
    # How many refused events were rejected without a proof that they are bad.
    unproven: int = 0
    requests: int = 0  # The number of POSTs, including retries.
    # The number of POSTs that used an old token, or got a fault other than 408, 425, 429 and 503.
    retries: int = 0
    throttled: int = 0  # The number of POSTs that were answered with 408, 425, 429 or 503.
    failure: Exception | None = None  # Why the delivery ended before all events had an outcome.
    # Whether the batch is finished. If not, this result is only about delivered events.
    is_last: bool = True

    def split_off(self) -> BatchResult:
        """Move the delivered events to a new result, and return the new result."""
        done = self.delivered, self.sent_at, self.confirmed
        self.delivered, self.sent_at, self.confirmed = [], [], []
        return BatchResult(self.batch, *done, is_last=False)


class Part(msgspec.Struct, eq=False):
    """Events that are sent together, and how often the API failed on them."""

    events: list[Conversion]
    letter_kind: LetterKind
    # The faults that count: see `Faults`. A 408, 425, 429 or 503 counts as a quarter.
    faults: float = 0.0
    # The number of the run's newest request when this part last got a fault; -1 before that.
    failed_at: int = -1
    retry_at: float = 0.0  # The part is not sent again before this monotonic time.


class BatchDelivery:
    """The delivery of one batch: its parts, which have no outcome yet, and its results."""

    def __init__(self, batch: Batch) -> None:
        self.result = BatchResult(batch)  # What happened since the previous result was split off.
        self.parts = _parts_of(batch.conversions)  # The first one is sent next.
        self.refused: list[Rejection] = []  # Refused events, without a proof that they are bad.
        # The number of the run's newest request when the API last refused a part.
        self.refused_at: int | None = None
        # The number of the run's newest request when a part first got a fault.
        self.failed_at = math.inf
        self.in_flight = False  # Whether a request with the first part is in flight.
        self.samples = 0  # How many events of the batch were sent alone, as samples.
        self.accepted: set[LetterKind] = set()  # Kinds of which the API has accepted events.
        # The second part, if the API refused the first two parts together. Then at least one of
        # these two has a bad event.
        self._right_half: Part | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the batch has something to send, and no request in flight."""
        return bool(self.parts) and not self.in_flight

    def is_ready(self, now: float) -> bool:
        """Return whether the first part may be sent now."""
        return self.is_waiting and self.parts[0].retry_at <= now

    @property
    def letter_kind(self) -> LetterKind:
        """The kind of dead letter that the events of the first part have."""
        return self.parts[0].letter_kind

    @property
    def kind(self) -> PartKind:
        """The kind of the first part."""
        is_one = len(self.parts[0].events) == 1
        # If the API accepts a left half, the right half is halved without a request. But a right
        # half of one event is sent: only the API's refusal shows that this event is bad.
        if self._right_half is not None and len(self._right_half.events) > 1:
            return PartKind.LEFT_EVENT if is_one else PartKind.LEFT_EVENTS
        return PartKind.EVENT if is_one else PartKind.EVENTS

    # What becomes of the first part

    def drop_old(self, unix_time: float) -> None:
        """Reject the events of the first part that are too old: a single one makes a request fail.

        If all events of the part are too old, do the same with the next part.
        """
        while self.parts and unix_time >= min(map(_expires_at, self.parts[0].events)):
            events = self.parts[0].events
            self.result.undelivered += [
                event.too_old() for event in events if unix_time >= event.expires_at
            ]
            # If the API accepts the other events, this shows nothing about the right half: the bad
            # event may be one of the old events.
            self._right_half = None
            if young := [event for event in events if unix_time < event.expires_at]:
                # This forgets the faults of the part: the old events may have caused the faults.
                self.parts[0] = Part(young, self.letter_kind)
            else:
                self._remove_part()

    def confirm(self, sent_at: float) -> None:
        """Note that the API confirmed all events of the part; `sent_at` is a Unix time."""
        events = self.parts[0].events
        self.result.confirmed += events
        self._deliver(events, sent_at)
        self._remove_part()

    def confirm_and_halve_right(self, sent_at: float) -> None:
        """Confirm the left half, and halve the right half, which has a bad event."""
        events = self.parts.pop(0).events
        self.result.confirmed += events
        self._deliver(events, sent_at)
        self.halve(has_bad_event=True)

    def deliver_processed(self, failed: Collection[str], sent_at: float) -> None:
        """Note that the API processed the events of the part, except those with `failed` IDs."""
        events = self.parts[0].events
        self._deliver([event for event in events if event.event_id not in failed], sent_at)
        self.result.undelivered += [
            event.rejected("not_processed", None, None)
            for event in events
            if event.event_id in failed
        ]
        self._remove_part()

    def hold_refused(self, detail: str) -> None:
        """Keep the refused single event of the part until a proof shows that the event is bad.

        An event that has a dead letter already needs no proof.
        """
        needs_proof = self.letter_kind is LetterKind.NONE
        refused = self.refused if needs_proof else self.result.undelivered
        refused.append(self.parts[0].events[0].rejected("refused_by_api", None, detail))
        self._remove_part()

    def leave(self, letter_kind: LetterKind) -> None:
        """Send no more events with this kind of dead letter; the dead letters stay in the store."""
        left = [part for part in self.parts if part.letter_kind is letter_kind]
        self.parts = [part for part in self.parts if part.letter_kind is not letter_kind]
        self.result.undelivered += [
            event.rejected("not_tried", None, None) for part in left for event in part.events
        ]
        self._order_parts()

    def reject(self, reason: str, detail: str | None) -> None:
        """Reject the events of the part for a reason (reasons.py)."""
        events = self.parts[0].events
        self.result.undelivered += [event.rejected(reason, None, detail) for event in events]
        self._remove_part()

    def halve(self, *, has_bad_event: bool = False) -> None:
        """Replace the part by its halves; `has_bad_event` says that the API refused an event."""
        whole = self.parts.pop(0)
        middle = len(whole.events) // 2
        left, right = (
            Part(half, whole.letter_kind) for half in (whole.events[:middle], whole.events[middle:])
        )
        self.parts[:0] = [left, right]
        if has_bad_event:
            self._right_half = right
        else:
            self._order_parts()

    def retry_last(self, at: float) -> None:
        """Send the failed part after all other parts, and not before a monotonic time."""
        self.parts[0].retry_at = at
        self._order_parts()

    def take_sample(self, unix_time: float) -> None:
        """Make a single event the first part, to send it next.

        The position of the event in its part differs from call to call, and from run to run.
        """
        self.samples += 1
        self._right_half = None
        letter_kind = self.letter_kind
        part = max(
            (part for part in self.parts if part.letter_kind is letter_kind),
            key=lambda part: len(part.events),
        )
        self.parts.remove(part)
        if len(events := part.events) > 1:
            # (The fraction of a second differs from run to run.)
            position = int((self.samples * _GOLDEN_RATIO + unix_time) % 1 * len(events))
            self.parts.append(Part([*events[:position], *events[position + 1 :]], letter_kind))
            part = Part([events[position]], letter_kind)
        self.parts.insert(0, part)

    def reject_refused(self) -> None:
        """Move the refused events to the undelivered events of the result."""
        self.result.undelivered += self.refused
        self.refused = []

    def _deliver(self, events: list[Conversion], sent_at: float) -> None:
        self.result.delivered += events
        self.result.sent_at += [sent_at] * len(events)

    def _remove_part(self) -> None:
        """Remove the first part, whose events are not sent again."""
        self.parts.pop(0)
        self._order_parts()

    def _order_parts(self) -> None:
        """Sort the parts by the time of their last fault, by kind, and from large to small."""
        self._right_half = None
        self.parts.sort(
            key=lambda part: (part.failed_at, part.letter_kind.value, -len(part.events))
        )


def _parts_of(conversions: list[Conversion]) -> list[Part]:
    """Divide events into parts by the kinds of their dead letters."""
    # (This list needs no call for each event; usually, no event has a dead letter.)
    if not [one for one in conversions if one.was_refused or one.letter is not None]:
        return [Part(conversions, LetterKind.NONE)]
    divided = {
        letter_kind: [one for one in conversions if LetterKind.of(one) is letter_kind]
        for letter_kind in LetterKind
    }
    return [Part(events, letter_kind) for letter_kind, events in divided.items() if events]


class Request(NamedTuple):
    """A request that a thread makes. Times without a comment are monotonic seconds."""

    number: int  # The run numbers its requests from 1, in the order in which it makes them.
    delivery: BatchDelivery
    conversions: list[Conversion]  # 1 to `MAX_EVENTS_PER_REQUEST`.
    timeout_seconds: float
    is_sample: bool  # Whether it has a single event, to show whether the API accepts anything.
    started_at: float
    sent_at: float  # When the request started, as a Unix time.
    body: bytes  # The JSON array of the events.


class DeliveryStatus(NamedTuple):
    """The progress of the delivery, and the outage if there is one."""

    batches: int = 0  # The batches that are not finished.
    waiting: int = 0  # The batches with events to send and no request in flight.
    window: int = 0  # The most requests that may be in flight now.
    rate: float | None = None  # How many requests may start in a second; None if there is no limit.
    fault: str | None = None  # In an outage: the last answer, in words.
    since: float = 0.0  # In an outage: its start, in monotonic seconds.
