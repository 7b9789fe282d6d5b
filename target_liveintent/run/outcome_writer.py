"""Keeps the outcome of each record, and decides when the store writes the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from target_liveintent.clock import Clock
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.batch import BatchResult
from target_liveintent.reasons import REASONS
from target_liveintent.store.deduplication import Claim

_T = TypeVar("_T")
_LONGEST_ANSWER_SECONDS = 5.0
"""After a slow answer, the pause is no longer than this. The run may only have been suspended, and
it must renew its reservations before it sends more."""
_WRITE_SECONDS = 0.5
"""How often the store writes the new outcomes."""
_MOST_UNWRITTEN = 8_000
"""How many outcomes may wait in memory. To write many together saves time: a database writes whole
pages, and the keys of events in random order are each on another page."""
_LETTER_OUTCOMES = 4
"""A dead letter counts as this number of outcomes, because it takes more memory."""


class Outcomes(Protocol):
    """Keeps the outcome of each record, and knows what was delivered before.

    `RunStore` keeps outcomes in the store, `DryStore` nowhere, and a task of Spark in files.
    `claim`, `write` and `release` write what was noted before; they raise a `StorageError`.
    """

    @property
    def reserved_until(self) -> float:
        """Until when the reservations are surely valid (`Clock.since_boot`). Threads read this."""

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches, by number, and find events that were sent before."""

    def deliver(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        """Note events of a batch that LiveIntent has, and the Unix time at which each was sent.

        `read_at` is the Unix time at which the first event of the batch was read.
        """

    def confirm(
        self,
        number: int,
        confirmed: Sequence[Conversion],
        *,
        is_last: bool,
        has_outcomes: bool = True,
    ) -> None:
        """Note which events of a batch the API has confirmed, and whether the batch is done.

        Without `has_outcomes`, the other events of a batch that is done wait for a later run.
        """

    def reject(self, rejection: Rejection, read_at: float) -> None:
        """Note a record that is not sent: its reason decides if it becomes a dead letter."""

    def leave_out(self, reason: str) -> None:
        """Note a record that is read now, and that the map does not send."""

    def write(self, *, before_state: bool = False) -> None:
        """Write what was noted; before a STATE, check that nothing of the run was lost."""

    def release(self, unsettled: Mapping[int, Sequence[Conversion]]) -> None:
        """Write what was noted, and end the reservations of the run.

        `unsettled` are batches without an outcome that the run has not reserved.
        """


class OutcomeWriter:
    """Notes outcomes, and decides when to ask the store, which may answer slowly."""

    def __init__(self, outcomes: Outcomes, clock: Clock) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._unwritten = 0  # Outcomes that the store has not written yet.
        self._written_at = self._asked_at = clock.monotonic()
        self._answer_seconds = 0.0
        self.release, self.leave_out = outcomes.release, outcomes.leave_out

    @property
    def is_full(self) -> bool:
        """Whether no more outcomes should wait in memory."""
        return self._unwritten >= _MOST_UNWRITTEN

    @property
    def is_due(self) -> bool:
        """Whether what was noted should be written now."""
        passed = self._clock.monotonic() - self._written_at
        return self.is_full or passed >= max(_WRITE_SECONDS, self._answer_seconds)

    @property
    def is_rested(self) -> bool:
        """Whether the run can ask now and still wait for the store less than half of the time."""
        return self._clock.monotonic() - self._asked_at >= self._answer_seconds

    def settle(self, result: BatchResult, *, has_outcomes: bool) -> None:
        """Note the result of a batch.

        `has_outcomes` says that each event of a batch that is done has an outcome.
        """
        self._unwritten += len(result.delivered)
        batch = result.batch
        self._outcomes.deliver(result.delivered, result.sent_at, batch.read_at)
        self._outcomes.confirm(
            batch.number, result.confirmed, is_last=result.is_last, has_outcomes=has_outcomes
        )

    def reject(self, rejection: Rejection, read_at: float) -> None:
        """Note a record that is not sent, and the Unix time at which it was read."""
        self._outcomes.reject(rejection, read_at)
        if REASONS[rejection.reason].letter:
            self._unwritten += _LETTER_OUTCOMES

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches, by number; raises a `StorageError`."""
        return self._ask(lambda: self._outcomes.claim(batches))

    def write(self, *, before_state: bool = False) -> None:
        """Write what was noted; raises a `StorageError`."""
        self._ask(lambda: self._outcomes.write(before_state=before_state))
        self._unwritten, self._written_at = 0, self._asked_at

    def _ask(self, ask: Callable[[], _T]) -> _T:
        start = self._clock.monotonic()
        answer = ask()
        self._asked_at = self._clock.monotonic()
        self._answer_seconds = min(self._asked_at - start, _LONGEST_ANSWER_SECONDS)
        return answer
