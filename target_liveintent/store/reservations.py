"""When a run renews its reservations of events, and when those of another run have expired.

The reservations are the lease of a run: no other run sends the same events while the run renews
them, and other runs can take them after it was killed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from target_liveintent.clock import Clock

LAPSE_SECONDS = 30.0
"""The reservations of a run expire if another run sees no renewal for this number of seconds."""
SURE_SECONDS = 28.0
"""For this number of seconds after a renewal, a run may start requests. A request that starts at
the last moment has the rest of `LAPSE_SECONDS` to reach the API. (If each answer of the store takes
longer than `SURE_SECONDS`, the run can send nothing, and fails.)"""
_RENEWED_AFTER_SECONDS = 5.0
"""After this number of seconds, a run renews its reservations, even if it has nothing to write. It
also checks whether it still has them: a run that is suspended for long loses its reservations."""
MOST_LATE_ANSWERS = 10
"""After this many answers in a row that came too late to send anything, a run ends. (A run that was
suspended gets only one such answer.)"""


class Renewals:
    """The times at which a run renews its reservations, by `Clock.since_boot`.

    Attributes:
        last: When the run last asked the store whether it still has its reservations.
    """

    def __init__(self, clock: Clock) -> None:
        self.last = clock.since_boot()
        self._clock = clock
        self._late_answers = 0  # Answers in a row that came too late to send anything.

    @property
    def sure_until(self) -> float:
        """The time until which no other run takes events that this run has reserved."""
        return self.last + SURE_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether the run must renew its reservations now."""
        return self._clock.since_boot() - self.last >= _RENEWED_AFTER_SECONDS

    @property
    def is_late(self) -> bool:
        """Whether other runs may have deleted the reservations."""
        return self._clock.since_boot() >= self.sure_until

    @property
    def is_too_slow(self) -> bool:
        """Whether the store answers so slowly that the run can send nothing."""
        return self._late_answers >= MOST_LATE_ANSWERS

    def lost(self) -> None:
        """Note that another run has taken events of this run, so nothing may be sent any more."""
        self.last = -math.inf

    def renewed(self, asked_at: float) -> None:
        """Note that the store has just answered what the run asked at `asked_at`."""
        self.last = asked_at
        self._late_answers = self._late_answers + 1 if self.is_late else 0


class OtherRuns:
    """Knows which other runs no longer renew their reservations: these runs are silent.

    Each transaction of a run renews its reservations, and the store counts the transactions. A run
    is silent if this run sees the same count for `LAPSE_SECONDS` by its own clock. The clocks of
    two processes may differ, jump, or start at 0 again, so their times are never compared.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}  # How many transactions, and since when.

    def silent(self, transactions: Mapping[int, int], now: float) -> set[int]:
        """Return the numbers of the runs that are silent.

        Args:
            transactions: How many transactions each run with reservations has made, by its number.
            now: `Clock.since_boot`, after the store has answered.
        """
        for run in self._seen.keys() - transactions.keys():
            del self._seen[run]
        for run, count in transactions.items():
            if run not in self._seen or self._seen[run][0] != count:
                self._seen[run] = count, now
        return {run for run, (_, since) in self._seen.items() if now - since >= LAPSE_SECONDS}
