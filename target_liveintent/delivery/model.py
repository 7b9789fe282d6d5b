"""What goes into delivery and what comes out: batches, refusals and the results of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from target_liveintent.conversions.model import Conversion, Rejection

_FIELDS = {"event_too_old": "event_time"}


class Refusal(NamedTuple):
    """A conversion that was not delivered for a reason of its own."""

    conversion: Conversion
    reason: str
    detail: str | None = None

    @property
    def rejection(self) -> Rejection:
        """The same as the fate of a record."""
        field = _FIELDS.get(self.reason)
        return self.conversion.rejected(self.reason, field, self.detail)


class Batch(msgspec.Struct, eq=False):
    """Conversions of one stream that are sent together.

    Attributes:
        number: Counts batches in the order in which they were opened.
        stream: Whose conversions they are, for the counts.
        opened_at: `time.monotonic()` when its first conversion came.
        conversions: 1 to 100.
    """

    number: int
    stream: str
    opened_at: float
    conversions: list[Conversion]


class BatchResult(msgspec.Struct, eq=False):
    """What became of a batch.

    Attributes:
        batch: The batch.
        delivered: What the API processed.
        sent_at: Unix time at which each of them was sent.
        confirmed: How much of it a 204 confirmed, and not a 200 that named the others.
        refusals: What it did not, each with its reason.
        accepted: Whether the API took any request of it.
        requests: POSTs, retries included.
        retries: How many of them were retries.
        latencies: Seconds that each POST took.
        failure: What ended it early; what is neither delivered nor refused has no fate then.
    """

    batch: Batch
    delivered: list[Conversion] = msgspec.field(default_factory=list)
    sent_at: list[float] = msgspec.field(default_factory=list)
    confirmed: list[Conversion] = msgspec.field(default_factory=list)
    refusals: list[Refusal] = msgspec.field(default_factory=list)
    accepted: bool = False
    requests: int = 0
    retries: int = 0
    latencies: list[float] = msgspec.field(default_factory=list)
    failure: Exception | None = None
