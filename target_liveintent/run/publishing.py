"""Publishes STATE: the only place where STATE is written, and where it is withheld.

A STATE is written after everything before it is durable. Two things hold it back: batches without
an outcome (see `StateGate`), and dead letters that may fail the run.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator

from target_liveintent.errors import TooManyRejectedError
from target_liveintent.run.batches import StateGate
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.doubts import too_many_rejected


class Judgement(enum.Enum):
    """How the dead letters of a run are judged before a STATE."""

    BEFORE_END = enum.auto()
    """A few bad rows at the start say little, so more of them are needed to fail the run."""
    AT_END = enum.auto()
    PASSED = enum.auto()
    """The whole run was judged, and did not fail."""


class StatePublisher:
    """Writes each STATE when it is due, unless the run may not write any more.

    Args:
        gate: Holds the STATEs back until their batches are finished.
        counts: The figures of the run.
        percent: The setting `max_dead_letter_percent`.
        write_outcomes: Writes all outcomes, and checks that the store has all of the run.
        write_state: Writes a STATE to its reader.
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
        self._judgement = Judgement.BEFORE_END

    def close(self) -> None:
        """Write no STATE any more: the store may lack what comes before it."""
        self._is_open = False

    def begin_end(self) -> None:
        """Judge the dead letters as at the end of a run from now on."""
        self._judgement = Judgement.AT_END

    def publish_last(self) -> None:
        """Judge the whole run, and write the last STATE.

        Raises:
            TooManyRejectedError: If there are too many dead letters. No STATE is written then.
        """
        with self._closed_on_failure():
            self._judge()
        self._judgement = Judgement.PASSED
        self.publish_due()

    def publish_due(self) -> None:
        """Write the STATE that is due, if there is one.

        Raises:
            TooManyRejectedError: If there are too many dead letters before a STATE, even before one
                that is withheld: a run that delivers nothing must not read a million bad records.
            StorageError: If the outcomes or STATE cannot be written.
        """
        if not self._is_open:
            return
        is_withheld = self._is_withheld()
        state = None if is_withheld else self._gate.due()
        if state is None and not (is_withheld and self._gate.holds):
            return
        with self._closed_on_failure():
            self._judge()
            if state is not None:
                self._write_outcomes()
                self._write_state(state)

    def _is_withheld(self) -> bool:
        """Return whether a record was rejected, and nothing is delivered: the run may fail yet."""
        if self._judgement is Judgement.PASSED or self._counts.has_taken:
            return False
        return bool(self._counts.lost)

    def _judge(self) -> None:
        at_end = self._judgement is not Judgement.BEFORE_END
        if problem := too_many_rejected(self._counts, self._percent, at_end=at_end):
            raise TooManyRejectedError(problem)

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise
