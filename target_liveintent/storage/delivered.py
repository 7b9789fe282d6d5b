"""The file of delivered events, in one of the formats of `delivered_rows`.

Rows are appended and are durable before STATE is written; only the owner may read the file. An
event that is sent again, for example after a crash before STATE, appends another row.
"""

from __future__ import annotations

from collections.abc import Iterable

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.delivered_rows import DeliveredEvent, RowFormat
from target_liveintent.storage.files import AppendedFile


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
