"""When the input counts as silent."""

from __future__ import annotations

_INTERVALS = 2
"""Times `flush_interval_seconds` without a batch after which the input is silent. After one, a
batch of the last records may still be open; after two, it would have come."""


class Silence:
    """The time without a new batch.

    Args:
        flush_interval: The setting `flush_interval_seconds`.
    """

    def __init__(self, flush_interval: float) -> None:
        self._seconds = _INTERVALS * flush_interval
        self._begins_at: float | None = None

    def end(self) -> None:
        """Note that a batch came."""
        self._begins_at = None

    def begins_at(self, now: float) -> float:
        """Return when the input is silent, or since when, in monotonic seconds."""
        if self._begins_at is None:
            self._begins_at = now + self._seconds
        return self._begins_at
