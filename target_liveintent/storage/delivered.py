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

from target_liveintent.conversions import SentEvent
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.files import AppendedFile

COLUMNS = {
    "event_time": "When it happened, in UTC: `2026-08-01T16:00:00Z`.",
    "order_id": "Your order number.",
    "source": "`web`, `app` or `offline`.",
    "device_id": "The idfa; the aaid where there is none.",
    "email_hash": "The md5; the sha2 where there is none.",
    "value": "The amount, with the digits that were sent.",
    "currency": "Three letters.",
}
"""The headings, each with a sentence for the documentation."""
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (the rows say that it is UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""The characters that start a formula in a spreadsheet, and the apostrophe that prevents one."""


def _row(event: SentEvent) -> tuple[str | None, ...]:
    user, purchase = event.user_data, event.purchase_data
    happened = _EPOCH + dt.timedelta(seconds=event.event_time)
    order_id = purchase.order_id or ""
    return (
        f"{happened.isoformat()}Z",
        f"'{order_id}" if order_id.startswith(_FORMULA) else order_id,
        event.source,
        user.idfa or user.aaid,
        user.md5 or user.sha2,
        None if purchase.value is None else str(purchase.value),
        purchase.currency,
    )


class DeliveredFile(AppendedFile):
    """The file of delivered events; it is opened at once, so that nothing is sent if that fails.

    Args:
        path: The setting `delivered_path`.
        logger: Gets one warning when an apostrophe is put before an order ID.

    Raises:
        ConfigurationError: If the file cannot be written.
    """

    def __init__(self, path: str, logger: logging.Logger) -> None:
        head = ",".join(COLUMNS) + "\n"
        super().__init__("delivered_path", path, head.encode(), repeat_head=False)
        self._logger = logger
        self._warned = False
        try:
            self.open()
        except StorageError as error:
            raise ConfigurationError(str(error)) from None

    def write_events(self, events: Iterable[SentEvent]) -> None:
        """Append the rows of events."""
        text = io.StringIO()
        rows = [_row(event) for event in events]
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.write(text.getvalue().encode())
        if not self._warned and any(row[1] and row[1].startswith("'") for row in rows):
            self._warned = True
            self._logger.warning(
                "order IDs that a spreadsheet would take for a formula have an apostrophe before"
                " them in delivered_path '%s'; the events have the IDs as they are",
                self._path,
            )
