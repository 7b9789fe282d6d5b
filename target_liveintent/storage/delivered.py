"""The file of delivered events: a CSV for the reconciliation with what LiveIntent has counted.

Rows are appended and are durable before STATE is written; only the owner may read the file. An
event that is sent again, for example after a crash before STATE, appends the same row again.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
from collections.abc import Iterable
from typing import NamedTuple

from target_liveintent.conversions import SentEvent
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.files import AppendedFile


class Column(NamedTuple):
    """A column of the file.

    Attributes:
        name: The heading.
        meaning: A sentence for the documentation.
    """

    name: str
    meaning: str


COLUMNS = (
    Column("event_time", "When it happened, in UTC: `2026-08-01T16:00:00Z`."),
    Column("order_id", "Your order number."),
    Column("source", "`web`, `app` or `offline`."),
    Column("device_id", "The idfa; the aaid where there is none."),
    Column("email_hash", "The md5; the sha2 where there is none."),
    Column("value", "The amount, with the digits that were sent."),
    Column("currency", "Three letters."),
)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (the rows say that it is UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""The characters that start a formula in a spreadsheet, and the apostrophe that prevents one."""


def _row(event: SentEvent) -> tuple[str | None, ...]:
    user, purchase = event.user_data, event.purchase_data
    happened = _EPOCH + dt.timedelta(seconds=event.event_time)
    return (
        f"{happened.isoformat()}Z",
        _without_formula(purchase.order_id or ""),
        event.source,
        user.idfa or user.aaid,
        user.md5 or user.sha2,
        None if purchase.value is None else str(purchase.value),
        purchase.currency,
    )


def _without_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


class DeliveredFile:
    """Appends a row for each delivered event.

    Args:
        path: The file. It is opened at once, so that nothing is sent if it cannot be written.
        logger: Gets one warning when an apostrophe is put before an order ID.

    Raises:
        ConfigurationError: If the file cannot be written.
    """

    def __init__(self, path: str, logger: logging.Logger) -> None:
        self._path = path
        self._logger = logger
        self._warned = False
        head = ",".join(column.name for column in COLUMNS) + "\n"
        self._file = AppendedFile("delivered_path", path, head.encode(), repeat_head=False)
        try:
            self._file.open()
        except StorageError as error:
            raise ConfigurationError(str(error)) from None

    def write(self, events: Iterable[SentEvent]) -> None:
        """Append the rows of events.

        Raises:
            StorageError: If the file cannot be written.
        """
        text = io.StringIO()
        rows = [_row(event) for event in events]
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())
        if not self._warned and any(row[1] and row[1].startswith("'") for row in rows):
            self._warned = True
            self._logger.warning(
                "order IDs that a spreadsheet would take for a formula have an apostrophe before"
                " them in delivered_path '%s'; the events have the IDs as they are",
                self._path,
            )

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        self._file.sync()

    def close(self) -> None:
        """Sync and close."""
        self._file.close()
