"""Decides which STATE may be written, and when.

A STATE is written after everything before it is durable. Two things can prevent this: a batch
without an outcome (`StateGate`), and dead letters that may fail the run (`StatePublisher`).

Batches are numbered in the order in which they are opened. When a STATE is read, each record before
it has its outcome already, or is in a batch that was opened before. So the STATE may be written
when all batches with a smaller number than the next batch are finished.
"""

from __future__ import annotations

import contextlib
import enum
from collections import deque
from collections.abc import Callable, Iterator

from target_liveintent.errors import TooManyRejectedError
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.stopping import too_many_rejected


class StateGate:
    """Holds STATEs back until every record before them has its outcome."""

    def __init__(self) -> None:
        self._next = 0
        self._unfinished: dict[int, int] = {}  # By number: the oldest batch it belongs to.
        self._held: deque[tuple[int, str]] = deque()
        self._written: str | None = None

    def open_batch(self, beside: int | None = None) -> int:
        """Return the number of a new batch.

        If the new batch is a part of the batch `beside`, it holds back the same STATEs.
        """
        number = self._next
        self._next += 1
        self._unfinished[number] = number if beside is None else self._unfinished[beside]
        return number

    def finish_batch(self, number: int) -> None:
        """Note that each record of a batch has its outcome."""
        del self._unfinished[number]

    def hold(self, state: str) -> None:
        """Remember a STATE that was just read; it covers everything read before it."""
        if self._held and self._held[-1][0] == self._next:
            self._held.pop()  # Both wait for the same batches, so only the newer STATE matters.
        self._held.append((self._next, state))

    @property
    def holds(self) -> bool:
        """Whether a STATE waits."""
        return bool(self._held)

    def due(self) -> str | None:
        """Return the newest STATE that may be written.

        The result is None if there is none, or if it equals the last one that was returned.
        """
        oldest = min((self._next, *self._unfinished.values()))
        state = None
        while self._held and self._held[0][0] <= oldest:
            state = self._held.popleft()[1]
        if state is None or state == self._written:
            return None
        self._written = state
        return state


class DeadLetterCheck(enum.Enum):
    """Which check for too many dead letters comes before the next STATE."""

    BEFORE_END = enum.auto()
    """A few bad rows at the start say little, so only many dead letters fail the run."""
    AT_END = enum.auto()
    PASSED = enum.auto()
    """The check at the end did not fail the run."""


class StatePublisher:
    """Writes each STATE when it is due, as long as the run may write STATE.

    Args:
        gate: Holds the STATEs back until their batches are finished.
        counts: The figures of the run.
        percent: The setting `max_dead_letter_percent`.
        write_outcomes: Writes all outcomes, and checks that the store has lost none of them.
        write_state: Writes a STATE for the orchestrator.
        is_open: Whether the run may write STATE at all.
    """

    def __init__(  # noqa: PLR0913 (an argument for each thing that it needs)
        self,
        gate: StateGate,
        counts: RunCounts,
        percent: int,
        *,
        write_outcomes: Callable[[], None],
        write_state: Callable[[str], None],
        is_open: bool,
    ) -> None:
        self._gate = gate
        self._counts = counts
        self._percent = percent
        self._write_outcomes = write_outcomes
        self._write_state = write_state
        self._is_open = is_open
        self._letter_check = DeadLetterCheck.BEFORE_END

    def close(self) -> None:
        """Write no further STATE: the store may lack outcomes of records before it."""
        self._is_open = False

    def begin_end(self) -> None:
        """From now on, check the dead letters by the rules for the end of a run."""
        self._letter_check = DeadLetterCheck.AT_END

    def publish_last(self) -> None:
        """Check the dead letters of the whole run, and write the last STATE.

        Raises:
            TooManyRejectedError: If there are too many dead letters. Then no STATE is written.
        """
        with self._closed_on_failure():
            self._check_dead_letters()
        self._letter_check = DeadLetterCheck.PASSED
        self.publish_due()

    def publish_due(self) -> None:
        """Write the STATE that is due, if there is one.

        Raises:
            TooManyRejectedError: If there are too many dead letters before a STATE, even if the
                STATE is withheld: a run that delivers nothing must not read a million bad records.
            StorageError: If the outcomes or STATE cannot be written.
        """
        if not self._is_open:
            return
        is_withheld = self._is_withheld()
        state = None if is_withheld else self._gate.due()
        if state is None and not (is_withheld and self._gate.holds):
            return
        with self._closed_on_failure():
            self._check_dead_letters()
            if state is not None:
                self._write_outcomes()
                self._write_state(state)

    def _is_withheld(self) -> bool:
        """Return whether records were rejected but nothing is delivered: the run may still fail."""
        if self._letter_check is DeadLetterCheck.PASSED or self._counts.has_taken:
            return False
        return bool(self._counts.lost)

    def _check_dead_letters(self) -> None:
        at_end = self._letter_check is not DeadLetterCheck.BEFORE_END
        if problem := too_many_rejected(self._counts, self._percent, at_end=at_end):
            raise TooManyRejectedError(problem)

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise
