"""Delivered events: a row for each, to load elsewhere or to compare with LiveIntent's counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from target_liveintent.conversions.coerce import exact
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.settings import Account
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import storable, stored_id, stored_stream, utc
from target_liveintent.store.layout import SqlRow

DELIVERED_EVENTS = "liveintent_delivered"
"""The name of the stream that the command `delivered` prints, to load into a database."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""The characters that start a formula in a spreadsheet, and the apostrophe that prevents one."""
_ANY_TEXT = ("event_id", "stream", "order_id")

_KEY = {"type": "string"}
_TEXT = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
DELIVERED_COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
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
    "idfa": (_TEXT, "The advertising ID of an Apple device, a UUID."),
    "aaid": (_TEXT, "The advertising ID of an Android device, a UUID."),
}
"""The columns, each with its JSON schema and its description."""
_SCHEMA_MESSAGE = {
    "type": "SCHEMA",
    "stream": DELIVERED_EVENTS,
    # So a database has one row for each event, even if the stream is loaded more than once.
    "key_properties": ["event_id", "stream", "pixel_id"],
    "schema": {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in DELIVERED_COLUMNS.items()},
    },
}
_MOST_POWER = 1_000
_ORDER = "sent_at, stream, event_id, delivered.pixel_id"
_SQL = {
    "pixel_id": "delivered.pixel_id",
    "outcome": "'delivered'",
    "run_id": "run.id",
    "value": "CAST(value AS TEXT)",
}
"""The SQL of the columns for which the name alone does not work in the query."""
_READ = (
    f"SELECT {_ORDER}, {', '.join(_SQL.get(name, name) for name in DELIVERED_COLUMNS)}"  # noqa: S608
    f" FROM delivered LEFT JOIN run ON run.number = delivered.run WHERE ({_ORDER}) > (?, ?, ?, ?)"
    f" AND delivered.customer_id = ? AND delivered.api_host = ? ORDER BY {_ORDER}"
)
_encode = msgspec.json.Encoder().encode


def delivered_row(conversion: Conversion, sent_at: float, account: Account, run: int) -> SqlRow:
    """Return the row of an event that the run with the number `run` sent at a Unix time."""
    event = conversion.event
    user, purchase = event.user_data, event.purchase_data
    order_id = purchase.order_id and storable(purchase.order_id)
    return (
        *(*account, stored_stream(conversion.stream), stored_id(event.event_id), event.pixel_id),
        *(run, sent_at, event.event_time, event.source),
        *(order_id, _amount(purchase.value), purchase.currency),
        *(user.md5, user.sha2, event.decision_id, user.idfa, user.aaid),
    )


def _amount(value: float | Decimal | None) -> str | None:
    """Return an amount with the digits that were sent; None if databases cannot store it."""
    if value is None or abs((sent := exact(value)).adjusted()) > _MOST_POWER:
        return None
    return str(sent)


def delivered_in(database: Database, account: Account, since: float) -> Iterator[dict[str, Any]]:
    """Yield the columns of the events that an account sent since a Unix time, the oldest first.

    Amounts are texts, with the digits that were sent.
    """
    for _, _, _, _, *row in database.pages(_READ, (since, "", "", -1), *account):
        event = dict(zip(DELIVERED_COLUMNS, row, strict=True))
        event["event_time"] = utc(event["event_time"])
        event["sent_at"] = utc(event["sent_at"], "milliseconds")
        yield event


def as_csv(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file in which no spreadsheet finds a formula."""
    yield ",".join(DELIVERED_COLUMNS)
    for event in events:
        text = io.StringIO()
        cells = [_cell(name, value) for name, value in event.items()]
        csv.writer(text, lineterminator="").writerow(cells)
        yield text.getvalue()


def _cell(name: str, value: Any) -> Any:
    is_formula = name in _ANY_TEXT and value is not None and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def delivered_messages(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Singer stream, which any Singer target for a database can load."""
    yield _encode(_SCHEMA_MESSAGE).decode()
    for event in events:
        record = {name: value for name, value in event.items() if value is not None}
        if "value" in record:
            record["value"] = msgspec.Raw(record["value"].encode())
        yield _encode({"type": "RECORD", "stream": DELIVERED_EVENTS, "record": record}).decode()
