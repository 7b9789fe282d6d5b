"""Which STATE may be written; `Run` writes it, in `_advance_state`.

Batches are numbered as they are opened. Every record read before a STATE is in a batch with a
smaller number than the next batch to be opened, or has its outcome already. So a STATE may be
written once all batches with smaller numbers are finished, unless the gate is closed as a whole.

A run that delivers nothing and rejects many records fails without STATE. So until something is
delivered, no STATE passes a record that was rejected: it counts as an unfinished batch.
"""

from __future__ import annotations

import math
from collections import deque


class StateGate:
    """Holds STATEs back until every record before them has its outcome.

    Attributes:
        is_closed: Whether no STATE may be written any more.
        awaits_stream: Whether no STATE may be written yet, as no stream that gives events has come.
    """

    def __init__(self) -> None:
        self.is_closed = self.awaits_stream = False
        self._next = 0
        self._unfinished: dict[int, int] = {}  # Places among the batches, by number.
        self._withheld: float = math.inf  # The first place with a rejected record.
        self._released = False
        self._held: deque[tuple[int, str]] = deque()
        self._written: str | None = None

    def open_batch(self, beside: int | None = None) -> int:
        """Return the number of a new batch. It holds back the same STATEs as the one `beside`."""
        number = self._next
        self._next += 1
        self._unfinished[number] = number if beside is None else self._unfinished[beside]
        return number

    def finish_batch(self, number: int, *, rejected: bool = False) -> None:
        """Note that a batch has its outcomes; if it has rejections, STATE waits for `release`."""
        place = self._unfinished.pop(number)
        if rejected and not self._released:
            self._withheld = min(self._withheld, place)

    def withhold(self) -> None:
        """Hold back each STATE after the record that was just read, until `release`."""
        if not self._released and self._withheld == math.inf:  # It holds back all later STATEs.
            self._withheld = self._next
            self._next += 1

    @property
    def withholds(self) -> bool:
        """Whether a STATE waits for `release`. It may wait for batches as well."""
        return self._withheld < math.inf and bool(self._held) and self._is_open

    @property
    def _is_open(self) -> bool:
        return not (self.is_closed or self.awaits_stream)

    def release(self) -> None:
        """From now on, let rejected records hold back no STATE."""
        self._released = True
        self._withheld = math.inf

    def hold(self, state: str) -> None:
        """Remember a STATE that was just read; it stands for everything read before it."""
        if self._held and self._held[-1][0] == self._next:
            self._held.pop()  # It waits for the same batches, so only the newer one matters.
        self._held.append((self._next, state))

    def due(self) -> str | None:
        """Return the newest STATE that may be written, unless it was the last to be returned.

        The caller writes it; the gate does not return it a second time.
        """
        if not self._is_open:
            return None
        oldest = min((self._next, self._withheld, *self._unfinished.values()))
        state = None
        while self._held and self._held[0][0] <= oldest:
            state = self._held.popleft()[1]
        if state is None or state == self._written:
            return None
        self._written = state
        return state
