"""What was delivered, read back from the bytes that were sent, and the file of it.

The file is a CSV for the reconciliation with what LiveIntent has counted: appended, durable before
STATE, and for its owner only. An event that is sent again (after a crash before STATE, say) gives
the same row again.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal  # noqa: TC003 (msgspec reads it)
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.files import AppendedFile

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from target_liveintent.conversions.model import Conversion


class _UserData(msgspec.Struct, gc=False):
    md5: str | None = None
    sha2: str | None = None
    ip: str | None = None
    ua: str | None = None
    idfa: str | None = None
    aaid: str | None = None


class _PurchaseData(msgspec.Struct, gc=False, rename="camel"):
    currency: str | None = None
    value: Decimal | None = None
    order_id: str | None = None


class SentEvent(msgspec.Struct, gc=False, rename="camel"):
    """The parts of an event on the wire that are told of; the value to its last digit."""

    event_time: int
    source: str
    user_data: _UserData
    purchase_data: _PurchaseData
    decision_id: str | None = None


_decode = msgspec.json.Decoder(list[SentEvent]).decode


def read_back(conversions: Iterable[Conversion]) -> list[SentEvent]:
    """The events of conversions, as they were sent."""
    return _decode(b"[" + b",".join(conversion.body for conversion in conversions) + b"]")


class Column(NamedTuple):
    """A column of the file.

    Attributes:
        name: Its heading.
        meaning: For the documentation.
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
"""What a spreadsheet takes for the start of a formula, and the mark that stops it."""


def _row(event: SentEvent) -> tuple[str | None, ...]:
    user, purchase = event.user_data, event.purchase_data
    happened = _EPOCH + dt.timedelta(seconds=event.event_time)
    return (
        f"{happened.isoformat()}Z",
        _defused(purchase.order_id or ""),
        event.source,
        user.idfa or user.aaid,
        user.md5 or user.sha2,
        None if purchase.value is None else str(purchase.value),
        purchase.currency,
    )


def _defused(text: str) -> str:
    """A text that no spreadsheet computes: one apostrophe more, which is to be taken off again."""
    return f"'{text}" if text.startswith(_FORMULA) else text


class DeliveredFile:
    """Appends a row for each delivered event.

    Args:
        path: The file; opened at once, so that nothing is sent if it cannot be written.
        logger: Told once, if an order ID had to be marked.

    Raises:
        ConfigurationError: If the file cannot be written.
    """

    def __init__(self, path: str, logger: logging.Logger) -> None:
        """Open the file."""
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
