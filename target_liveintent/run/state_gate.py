"""Which STATE may be written; `Run` writes it, in `_advance_state`.

Batches are numbered as they are opened. Every record read before a STATE is in a batch with a
smaller number than the next batch to be opened, or has its outcome already. So a STATE may be
written once all batches with smaller numbers are finished, unless the gate is closed as a whole.

A run that delivers nothing and rejects many records fails without STATE. So until something is
delivered, no STATE passes a record that was rejected: it counts as an unfinished batch.
"""

from __future__ import annotations

import contextlib
import enum
from collections import deque
from collections.abc import Iterator


class Closed(enum.Enum):
    """Why no STATE at all may be written."""

    TRIAL_RUN = "a dry run sends nothing, and a canary's events are all read again"
    NO_STREAM_GIVES_EVENTS = "no stream that gives events has come yet"
    WRITE_FAILED = "a dead letter, a delivered row or a STATE could not be written"
    TOO_MANY_REJECTED = "too many records became dead letters"


class StateGate:
    """Holds STATEs back until every record before them has its outcome."""

    def __init__(self) -> None:
        self._closed: set[Closed] = set()
        self._next = 0
        self._unfinished: dict[int, int] = {}  # Places among the batches, by number.
        self._withheld: set[int] = set()  # Places of batches with a rejected record.
        self._released = False
        self._held: deque[tuple[int, str]] = deque()
        self._written: str | None = None

    def close(self, reason: Closed) -> None:
        """Let no STATE pass while there is this reason."""
        self._closed.add(reason)

    def reopen(self, reason: Closed) -> None:
        """Take a reason back; the gate is open when there is none."""
        self._closed.discard(reason)

    @contextlib.contextmanager
    def closed_by_failure(self) -> Iterator[None]:
        """Close the gate for good if the block, which writes something, raises."""
        try:
            yield
        except BaseException:
            self.close(Closed.WRITE_FAILED)
            raise

    def open_batch(self, beside: int | None = None) -> int:
        """Return the number of a new batch.

        Args:
            beside: The number of an unfinished batch; the new one holds back the same STATEs.
        """
        number = self._next
        self._next += 1
        self._unfinished[number] = number if beside is None else self._unfinished[beside]
        return number

    def finish_batch(self, number: int, *, rejected: bool = False) -> None:
        """Note that all of a batch is delivered, or written as dead letters.

        Args:
            number: The batch.
            rejected: Whether no STATE may pass the batch before `release`.
        """
        place = self._unfinished.pop(number)
        if rejected and not self._released:
            self._withheld.add(place)

    def withhold(self) -> None:
        """Let no STATE pass the record that was just read before `release`."""
        if not self._released and not self._withheld:  # The first one holds back all later STATEs.
            self._withheld.add(self._next)
            self._next += 1

    @property
    def withholds(self) -> bool:
        """Whether a STATE waits that may be written after `release`, if nothing else holds it."""
        return bool(self._withheld and self._held and not self._closed)

    def release(self) -> None:
        """Let STATEs pass rejected records, from now on."""
        self._released = True
        self._withheld.clear()

    def hold(self, state: str) -> None:
        """Remember a STATE that was just read; it stands for everything read before it."""
        if self._held and self._held[-1][0] == self._next:
            self._held.pop()  # It waits for the same batches, so only the newer one matters.
        self._held.append((self._next, state))

    def due(self) -> str | None:
        """Return the newest STATE that may be written, unless it was the last to be returned.

        The caller writes it; the gate does not return it a second time.
        """
        if self._closed:
            return None
        oldest = min((self._next, *self._withheld, *self._unfinished.values()))
        state = None
        while self._held and self._held[0][0] <= oldest:
            state = self._held.popleft()[1]
        if state is None or state == self._written:
            return None
        self._written = state
        return state
