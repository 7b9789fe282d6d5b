"""Counts and words events that two maps make of the same record, of which only one is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from target_liveintent.run.amounts import counted


class Copies(Counter[tuple[str, str]]):
    """How many records gave the same event to two streams, by the names of the two."""

    def warnings(self) -> Iterator[str]:
        """Return a line for each pair of streams."""
        for (first, second), count in self.items():
            yield (
                f"streams {first} and {second} make events with the same ID from"
                f" {counted(count, 'record')}, so only the events from {first} are sent for"
                f" {'this record' if count == 1 else 'these records'}. In the map of {second}, map"
                f" event_id to IDs that {first} does not use"
            )
