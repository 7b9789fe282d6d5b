"""Backoff: what failures in a row, and a `Retry-After`, mean for later requests.

Failures are *in a row* if no request is accepted between them. Eight failures in a row are a
*standstill*: the pace then makes one request at a time, up to 13 seconds apart. (An *outage* is the
time in which each request gets a fault, and may end the run: retry.py.)
"""

from __future__ import annotations

import math

FIRST_PAUSE_SECONDS = 3.0
"""After the first failures in a row, pauses between requests are hardly longer than this. This is
enough to find a limit of one request in 3 seconds."""

FAILURES_FOR_EACH_SECOND = 6
"""With each further 6 failures in a row, the longest pause becomes one second longer. So a
standstill of 300 seconds costs less than 100 requests."""

LONGEST_PAUSE_SECONDS = 13.2
"""No pause between two requests is longer than this. So the run notices within 15 seconds that a
standstill has ended."""

THROTTLING_FAULTS = 5
"""From this many failures in a row on, a fault counts as throttling. If 40 % of the requests fail
by chance, five requests in a row all fail only once in 100 times."""

STANDSTILL_FAILURES = 8
"""This many failures in a row are a standstill. By chance, so many hardly ever come in a row."""

STANDSTILL_SECONDS = 8.0
"""If failures in a row lasted longer than this, they count as a standstill when they end, even if
the API had accepted only one request before them. The search for a low limit also meets many
throttled requests in a row, but within a second: without this time, the search would begin again
after each accepted request."""

LONG_STANDSTILL_FAILURES = 18
"""After this many failures in a row, the result of an earlier probe no longer counts, because the
API may have changed."""


class Backoff:
    """Counts failures in a row, and says what they mean. All times are in seconds.

    Attributes:
        failures: How many failures there are in a row.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._failing_since = -math.inf  # When the first request of the last failures started.
        self._accepted = 0  # Accepted requests since the last standstill, or since the start.

    @property
    def is_standstill(self) -> bool:
        """Whether there is a standstill."""
        return self.failures >= STANDSTILL_FAILURES

    @property
    def is_long_standstill(self) -> bool:
        """Whether the standstill is too long to rely on earlier findings about the API."""
        return self.failures >= LONG_STANDSTILL_FAILURES

    @property
    def faults_count_as_throttling(self) -> bool:
        """Whether there are enough failures in a row for a fault to count as throttling."""
        return self.failures >= THROTTLING_FAULTS

    @property
    def longest_pause(self) -> float:
        """The most seconds between two requests while nothing is accepted.

        The pause has a limit because the run must notice when a standstill ends.
        """
        pause = FIRST_PAUSE_SECONDS + self.failures / FAILURES_FOR_EACH_SECOND
        return min(LONGEST_PAUSE_SECONDS, pause)

    def is_outdated(self, started_at: float) -> bool:
        """Return whether a request started before the last failures in a row.

        Its answer shows nothing about the time since then.
        """
        return started_at < self._failing_since

    def failed(self, started_at: float) -> None:
        """Note the failure of a request that started at `started_at`."""
        if not self.failures:
            self._failing_since = started_at
        self.failures += 1

    def accepted(self, now: float) -> bool:
        """Note an accepted request, which ends the failures in a row.

        Returns:
            Whether a standstill has ended. After eight or more failures, this is so if they lasted
            longer than `STANDSTILL_SECONDS`, or several requests were accepted since the previous
            standstill. (If not, the run may still search for a limit.) After fewer failures, this
            is so only if they lasted longer than that, and no request was accepted before them.
        """
        is_long = now - self._failing_since > STANDSTILL_SECONDS
        if self.is_standstill:
            ends_standstill = is_long or self._accepted > 1
            self._accepted = 1
        else:
            ends_standstill = is_long and not self._accepted
            self._accepted += 1
        self.failures = 0
        return ends_standstill


class RetryAfter:
    """The last `Retry-After`: no request starts before its end. All times are in seconds.

    Attributes:
        until: When the next request may start.
    """

    def __init__(self) -> None:
        self.until = -math.inf
        self._received_at = -math.inf

    def received(self, now: float, until: float) -> None:
        """Note a `Retry-After` and its end. It does not shorten an earlier one."""
        self._received_at = now
        self.until = max(self.until, until)

    def accepted(self, started_at: float) -> None:
        """End the wait if the accepted request started after the `Retry-After`.

        A request that started earlier shows nothing: the API may have accepted it before.
        """
        if started_at >= self._received_at:
            self.until = -math.inf
