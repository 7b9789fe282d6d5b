"""Batches, which go into delivery, and their results, which come out."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from target_liveintent.conversions import Conversion, Rejection


class Undelivered(NamedTuple):
    """A conversion that was not delivered for a reason of its own.

    Attributes:
        reason: A code of `reasons.REASONS`.
        detail: What the API said, in one line without addresses.
    """

    conversion: Conversion
    reason: str
    detail: str | None = None

    @property
    def rejection(self) -> Rejection:
        """The rejection of the record that the conversion came from."""
        column = "event_time" if self.reason == "event_too_old" else None
        return self.conversion.rejected(self.reason, column, self.detail)


class Batch(msgspec.Struct, eq=False):
    """Conversions of one stream that are sent together.

    Attributes:
        number: Its place in the order in which the run opened batches, counted from 0.
        stream: The name under which its conversions are counted.
        opened_at: `Clock.monotonic()`, in seconds, when its first conversion came.
        conversions: 1 to 100 conversions, in the order of their records.
    """

    number: int
    stream: str
    opened_at: float
    conversions: list[Conversion]


class BatchResult(msgspec.Struct, eq=False):
    """The outcome of a batch.

    Attributes:
        delivered: The conversions that the API processed.
        sent_at: Unix time, in seconds, at which each of `delivered` was sent.
        confirmed: Those of `delivered` that a 204 confirmed. A 200 that names the others does not.
        undelivered: The conversions that were not delivered, each with its reason.
        accepted: Whether the API accepted at least one request of this batch.
        requests: The number of POSTs, retries included.
        retries: How many of them were retries.
        latencies: Seconds that each POST took.
        failure: The exception that ended the delivery early. A conversion that is then neither
            delivered nor refused has no outcome.
    """

    batch: Batch
    delivered: list[Conversion] = msgspec.field(default_factory=list)
    sent_at: list[float] = msgspec.field(default_factory=list)
    confirmed: list[Conversion] = msgspec.field(default_factory=list)
    undelivered: list[Undelivered] = msgspec.field(default_factory=list)
    accepted: bool = False
    requests: int = 0
    retries: int = 0
    latencies: list[float] = msgspec.field(default_factory=list)
    failure: Exception | None = None
