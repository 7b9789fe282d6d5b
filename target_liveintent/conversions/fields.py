"""The one table of what an event is made of.

Everything else follows from `FIELDS`: the columns of stream maps and dead letters, the JSON of an
event (wire.py), which columns the builder may leave out, and the table in the documentation.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from target_liveintent.conversions import coerce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Field(NamedTuple):
    """A column of a mapped record, and the field of the event that it fills.

    Attributes:
        name: The name of the column in stream maps and dead letters.
        meaning: A sentence for the documentation.
        path: Where the event has the field. A record may spell the column like this as well. Empty
            for what is never sent.
        coerce: Makes the API's value of the tap's value; the field is left out where that fails.
            None where the builder needs more than a coercion.
        wire_type: The type on the wire; the API requires the field unless it may be None.
    """

    name: str
    meaning: str
    path: tuple[str, ...] = ()
    coerce: Callable[[Any], Any] | None = None
    wire_type: Any = str | None

    @property
    def required(self) -> bool:
        """Whether every event must have the field."""
        return isinstance(self.wire_type, type)


FIELDS = (
    Field(
        "event_id",
        "Your own ID of the conversion. Derived from stream and key properties where absent.",
        ("eventId",),
        wire_type=str,
    ),
    Field(
        "event_time",
        "When it happened: ISO 8601, or Unix seconds, milliseconds, microseconds. Required.",
        ("eventTime",),
        wire_type=int,
    ),
    Field(
        "pixel_id",
        "Integer; the setting `pixel_id` where the record has none.",
        ("pixelId",),
        wire_type=int,
    ),
    Field(
        "source",
        "`web`, `app` or `offline`; the setting `default_source` where the record has none.",
        ("source",),
        wire_type=str,
    ),
    Field(
        "decision_id",
        "LiveIntent's decision ID; else, without an e-mail, the `li_did` of `source_url`.",
        ("decisionId",),
        coerce.text,
    ),
    Field("email", "Address or hash. An address is normalised and hashed here, never sent."),
    Field("md5", "MD5 of the normalised address.", ("userData", "md5")),
    Field("sha2", "SHA-256 of the normalised address.", ("userData", "sha2")),
    Field("ip", "IPv4 or IPv6 address of the buyer.", ("userData", "ip"), coerce.ip),
    Field("user_agent", "The buyer's browser.", ("userData", "ua"), coerce.text),
    Field("idfa", "Apple's advertising ID, a UUID.", ("userData", "idfa"), coerce.device_id),
    Field("aaid", "Android's advertising ID, a UUID.", ("userData", "aaid"), coerce.device_id),
    Field(
        "tracking_enabled",
        "Boolean, or 0 and 1.",
        ("userData", "trackingEnabled"),
        coerce.flag,
        int | None,
    ),
    Field(
        "currency",
        "Three letters, such as `USD`.",
        ("purchaseData", "currency"),
        coerce.currency,
    ),
    Field(
        "value",
        "The amount: `87.28`, `$12.50`, `1,234.50`.",
        ("purchaseData", "value"),
        coerce.amount,
        Decimal | None,
    ),
    Field("order_id", "Your order number.", ("purchaseData", "orderId"), coerce.text),
    Field(
        "source_url",
        "The page of the conversion or of the landing.",
        ("purchaseData", "sourceUrl"),
        coerce.text,
    ),
    Field("app_bundle", "The app's bundle ID.", ("purchaseData", "appBundle"), coerce.text),
    Field(
        "consent",
        "Never sent. Where a stream has it, only true, 1, `yes` and `granted` let a record go.",
    ),
)
"""In the order of the documentation; within each object of an event also that of the JSON."""

IDENTITY_COLUMNS = ("email", "md5", "sha2")
"""The columns that identify a person, the most trusted first."""


def _places(field: Field) -> tuple[tuple[str, ...], ...]:
    """Where a record may have the column: under our name, or else in the API's spelling."""
    # `source` has the same name in both spellings.
    return tuple(place for place in dict.fromkeys([(field.name,), field.path]) if place)


READ_COLUMNS = frozenset(place[0] for field in FIELDS for place in _places(field))
"""The names in a mapped record that are read, in both spellings."""


def places_of(columns: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Map each of our columns that a stream has to the places where its records may have it.

    Args:
        columns: The names of the stream's columns after mapping.

    Returns:
        For each column the paths into a record, our name before the API's spelling.
    """
    there = set(columns)
    found = {
        field.name: tuple(place for place in _places(field) if place[0] in there)
        for field in FIELDS
    }
    return {name: places for name, places in found.items() if places}


def first_value(record: Mapping[str, Any], places: Sequence[tuple[str, ...]]) -> Any:
    """Return the first value that is not None at several paths into a record, or None."""
    for place in places:
        value: Any = record
        for step in place:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
