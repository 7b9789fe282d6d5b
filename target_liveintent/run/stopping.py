"""What stops a run before the end of its input: a signal, and the setting `limit`.

After a signal, the process must end within 20 seconds. The end of a run takes one or two of them.
"""

from __future__ import annotations

from target_liveintent.failures import Failure, FailureCode
from target_liveintent.run.counts import ReservedByOther

STOP_RETRY_SECONDS = 5.0
"""Seconds after a signal for which a run still retries, and waits for another run's events."""
STOP_GRACE_SECONDS = 17.0
"""Seconds after a signal for which a run waits for requests in flight."""


class StopRequest:
    """The request to stop, and the time until the run must end. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._requested_at: float | None = None

    @property
    def is_made(self) -> bool:
        """Whether a signal has come."""
        return self._requested_at is not None

    def make(self, now: float) -> None:
        """Ask the run to stop. Safe in a signal handler: it takes no lock."""
        if self._requested_at is None:
            self._requested_at = now

    def seconds(self, now: float) -> float:
        """Return how long ago the stop was requested."""
        return 0.0 if self._requested_at is None else now - self._requested_at

    def retry_seconds(self, now: float) -> float:
        """Return for how many seconds delivery may still retry; at 0 or below, for none."""
        return STOP_RETRY_SECONDS - self.seconds(now)

    def failure(
        self, now: float, in_flight: int, elsewhere: ReservedByOther | None
    ) -> Failure | None:
        """Return why a run that has not ended in time must fail; None if it still has time.

        Args:
            now: The present time, in monotonic seconds.
            in_flight: How many batches are being sent.
            elsewhere: The events that wait for another run, or None.
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
        """Count events that are not sent after all, because they were sent before."""
        self._remaining += events
