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
"""The run makes a pause after an answer of the store: the pause is as long as the answer took, but
not longer than this number of seconds. A very late answer may only mean that the run was suspended.
Then the run must renew its reservations soon, because it sends nothing before."""
_WRITE_SECONDS = 0.5
"""Seconds between two writes of the new outcomes; more if the store answers slowly."""
_MOST_UNWRITTEN = 8_000
"""When this many outcomes wait in memory, they are written at once. To write many together saves
time: a database writes whole pages, and of many keys, some are on the same page."""
_LETTER_OUTCOMES = 4
"""A dead letter counts as this number of outcomes, because it takes more memory."""


class Outcomes(Protocol):
    """Keeps the outcome of each record, and knows what was delivered before.

    `RunStore` keeps outcomes in the store, and `DryStore` nowhere. A task of Spark keeps them in a
    table, too. Only `claim`, `write` and `release` ask the store, and can raise a `StorageError`.
    """

    @property
    def reserved_until(self) -> float:
        """Until when the reservations are valid for sure, by `Clock.since_boot`."""

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches, by number, and find events that were sent before."""

    def note_delivered(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        """Note events of a batch that LiveIntent has, and the Unix time at which each was sent.

        `read_at` is the Unix time at which the first event of the batch was read.
        """

    def note_confirmed(
        self,
        number: int,
        confirmed: Sequence[Conversion],
        *,
        is_last: bool,
        has_outcomes: bool = True,
    ) -> None:
        """Note which events of a batch the API has confirmed.

        With `is_last`, the batch is finished. If events of a finished batch have no outcome
        (`has_outcomes` is False), they wait for a later run.
        """

    def note_rejected(self, rejection: Rejection, read_at: float) -> None:
        """Note a record that is not sent: its reason decides if it becomes a dead letter."""

    def note_left_out(self, reason: str) -> None:
        """Note a record that is read now, and that the map does not send."""

    def write(self, *, before_state: bool = False) -> None:
        """Write what was noted; before a STATE, check that the store has lost nothing."""

    def release(self, unreserved: Mapping[int, Sequence[Conversion]]) -> None:
        """Write what was noted, and end the reservations of the run.

        `unreserved` has the events without an outcome and without a reservation, by the number of
        their batch. These events wait for a later run.
        """


class OutcomeWriter:
    """Notes outcomes, and decides when to ask the store, which may answer slowly."""

    def __init__(self, outcomes: Outcomes, clock: Clock) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._unwritten = 0  # Outcomes that the store has not written yet.
        self._written_at = self._asked_at = clock.monotonic()
        self._answer_seconds = 0.0
        self.release, self.note_left_out = outcomes.release, outcomes.note_left_out

    @property
    def is_full(self) -> bool:
        """Whether so many outcomes wait in memory that they must be written now."""
        return self._unwritten >= _MOST_UNWRITTEN

    @property
    def is_due(self) -> bool:
        """Whether what was noted should be written now."""
        passed = self._clock.monotonic() - self._written_at
        return self.is_full or passed >= max(_WRITE_SECONDS, self._answer_seconds)

    @property
    def has_paused(self) -> bool:
        """Whether the last answer of the store came at least as long ago as it took.

        If the run asks only then, it spends less than half of the time with waiting for the store.
        """
        return self._clock.monotonic() - self._asked_at >= self._answer_seconds

    def note_result(self, result: BatchResult, *, has_outcomes: bool) -> None:
        """Note the result of a batch.

        If the batch is finished, `has_outcomes` says whether each of its events has an outcome.
        """
        self._unwritten += len(result.delivered)
        batch = result.batch
        self._outcomes.note_delivered(result.delivered, result.sent_at, batch.read_at)
        self._outcomes.note_confirmed(
            batch.number, result.confirmed, is_last=result.is_last, has_outcomes=has_outcomes
        )

    def note_rejected(self, rejection: Rejection, read_at: float) -> None:
        """Note a record that is not sent, and the Unix time at which it was read."""
        self._outcomes.note_rejected(rejection, read_at)
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
