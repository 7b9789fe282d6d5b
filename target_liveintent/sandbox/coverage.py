"""Which fields the accepted events carry."""

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
"""What is counted, in the order to show it: fields, whose names are unique, and two of them."""


class Coverage:
    """Counts, for each of `FIELDS`, the events that carry it."""

    def __init__(self) -> None:
        """Start at nought."""
        self._counts: Counter[str] = Counter()

    def add(self, events: Sequence[Event]) -> None:
        """Count events that keep to the contract."""
        users = [event["userData"] for event in events]
        purchases = (event["purchaseData"] for event in events)
        # One pass over all names is several times as fast as a look for each.
        self._counts.update(chain.from_iterable(chain(events, users, purchases)))
        self._counts["md5 and sha2"] += sum("md5" in user and "sha2" in user for user in users)
        self._counts["idfa or aaid"] += sum("idfa" in user or "aaid" in user for user in users)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of all fields, in order."""
        return {field: self._counts[field] for field in FIELDS}
