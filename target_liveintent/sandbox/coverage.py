"""Counts which fields the accepted events have."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_liveintent.sandbox.answers import Event

FIELDS = (
    "md5",
    "sha2",
    "md5 and sha2",
    "decisionId",
    "ip",
    "ua",
    "idfa or aaid",
    "orderId",
    "value",
    "currency",
)
"""What is counted, in the order in which the page shows it: field names, which are unique across
an event's objects, and two combinations of fields."""


class Coverage:
    """Counts the events that have each of `FIELDS`."""

    def __init__(self) -> None:
        """Start with all counts at zero."""
        self._counts: Counter[str] = Counter()

    def add(self, events: Sequence[Event]) -> None:
        """Count valid events."""
        users = [event["userData"] for event in events]
        purchases = (event["purchaseData"] for event in events)
        # Counting all names in one pass is several times as fast as testing for each field.
        self._counts.update(chain.from_iterable(chain(events, users, purchases)))
        self._counts["md5 and sha2"] += sum("md5" in user and "sha2" in user for user in users)
        self._counts["idfa or aaid"] += sum("idfa" in user or "aaid" in user for user in users)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of all `FIELDS`, in order."""
        return {field: self._counts[field] for field in FIELDS}
