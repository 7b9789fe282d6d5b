"""The formats of delivered events: rows for a spreadsheet, or a Singer stream for a database.

What takes the rows, be it a file or the objects of a bucket, begins with the `head` of the format
and then appends its `rows`. The ending of `delivered_path` says which format it is.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from target_liveintent.conversions import DELIVERED_EVENTS, SentEvent

CSV_COLUMNS = {
    "event_time": "When the conversion happened, in UTC: `2026-08-01T16:00:00Z`.",
    "order_id": "Your order number.",
    "source": "`web`, `app` or `offline`.",
    "device_id": "The `idfa`, or the `aaid` if the event has no `idfa`.",
    "email_hash": "The `md5`, or the `sha2` if the event has no `md5`.",
    "value": "The amount, with the digits that were sent.",
    "currency": "The three-letter currency code, such as `USD`.",
}
"""The headings, each with a sentence for the documentation."""
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (the rows say that it is UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""The characters that start a formula in a spreadsheet, and the apostrophe that prevents one."""

_KEY = {"type": "string"}
_TEXT = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
SINGER_COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "event_id": (
        _KEY,
        "The event's ID. Together with `stream` and `pixel_id`, it identifies the event.",
    ),
    "stream": (_KEY, "The tap's stream from which the event comes."),
    "pixel_id": ({"type": "integer"}, "The pixel to which the event belongs."),
    "event_time": (_TIME, "When the conversion happened (UTC timestamp)."),
    "sent_at": (_TIME, "When the request that delivered the event was sent (UTC timestamp)."),
    "outcome": (_KEY, "Always `delivered`."),
    "run_id": (_KEY, "The ID of the run that sent the event."),
    "source": (_KEY, "`web`, `app` or `offline`."),
    "order_id": (_TEXT, "Your order number."),
    "value": ({"type": ["number", "null"]}, "The amount, with the digits that were sent."),
    "currency": (_TEXT, "The three-letter currency code, such as `USD`."),
    "md5": (_TEXT, "The MD5 of the e-mail address, as it was sent."),
    "sha2": (_TEXT, "The SHA-256 of the e-mail address, as it was sent."),
    "decision_id": (_TEXT, "LiveIntent's decision ID."),
    "idfa": (_TEXT, "The device ID of an Apple device."),
    "aaid": (_TEXT, "The device ID of an Android device."),
}
"""The columns of a row, each with its JSON schema and a sentence for the documentation."""
_SINGER_SCHEMA = {
    "type": "SCHEMA",
    "stream": DELIVERED_EVENTS,
    # With them, a database has one row for each event, however often the file is loaded, or the
    # event was sent.
    "key_properties": ["event_id", "stream", "pixel_id"],
    "schema": {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in SINGER_COLUMNS.items()},
    },
}
# What an event lacks is left out.
_Record: Any = msgspec.defstruct(
    "_Record", [(name, Any, None) for name in SINGER_COLUMNS], omit_defaults=True, gc=False
)
# A Decimal is written as a JSON number with the digits that were sent.
_encode = msgspec.json.Encoder(decimal_format="number").encode
_LINE = b'{"type":"RECORD","stream":"%s","record":%%s}\n' % DELIVERED_EVENTS.encode()


class DeliveredEvent(NamedTuple):
    """An event that LiveIntent has accepted.

    Attributes:
        event: The event, read back from what was sent.
        stream: The tap's name of the stream that it came from.
        sent_at: Unix time, in seconds, of the request.
    """

    event: SentEvent
    stream: str
    sent_at: float


class RowFormat(Protocol):
    """How delivered events are written.

    Attributes:
        head: The lines before all rows.
        repeat_head: Whether each run that appends rows writes the head again.
        ending: The ending of the names of files.
    """

    head: bytes
    repeat_head: bool
    ending: str

    def rows(self, events: Iterable[DeliveredEvent]) -> bytes:
        """Return the lines of events."""


class CsvRows:
    """Rows of a CSV for spreadsheets, with the columns that LiveIntent compares.

    Args:
        path: The setting `delivered_path`.
        logger: Gets one warning when an apostrophe is put before an order ID.
    """

    head = (",".join(CSV_COLUMNS) + "\n").encode()
    repeat_head = False
    ending = ".csv"

    def __init__(self, path: str, logger: logging.Logger) -> None:
        self._path = path
        self._logger = logger
        self._warned = False

    def rows(self, events: Iterable[DeliveredEvent]) -> bytes:
        """Return the lines of events."""
        text = io.StringIO()
        rows = [_csv_row(delivered.event) for delivered in events]
        csv.writer(text, lineterminator="\n").writerows(rows)
        if not self._warned and any(row[1] and row[1].startswith("'") for row in rows):
            self._warned = True
            self._logger.warning(
                "some order IDs look like spreadsheet formulas, so the run puts an apostrophe"
                " before these IDs in delivered_path '%s'. LiveIntent gets the unchanged IDs",
                self._path,
            )
        return text.getvalue().encode()


def _csv_row(event: SentEvent) -> tuple[str | None, ...]:
    user, purchase = event.user_data, event.purchase_data
    order_id = purchase.order_id or ""
    return (
        _utc(event.event_time),
        f"'{order_id}" if order_id.startswith(_FORMULA) else order_id,
        event.source,
        user.idfa or user.aaid,
        user.md5 or user.sha2,
        None if purchase.value is None else str(purchase.value),
        purchase.currency,
    )


class SingerRows:
    """Rows of a Singer stream, which any target for a database loads.

    Args:
        run_id: The ID of the run.
    """

    head = _encode(_SINGER_SCHEMA) + b"\n"
    repeat_head = True  # So that rows of another version have the SCHEMA of that version.
    ending = ".singer"

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def rows(self, events: Iterable[DeliveredEvent]) -> bytes:
        """Return the lines of events."""
        return b"".join(map(self._line, events))

    def _line(self, delivered: DeliveredEvent) -> bytes:
        event, stream, sent_at = delivered
        user, purchase = event.user_data, event.purchase_data
        record = _Record(
            event.event_id,
            stream,
            event.pixel_id,
            _utc(event.event_time),
            _utc(sent_at, "milliseconds"),
            "delivered",
            self._run_id,
            event.source,
            purchase.order_id,
            purchase.value,
            purchase.currency,
            user.md5,
            user.sha2,
            event.decision_id,
            user.idfa,
            user.aaid,
        )
        return _LINE % _encode(record)


def _utc(unix_time: float, precision: str = "seconds") -> str:
    return f"{(_EPOCH + dt.timedelta(seconds=unix_time)).isoformat(timespec=precision)}Z"


def row_format(path: str, run_id: str, logger: logging.Logger) -> RowFormat:
    """Return the format of a `delivered_path`: a Singer stream if it ends in `.singer`, or a CSV.

    Args:
        path: The setting `delivered_path`.
        run_id: The ID of the run.
        logger: Gets warnings about what a format changes.
    """
    if path.rstrip("/").endswith(SingerRows.ending):  # A URL names a folder.
        return SingerRows(run_id)
    return CsvRows(path, logger)
