"""The setting `limit`: how many events a run may still send."""

from __future__ import annotations


class EventLimit:
    """Counts the events that a run may still send; None for any number."""

    def __init__(self, limit: int | None) -> None:
        self.exists = limit is not None
        self._left = limit or 0

    def is_reached(self) -> bool:
        """Return whether as many events were sent as the limit says."""
        return self.exists and self._left == 0

    def take(self) -> None:
        """Count an event that will be sent."""
        self._left -= 1

    def give_back(self, events: int) -> None:
        """Count events that are not sent after all, because they were sent before."""
        self._left += events
