"""What a run works with: the things that it is given instead of making them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from target_liveintent.clock import Clock
from target_liveintent.conversions import Conversion, Rejection
from target_liveintent.delivery import Delivery, DeliveryStatus
from target_liveintent.run.counts import RunCounts
from target_liveintent.store import Claim


class Outcomes(Protocol):
    """Keeps the outcome of each record, and knows what was delivered before.

    `RunStore` keeps them in the store, `DryStore` keeps nothing, and a task of Spark has files.
    What is noted becomes durable by `claim` and `write`, which raise a `StorageError` if they fail.
    """

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches, by the numbers of the batches, before they are sent.

        Those that were sent before have their outcome.
        """

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed, and whether the batch is done."""

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent: by its reason, it becomes a dead letter or is dropped."""

    def write(self, *, durable: bool = False) -> None:
        """Write what was noted; if durable, it survives a power cut."""

    def release(self) -> None:
        """Write what was noted, and end the reservations of the run."""


class RunParts(NamedTuple):
    """What a run works with.

    Attributes:
        outcomes: Keeps the outcome of each record.
        write_state: Writes a STATE. Without it, the engine itself remembers what is done.
        stop_reading: Called when the setting `limit` is reached.
        on_progress: Called about once a second with the counts, and how far delivery is.
    """

    clock: Clock
    delivery: Delivery
    outcomes: Outcomes
    write_state: Callable[[str], None] = lambda _: None
    stop_reading: Callable[[], None] = lambda: None
    on_progress: Callable[[RunCounts, DeliveryStatus], None] = lambda *_: None
