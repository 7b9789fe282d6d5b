"""Keeps what was delivered: in the delivered file, in the ledger, and for an observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_liveintent.storage.delivered import read_back

if TYPE_CHECKING:
    from target_liveintent.delivery.model import BatchResult
    from target_liveintent.run.parts import RunParts


class Receipts:
    """Passes on what was delivered, in the order that a crash cannot harm.

    Args:
        parts: What the run works with.
    """

    def __init__(self, parts: RunParts) -> None:
        """Keep nothing yet."""
        self._observer = parts.observer
        self._file = parts.delivered_file
        self._ledger = parts.ledger

    def keep(self, result: BatchResult) -> None:
        """Keep what was delivered of a batch.

        Raises:
            StorageError: If a file cannot be written.
        """
        if self._observer is not None or self._file is not None:
            events = read_back(result.delivered)
            if self._observer is not None:
                self._observer.delivered(
                    result.batch.stream, events, result.sent_at, result.latencies
                )
            if self._file is not None and events:
                self._file.write(events)
                if self._ledger is not None:
                    # What the ledger knows is not sent again, so its row must not be lost.
                    self._file.sync()
        if self._ledger is not None:
            self._ledger.end(result.batch.conversions, result.confirmed)

    def sync(self) -> None:
        """Make the delivered file durable.

        Raises:
            StorageError: If that is not possible.
        """
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._ledger is not None:
            self._ledger.close()
