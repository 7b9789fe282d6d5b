"""What a run works with: the things that it is given instead of making them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_liveintent.clock import Clock
    from target_liveintent.delivery.model import Batch, BatchResult
    from target_liveintent.run.counts import RunCounts
    from target_liveintent.storage.dead_letters import DeadLetterWriter
    from target_liveintent.storage.delivered import DeliveredFile, SentEvent
    from target_liveintent.storage.ledger import Ledger


class Delivery(Protocol):
    """Delivers batches: `DeliveryPool`, or `DryRun`."""

    @property
    def in_flight(self) -> int:
        """How many batches were submitted and not taken back yet."""

    @property
    def waiting(self) -> int:
        """How many of them wait to be tried again."""

    @property
    def full(self) -> bool:
        """Whether a batch must be taken back before another one is submitted."""

    def submit(self, batch: Batch) -> None:
        """Hand over a batch."""

    def take(self, seconds: float) -> BatchResult | None:
        """Take a finished batch back; wait for one for at most so many seconds."""

    def wake(self) -> None:
        """End the wait in `take`. Safe in a signal handler."""

    def stop(self, seconds: float) -> None:
        """Send nothing more after so many seconds."""

    def close(self) -> None:
        """Release threads."""


class DeliveryObserver(Protocol):
    """Follows what a run delivers."""

    def delivered(
        self,
        stream: str,
        events: Sequence[SentEvent],
        sent_at: Sequence[float],
        latencies: Sequence[float],
    ) -> None:
        """Note the result of a batch.

        Args:
            stream: The name under which its events are counted.
            events: Those of its events that were delivered.
            sent_at: Unix time, in seconds, at which each of them was sent.
            latencies: Seconds that each request took.
        """


class ProgressObserver(Protocol):
    """Follows how far a run is."""

    def __call__(self, counts: RunCounts, in_flight: int, waiting: int) -> None:
        """Note how far the run is; called about once a second.

        Args:
            counts: The counts of the run.
            in_flight: Batches that are being delivered.
            waiting: How many of them wait to be tried again.
        """


def _ignore_state(state: str) -> None:
    """Write nothing: the engine itself remembers what is done."""


def _ignore_progress(counts: RunCounts, in_flight: int, waiting: int) -> None:
    """Note nothing."""


def _read_on() -> None:
    """Do nothing: the engine reads to the end."""


class RunParts(NamedTuple):
    """What a run works with. `assembly.parts_of` makes it from the settings.

    Attributes:
        clock: Tells the time.
        delivery: Delivers batches.
        letters: Takes the dead letters.
        ledger: Knows which events were delivered before; None without the setting.
        delivered_file: Takes what was delivered; None without the setting.
        write_state: Writes a STATE.
        stop_reading: Called when the setting `limit` is reached.
        observer: Follows what is delivered; None if nothing does.
        on_progress: Follows how far the run is.
    """

    clock: Clock
    delivery: Delivery
    letters: DeadLetterWriter
    ledger: Ledger | None = None
    delivered_file: DeliveredFile | None = None
    write_state: Callable[[str], None] = _ignore_state
    stop_reading: Callable[[], None] = _read_on
    observer: DeliveryObserver | None = None
    on_progress: ProgressObserver = _ignore_progress
