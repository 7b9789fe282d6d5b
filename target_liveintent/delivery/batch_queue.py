"""The batches in delivery, and which of them is sent next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from target_liveintent.delivery.batch import BatchDelivery, LetterKind
from target_liveintent.delivery.refusals import Refusals

_SAMPLES_BEFORE_MORE_INPUT = 3  # After this many samples of each batch, the run waits for others.
# The queue has room for at least this many batches (if `most` allows it): with fewer, the main
# thread waits too often.
_FEWEST_BATCHES = 6


class BatchQueue:
    """The batches in delivery, the oldest first; at most `most` of them have events to send.

    The queue chooses the next batch, and changes no batch.
    """

    def __init__(self, refusals: Refusals, most: int) -> None:
        self._refusals = refusals
        self._most = most
        self._deliveries: list[BatchDelivery] = []

    def __len__(self) -> int:
        """Return how many batches there are."""
        return len(self._deliveries)

    def __iter__(self) -> Iterator[BatchDelivery]:
        """Return the batches; the caller may remove batches meanwhile."""
        return iter(tuple(self._deliveries))

    def add(self, delivery: BatchDelivery) -> None:
        """Add the newest batch."""
        self._deliveries.append(delivery)

    def remove(self, delivery: BatchDelivery) -> None:
        """Remove a batch that is finished."""
        self._deliveries.remove(delivery)

    # How much is left

    def is_full(self, window: int) -> bool:
        """Return whether enough batches have events to send or in flight.

        At most `window` requests may be in flight. Usually, two batches for each of them are
        enough, but at least 6 are needed. While a batch with a refusal or a fault is not finished,
        `most` batches are needed, to compare this batch with others.
        """
        have_failed = any(
            delivery.refused_at is not None or delivery.failed_at < math.inf
            for delivery in self._deliveries
        )
        wanted = self._most if have_failed else max(_FEWEST_BATCHES, 2 * window)
        return self.batches_to_send >= min(wanted, self._most)

    @property
    def batches_to_send(self) -> int:
        """How many batches have events to send or in flight.

        Each other batch only waits for the proof that its refused events are bad.
        """
        return len([delivery for delivery in self._deliveries if delivery.parts])

    @property
    def waiting(self) -> int:
        """How many batches have something to send, and no request in flight."""
        return len([delivery for delivery in self._deliveries if delivery.is_waiting])

    @property
    def undecided(self) -> int:
        """The number of events without an outcome, and without a dead letter."""
        event_counts = [
            len(part.events)
            for each in self._deliveries
            for part in each.parts
            if part.letter_kind is LetterKind.NONE
        ]
        return sum(event_counts) + sum(len(delivery.refused) for delivery in self._deliveries)

    @property
    def has_only_faulty_events(self) -> bool:
        """Whether only single events are left, and each of them seems to cause its own faults.

        An event seems to cause its faults if the API has failed on it, and has accepted a request
        that was made after the first fault of the event's batch.
        """
        unfinished = [delivery for delivery in self._deliveries if delivery.parts]
        return all(
            len(part.events) == 1 and part.faults > 0 for each in unfinished for part in each.parts
        ) and all(self._refusals.accepted_after(delivery.failed_at) for delivery in unfinished)

    # Which batch is next

    def next_retry_at(self, now: float) -> float:
        """Return when the next part that rests may be sent; infinite if no part rests."""
        rests = [each.parts[0].retry_at for each in self._deliveries if each.is_waiting]
        return min((retry_at for retry_at in rests if retry_at > now), default=math.inf)

    def _ready(self, now: float, letter_kind: LetterKind) -> Iterator[BatchDelivery]:
        """Yield the batches whose first part has this kind of dead letter and may be sent now."""
        for delivery in self._deliveries:
            if delivery.is_ready(now) and delivery.letter_kind is letter_kind:
                yield delivery

    def oldest(self, now: float, letter_kind: LetterKind = LetterKind.NONE) -> BatchDelivery | None:
        """Return the oldest batch that is ready.

        A batch comes last if its first part got a fault, and the API has accepted no request that
        was made after this fault.
        """
        kept_for_comparison = self._kept_for_comparison(now, letter_kind)
        after_faults = []
        for delivery in self._ready(now, letter_kind):
            if delivery is kept_for_comparison:
                continue
            if self._refusals.accepted_after(delivery.parts[0].failed_at):
                return delivery
            after_faults.append(delivery)
        return min(after_faults, key=lambda delivery: delivery.parts[0].failed_at, default=None)

    def _kept_for_comparison(self, now: float, letter_kind: LetterKind) -> BatchDelivery | None:
        """Return the batch that is held back while bad events of other batches are searched for.

        If the API accepts this batch, this proves that the events refused before it are bad.
        """
        alike = [
            each for each in self._deliveries if each.parts and each.letter_kind is letter_kind
        ]
        refused = [each for each in alike if each.refused_at is not None]
        if not any(each.parts[0].retry_at <= now for each in refused):
            return None
        untried = [each for each in alike if each.refused_at is None and each.is_waiting]
        return untried[-1] if untried else None

    def with_acceptance(self, now: float, letter_kind: LetterKind) -> BatchDelivery | None:
        """Return the oldest ready batch of which the API has accepted an event of this kind."""
        ready = self._ready(now, letter_kind)
        return next((each for each in ready if letter_kind in each.accepted), None)

    def to_sample(
        self, now: float, letter_kind: LetterKind, *, more_may_come: bool
    ) -> BatchDelivery | None:
        """Return the batch for the next sample; None if no batch is ready or more input must come.

        Batches that the API has not refused yet come first. Of these, the batch with the fewest
        samples is chosen; of several such batches, the newest.
        """
        ready = [*self._ready(now, letter_kind)][::-1]
        best = min(
            ready, key=lambda each: (each.refused_at is not None, each.samples), default=None
        )
        if best is None or (more_may_come and best.samples >= _SAMPLES_BEFORE_MORE_INPUT):
            return None
        return best
