"""Where delivered events go, in one of the formats of `delivered_rows`: a file, or objects.

Rows are durable before STATE is written; only the owner may read the file. An event that is sent
again, for example after a crash before STATE, has another row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.delivered_rows import DeliveredEvent, RowFormat
from target_liveintent.storage.files import AppendedFile
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.object_writer import ObjectWriter


class DeliveredWriter(Protocol):
    """Takes the rows of a run; each method raises `StorageError` if it fails."""

    def write_events(self, events: Iterable[DeliveredEvent]) -> None:
        """Write the rows of events."""

    def sync(self) -> None:
        """Make the rows survive a power cut, before a STATE that covers them."""

    def sync_batch(self) -> None:
        """Make the rows survive a power cut, if a batch alone is worth it, before the ledger."""

    def cover(self) -> None:
        """Note that a STATE was written that covers all rows so far."""

    def close(self) -> None:
        """Sync, and take no more rows."""


class DeliveredFile(AppendedFile):
    """The file of delivered events; it is opened at once, so that nothing is sent if that fails.

    Args:
        path: The setting `delivered_path`.
        rows: The format of the rows.

    Raises:
        ConfigurationError: If the file cannot be written.
    """

    def __init__(self, path: str, rows: RowFormat) -> None:
        super().__init__("delivered_path", path, rows.head, repeat_head=rows.repeat_head)
        self._rows = rows
        try:
            self.open()
        except StorageError as error:
            raise ConfigurationError(str(error)) from None

    def write_events(self, events: Iterable[DeliveredEvent]) -> None:
        """Append the rows of events."""
        self.write(self._rows.rows(events))

    def sync_batch(self) -> None:
        """Sync new rows: what the ledger knows is not sent again, so no row may be lost."""
        if self._unsynced:
            self.sync()


class DeliveredObjects(ObjectWriter):
    """The parts of a folder in an object store: one for each STATE that has rows.

    Args:
        store: The folder that the setting `delivered_path` names.
        rows: The format of the rows.
        run_id: The ID of the run.
        clock: Tells the time.
    """

    def __init__(
        self, store: ObjectStore, rows: RowFormat, run_id: str, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(store, rows.head, rows.ending, run_id, clock)
        self._rows = rows

    def write_events(self, events: Iterable[DeliveredEvent]) -> None:
        """Take the rows of events."""
        self.write(self._rows.rows(events))

    def sync_batch(self) -> None:
        """Do nothing: a batch alone is no part. A kill before STATE loses rows that wait."""
