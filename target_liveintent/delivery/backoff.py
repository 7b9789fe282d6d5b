"""How long to wait before a retry."""

from __future__ import annotations

FIRST = 0.5
"""Seconds of the longest wait before the first retry."""
LONGEST = 30.0
"""Seconds that a wait never exceeds, unless the API asks for more."""


def backoff(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait before a retry.

    The wait doubles with each attempt. Half of it is random, so that threads which failed together
    do not come back together.

    Args:
        attempt: How many retries came before: 0 before the first one.
        jitter: A random number from 0 to 1.
        retry_after: Seconds that the API asks to wait; the least that is waited.
    """
    longest = min(FIRST * 2.0 ** min(attempt, 10), LONGEST)  # (2.0 ** 10000 would overflow.)
    return max(longest * (1 + jitter) / 2, retry_after or 0.0)
