"""Says which events a store knows as delivered, for commands that send nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from target_liveintent.store.database import Database
from target_liveintent.store.deduplication import TIME_BYTES
from target_liveintent.store.layout import Step
from target_liveintent.store.questions import FIND_EVENTS
from target_liveintent.store.runs import newest_events


class DeliveredKeys:
    """Finds delivered events by their keys, as a run does; it changes nothing in the store.

    A run recognizes the newest events by their hash alone, even if their time changes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest = {key[TIME_BYTES:] for (key,) in database.ask(newest_events())}

    def among(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """Return which of the events with these keys were delivered."""
        rows = self._database.ask(Step(FIND_EVENTS, keys=keys))
        delivered = {key for key, _ in rows}
        return delivered.union(key for key in keys if key[TIME_BYTES:] in self._newest)
