"""The batches of a run that delivery does not have yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from target_liveintent.clock import Clock
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.delivery.batch import Batch
from target_liveintent.run.states import StateGate
from target_liveintent.store.deduplication import Claim


class Batches:
    """The batches, of at most `size` events, that delivery does not have yet."""

    def __init__(self, gate: StateGate, size: int, clock: Clock) -> None:
        self._gate = gate
        self._size = size
        self._clock = clock
        self._open: dict[str, Batch] = {}
        self.full: list[Batch] = []  # The batches that wait for their reservation.
        # The batches whose events this or another run already sends. They wait for the outcome.
        self.waiting: list[Batch] = []
        self.reserved: deque[Batch] = deque()  # The batches that wait until delivery has room.

    def __bool__(self) -> bool:
        """Return whether a batch is closed and delivery does not have it yet."""
        return bool(self.full or self.waiting or self.reserved)

    @property
    def without_claim(self) -> dict[int, list[Conversion]]:
        """The events of open, full and waiting batches, by the number of the batch."""
        batches = [*self._open.values(), *self.full, *self.waiting]
        return {batch.number: batch.conversions for batch in batches}

    def add(self, stream: str, conversion: Conversion) -> bool:
        """Put a conversion into its stream's batch; return whether that batch is full now."""
        batch = self._open.get(stream)
        if batch is None:
            number = self._gate.open_batch()
            opened_at, read_at = self._clock.monotonic(), self._clock.time()
            batch = self._open[stream] = Batch(number, stream, opened_at, read_at, [])
        batch.conversions.append(conversion)
        return len(batch.conversions) >= self._size

    def close(self, stream: str) -> None:
        """Close the open batch of a stream, if there is one."""
        if stream in self._open:
            self.full.append(self._open.pop(stream))

    def close_opened_before(self, moment: float) -> None:
        """Close the batches that were opened at or before a monotonic time."""
        for stream in [name for name, one in self._open.items() if one.opened_at <= moment]:
            self.close(stream)

    def divide(self, claims: Iterable[tuple[Batch, Claim]]) -> None:
        """Divide full and waiting batches by what must be done with their events.

        Events that this run must send go into reserved batches. Events that this or another run is
        sending go into waiting batches. Events that were sent before are left out. The events of a
        divided batch hold back the same STATEs as before.
        """
        self.full, self.waiting = [], []
        for batch, claim in claims:
            rest = batch
            if claim.mine:
                if claim.waiting:
                    number = self._gate.open_batch(beside=batch.number)
                    rest = Batch(number, batch.stream, batch.opened_at, batch.read_at, [])
                batch.conversions = claim.mine
                self.reserved.append(batch)
            if claim.waiting:
                rest.conversions = claim.waiting
                self.waiting.append(rest)
            elif not claim.mine:
                self._gate.finish_batch(batch.number)
