"""What a run works with: the things that it is given instead of making them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from target_liveintent.clock import Clock
from target_liveintent.conversions import SentEvent
from target_liveintent.delivery import DeliveryPool, DryRun
from target_liveintent.run.counts import RunCounts
from target_liveintent.storage import DeadLetterWriter, DeliveredFile, Ledger


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


class RunParts(NamedTuple):
    """What a run works with. `assembly.parts_of` makes it from the settings.

    Attributes:
        clock: Tells the time.
        delivery: Delivers batches.
        letters: Takes the dead letters.
        ledger: Knows which events were delivered before; None without the setting.
        delivered_file: Takes what was delivered; None without the setting.
        write_state: Writes a STATE. Without it, the engine itself remembers what is done.
        stop_reading: Called when the setting `limit` is reached.
        observer: Follows what is delivered; None if nothing does.
        on_progress: Called about once a second with the counts, the number of batches in flight,
            and how many of them wait to be tried again.
    """

    clock: Clock
    delivery: DeliveryPool | DryRun
    letters: DeadLetterWriter
    ledger: Ledger | None = None
    delivered_file: DeliveredFile | None = None
    write_state: Callable[[str], None] = lambda _: None
    stop_reading: Callable[[], None] = lambda: None
    observer: DeliveryObserver | None = None
    on_progress: Callable[[RunCounts, int, int], None] = lambda *_: None
