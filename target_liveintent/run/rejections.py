"""Gives rejected records their outcome: dropped, a dead letter, or the end of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from target_liveintent.conversions import Rejection
from target_liveintent.errors import TooManyRejectedError
from target_liveintent.reasons import REASONS
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.state_gate import StateGate
from target_liveintent.settings import Settings
from target_liveintent.storage import DeadLetterWriter, carry_over, dead_letter_line


class Rejections:
    """Writes dead letters, and counts what is rejected.

    Args:
        settings: The settings of the run.
        letters: Takes the dead letters.
        counts: The counts of the run.
        gate: Closed when a dead letter cannot be written.
    """

    def __init__(
        self, settings: Settings, letters: DeadLetterWriter, counts: RunCounts, gate: StateGate
    ) -> None:
        self._settings = settings
        self._letters = letters
        self._counts = counts
        self._gate = gate

    def reject(self, stream: str, rejection: Rejection) -> None:
        """Give a record its outcome, counted under the name of its stream.

        Raises:
            TooManyRejectedError: If `on_invalid` says that a rejection ends the run.
            StorageError: If the dead letter cannot be written.
        """
        counts = self._counts.of(stream)
        if not REASONS[rejection.reason].letter:
            counts.dropped[rejection.reason] += 1
            return
        if self._settings.fail_on_invalid:
            raise TooManyRejectedError(_explain(rejection))
        self._write(dead_letter_line(rejection))
        counts.rejected[rejection.reason] += 1

    def carry_over(self, stream: str, record: Mapping[str, Any]) -> None:
        """Write a dead letter that was read and is not replayed, and count it as such.

        Raises:
            StorageError: If it cannot be written.
        """
        self._write(carry_over(record))
        self._counts.of(stream).not_replayed[str(record["reason"])] += 1

    def _write(self, line: bytes) -> None:
        if not self._settings.dry_run:
            with self._gate.closed_by_failure():
                self._letters.write(line)


def _explain(rejection: Rejection) -> str:
    where = f", column {rejection.field}" if rejection.field else ""
    said = f" ({rejection.detail})" if rejection.detail else ""
    return (
        f"a record of stream '{rejection.stream}' was rejected as {rejection.reason}{where}{said},"
        f" event ID {rejection.event_id}, and on_invalid is 'fail'."
        f" {REASONS[rejection.reason].meaning}"
    )
