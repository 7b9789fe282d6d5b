"""Batches, which go into delivery, and their results, which come out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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
    """The outcome of a batch, or what was delivered of it so far.

    A batch of which only a part is delivered for now, because the rest is refused or fails, comes
    back in several results. So the ledger learns in time what the API has confirmed.

    Attributes:
        delivered: The conversions that the API processed.
        sent_at: Unix time, in seconds, at which each of `delivered` was sent.
        confirmed: Those of `delivered` that a 204 confirmed. A 200 that names the others does not.
        undelivered: The conversions that were not delivered, each with its reason.
        unproven: How many of them the API refused although nothing that was sent later was
            accepted: the input had ended, and nothing was left to compare them with.
        too_large: The sizes, in events, of the requests that the API refused for their size.
        requests: The number of POSTs, retries included.
        retries: How many of them were sent again because of a fault.
        throttled: How many of them the API did not accept because they came too fast (429, 503).
        latencies: Seconds that each POST took.
        failure: The exception that ended the delivery early. A conversion that is then neither
            delivered nor refused has no outcome.
        is_last: Whether the batch is finished now. If not, the result has only delivered events,
            and the next one of the batch has what came after it.
    """

    batch: Batch
    delivered: list[Conversion] = msgspec.field(default_factory=list)
    sent_at: list[float] = msgspec.field(default_factory=list)
    confirmed: list[Conversion] = msgspec.field(default_factory=list)
    undelivered: list[Undelivered] = msgspec.field(default_factory=list)
    unproven: int = 0
    too_large: list[int] = msgspec.field(default_factory=list)
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    latencies: list[float] = msgspec.field(default_factory=list)
    failure: Exception | None = None
    is_last: bool = True

    def split_off(self) -> BatchResult:
        """Return what was delivered as a result that is not the last one, and keep the rest."""
        part = BatchResult(
            self.batch,
            delivered=self.delivered,
            sent_at=self.sent_at,
            confirmed=self.confirmed,
            is_last=False,
        )
        self.delivered, self.sent_at, self.confirmed = [], [], []
        return part


class DeliveryStatus(NamedTuple):
    """How far delivery is.

    Attributes:
        batches: How many batches were submitted whose last result was not taken yet.
        waiting: How many of them wait for a request to start.
        window: The most requests that may be in flight now.
        rate: The most requests a second that may start now; None if there is no limit.
        reason: Why they wait, in words; None if only for requests before them.
        since: Since when there is this reason, in monotonic seconds.
        is_outage: Whether the API accepts nothing now.
    """

    batches: int = 0
    waiting: int = 0
    window: int = 0
    rate: float | None = None
    reason: str | None = None
    since: float = 0.0
    is_outage: bool = False


class Delivery(Protocol):
    """Delivers batches: they are submitted, and their results are taken.

    Attributes:
        in_flight: How many batches were submitted whose last result was not taken yet.
        full: Whether no batch may be submitted now.
        status: How far delivery is.
    """

    @property
    def in_flight(self) -> int: ...  # noqa: D102 (above)
    @property
    def full(self) -> bool: ...  # noqa: D102
    @property
    def status(self) -> DeliveryStatus: ...  # noqa: D102

    def submit(self, batch: Batch) -> None:
        """Hand over a batch."""

    def drain(self) -> None:
        """Note that no batch is submitted before those that are in flight have come back."""

    def take(self, seconds: float) -> BatchResult | None:
        """Take a result; None if there was none in time, or `wake` ended the wait."""

    def wake(self) -> None:
        """End the present or the next wait in `take`. Safe in a signal handler."""

    def stop(self, seconds: float) -> None:
        """Send nothing more after so many seconds."""

    def close(self) -> None:
        """Send nothing more, and end all threads; each batch comes back as far as it is known."""
