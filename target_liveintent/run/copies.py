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
                f"for {counted(count, 'record')}, there are two events with the same ID: one of"
                f" stream {first} and one of stream {second}. Only the event of {first} is"
                f" sent. In the map of {second}, map event_id to other IDs"
            )
