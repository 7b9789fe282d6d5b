"""Backoff: what failures in a row, and a `Retry-After`, mean for later requests.

Failures are *in a row* if no request is accepted between them. Eight failures in a row are a
*standstill*: the pace then makes one request at a time, up to 13 seconds apart. (An *outage* is the
time in which each request gets a fault, and may end the run: retry.py.)
"""

from __future__ import annotations

import math

FIRST_PAUSE_SECONDS = 3.0
"""The longest pause between requests after the first failure in a row. A limit that accepts one
request in 3 seconds is then found without longer pauses."""

FAILURES_FOR_EACH_SECOND = 6
"""The number of failures in a row that makes the longest pause a second longer. So a standstill of
300 seconds costs up to 100 requests."""

LONGEST_PAUSE_SECONDS = 13.2
"""The longest pause between two requests: the run notices within 15 seconds that a standstill has
ended."""

REFUSAL_FAULTS = 5
"""The number of failures in a row from which a fault counts as a refusal. If 40 % of the requests
fail by chance, only one series of failures in 100 is as long."""

STANDSTILL_FAILURES = 8
"""The failures in a row that make a standstill. By chance, hardly any series is as long."""

STANDSTILL_SECONDS = 8.0
"""Failures in a row over more seconds than this are a standstill even if the API accepted only one
request before them. The search for a low limit also meets many refusals in a row, but within a
second: without this time, the search would begin again after each accepted request."""

LONG_STANDSTILL_FAILURES = 18
"""The number of failures in a row after which the result of a probe no longer counts: the API has
changed."""


class Backoff:
    """The failures in a row, and the standstill that they may be. All times are in seconds.

    Attributes:
        failures: How many failures there are in a row.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._failing_since = -math.inf  # When the first of the last failures in a row started.
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
    def faults_are_refusals(self) -> bool:
        """Whether there are enough failures in a row for a fault to count as a refusal."""
        return self.failures >= REFUSAL_FAULTS

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
        """Note a failure, by the time when its request started."""
        if not self.failures:
            self._failing_since = started_at
        self.failures += 1

    def accepted(self, now: float) -> bool:
        """Note an accepted request, which ends the failures in a row.

        Returns:
            Whether the failures before it were a standstill. Many failures within a short time are
            not a standstill if only one request was accepted before them: the run may still search
            for a limit.
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
