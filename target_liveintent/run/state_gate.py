"""Which STATE may be written: bookkeeping over batch numbers, nothing else.

Batches are numbered as they are opened. Everything that was read before a STATE is in a batch with
a smaller number than the next one, or has its fate already; so a STATE may be written once all
batches with smaller numbers are finished.
"""

from __future__ import annotations

from collections import deque


class StateGate:
    """Holds STATEs back until everything before them has its fate."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._next = 0
        self._unfinished: set[int] = set()
        self._held: deque[tuple[int, str]] = deque()
        self._written: str | None = None

    def open(self) -> int:
        """Number a new batch."""
        number = self._next
        self._next += 1
        self._unfinished.add(number)
        return number

    def finish(self, number: int) -> None:
        """All of a batch is delivered or on its way to the dead-letter file."""
        self._unfinished.remove(number)

    def hold(self, state: str) -> None:
        """Remember a STATE that was just read; it stands for all before it."""
        if self._held and self._held[-1][0] == self._next:
            self._held.pop()  # It waits for the same batches, so only the newer one matters.
        self._held.append((self._next, state))

    def due(self) -> str | None:
        """The newest STATE that may be written and says something new; it counts as written."""
        oldest = min(self._unfinished, default=self._next)
        state = None
        while self._held and self._held[0][0] <= oldest:
            state = self._held.popleft()[1]
        if state is None or state == self._written:
            return None
        self._written = state
        return state
