"""The batches of a run, and which STATE may be written; `StatePublisher` writes it.

Batches are numbered as they are opened. Every record read before a STATE is in a batch with a
smaller number than the next one to be opened, or has its outcome already. So a STATE may be written
once all batches with smaller numbers are finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from target_liveintent.clock import Clock
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.delivery.batch import Batch
from target_liveintent.store.ledger import Claim


class StateGate:
    """Holds STATEs back until every record before them has its outcome."""

    def __init__(self) -> None:
        self._next = 0
        self._unfinished: dict[int, int] = {}  # Places among the batches, by number.
        self._held: deque[tuple[int, str]] = deque()
        self._written: str | None = None

    def open_batch(self, beside: int | None = None) -> int:
        """Return the number of a new batch. It holds back the same STATEs as the one `beside`."""
        number = self._next
        self._next += 1
        self._unfinished[number] = number if beside is None else self._unfinished[beside]
        return number

    def finish_batch(self, number: int) -> None:
        """Note that each record of a batch has its outcome."""
        del self._unfinished[number]

    def hold(self, state: str) -> None:
        """Remember a STATE that was just read; it stands for everything read before it."""
        if self._held and self._held[-1][0] == self._next:
            self._held.pop()  # It waits for the same batches, so only the newer one matters.
        self._held.append((self._next, state))

    @property
    def holds(self) -> bool:
        """Whether a STATE waits."""
        return bool(self._held)

    def due(self) -> str | None:
        """Return the newest STATE that may be written, unless it was the last to be returned."""
        oldest = min((self._next, *self._unfinished.values()))
        state = None
        while self._held and self._held[0][0] <= oldest:
            state = self._held.popleft()[1]
        if state is None or state == self._written:
            return None
        self._written = state
        return state


class Batches:
    """The batches, of at most `size` events, that delivery does not have yet."""

    def __init__(self, gate: StateGate, size: int, clock: Clock) -> None:
        self._gate = gate
        self._size = size
        self._clock = clock
        self._open: dict[str, Batch] = {}
        self.full: list[Batch] = []  # They wait to be reserved.
        # Their events are on their way, in this run or another one; they wait for the outcome.
        self.waiting: list[Batch] = []
        self.reserved: deque[Batch] = deque()  # They wait to be handed over.

    def __bool__(self) -> bool:
        """Return whether a closed batch waits for something."""
        return bool(self.full or self.waiting or self.reserved)

    def add(self, stream: str, conversion: Conversion) -> bool:
        """Put a conversion into its stream's batch; return whether that batch is full now."""
        batch = self._open.get(stream)
        if batch is None:
            number = self._gate.open_batch()
            batch = self._open[stream] = Batch(number, stream, self._clock.monotonic(), [])
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
        """Divide all full and waiting batches, which hold back the same STATEs afterwards.

        Events that this run must send are reserved now, others wait; those sent have their outcome.
        """
        self.full, self.waiting = [], []
        for batch, claim in claims:
            rest = batch
            if claim.mine:
                if claim.waiting:
                    number = self._gate.open_batch(beside=batch.number)
                    rest = Batch(number, batch.stream, batch.opened_at, [])
                batch.conversions = claim.mine
                self.reserved.append(batch)
            if claim.waiting:
                rest.conversions = claim.waiting
                self.waiting.append(rest)
            elif not claim.mine:
                self._gate.finish_batch(batch.number)
