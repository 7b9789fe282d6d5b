"""What stops a run: a signal, the setting `limit`, and too many rejected records.

After a signal, the process must end within 20 seconds. The last steps of a run take one or two of
these seconds.
"""

from __future__ import annotations

from collections import Counter

from target_liveintent.failures import Facts, Failure, FailureCode
from target_liveintent.run.counts import ReservedByOther, RunCounts, StreamCounts
from target_liveintent.run.doubts import what_to_do

STOP_RETRY_SECONDS = 5.0
"""For this number of seconds after a signal, a run still sends requests again, and waits for events
that another run is sending."""
STOP_GRACE_SECONDS = 17.0
"""For this number of seconds after a signal, a run waits for requests in flight."""
_LEAST_RECORDS_TO_FAIL = 100
"""From this number of records on, the share of dead letters can fail a run at its end."""
_LEAST_RECORDS_AT_STATE = 1_000
"""From this number of records on, the share of dead letters can fail a run before a STATE. A few
bad rows at the start say little about a run."""
_LEAST_LOST_TO_FAIL = 10
"""A run that delivers nothing fails if it has at least this number of dead letters that
`RunCounts.lost` counts."""
_UNLIMITED_PERCENT = 100
"""The value of `max_dead_letter_percent` that turns off both rules about dead letters."""


class StopRequest:
    """The request to stop, and the time until the run must end. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._requested_at: float | None = None

    @property
    def is_made(self) -> bool:
        """Whether a signal has come."""
        return self._requested_at is not None

    def make(self, now: float) -> None:
        """Ask the run to stop. A signal handler may call this, as it acquires no lock."""
        if self._requested_at is None:
            self._requested_at = now

    def seconds(self, now: float) -> float:
        """Return how long ago the stop was requested."""
        return 0.0 if self._requested_at is None else now - self._requested_at

    def retry_seconds(self, now: float) -> float:
        """Return for how many more seconds delivery may retry; 0 or less: no longer."""
        return STOP_RETRY_SECONDS - self.seconds(now)

    def failure(
        self, now: float, in_flight: int, elsewhere: ReservedByOther | None
    ) -> Failure | None:
        """Return why a run that has not ended in time must fail; None if it still has time.

        Args:
            now: The present time, in monotonic seconds.
            in_flight: How many batches are being sent.
            elsewhere: The events that wait while another run sends them, or None.
        """
        if elsewhere is not None and not in_flight:
            grace = STOP_RETRY_SECONDS
            failure = Failure.of(
                FailureCode.STOPPED_WHILE_WAITING,
                other_run_id=elsewhere.run_id,
                events=elsewhere.events,
            )
        else:
            grace = STOP_GRACE_SECONDS
            failure = Failure.of(FailureCode.STOPPED_WHILE_SENDING, batches=in_flight)
        return failure if self.seconds(now) > grace else None


class EventLimit:
    """Counts how many events a run may still send, by the setting `limit` (None: no limit)."""

    def __init__(self, limit: int | None) -> None:
        self.exists = limit is not None
        self._remaining = limit or 0

    def is_reached(self) -> bool:
        """Return whether as many events were sent as the limit says."""
        return self.exists and self._remaining == 0

    def take(self) -> None:
        """Count an event that will be sent."""
        self._remaining -= 1

    def give_back(self, events: int) -> None:
        """Count events that are not sent after all: they were sent before, or are too old."""
        self._remaining += events


def too_many_rejected(counts: RunCounts, percent: int, *, at_end: bool) -> Failure | None:
    """Return why the run must fail if too large a share of its records became dead letters.

    `RunCounts.bad` says which dead letters count. At the end of a run that delivers nothing, ten
    dead letters are too many.
    """
    total = counts.total
    bad, lost = counts.bad, counts.lost
    records = _records_to_send(total)
    least = _LEAST_RECORDS_TO_FAIL if at_end else _LEAST_RECORDS_AT_STATE
    # A record in flight may still be delivered.
    delivers_nothing = at_end and not (total.without_outcome or total.taken)
    if records >= least and bad.total() * 100 > records * percent:
        return _too_many(bad, records, percent, counts)
    if delivers_nothing and percent != _UNLIMITED_PERCENT and lost.total() >= _LEAST_LOST_TO_FAIL:
        return _too_many(lost, None, percent, counts)
    return None


def _records_to_send(total: StreamCounts) -> int:
    """Return how many records were to be sent; this includes records that were sent before."""
    others = total.filtered + total.unmapped + total.not_replayed.total()
    return total.read - others - (total.dropped.total() - total.dropped["already_sent"])


def _too_many(
    rejected: Counter[str], records: int | None, percent: int, counts: RunCounts
) -> Failure:
    """Return the failure; `records` were to be sent (None: the run delivers nothing)."""
    reason, most = rejected.most_common(1)[0]
    code = FailureCode.TOO_MANY_REJECTED
    facts: Facts = {"count": rejected.total(), "reason": reason, "most": most}
    if records is None:
        code = FailureCode.NOTHING_DELIVERED
    else:
        facts |= {"records": records, "percent": percent}
    return Failure(code, facts, what_to_do(reason, counts.streams).hints)
