"""The table of an event's fields, and what a stream must have to fill them.

Everything else follows from `FIELDS`: the columns of stream maps and dead letters, the event as the
API accepts it, and which columns the builder may leave out. `docs/reference/columns.md` explains
them to users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.coerce import amount, currency_code, device_id, flag, ip, text
from target_liveintent.conversions.decisions import decision_id
from target_liveintent.privacy import IDENTITY_COLUMNS
from target_liveintent.settings import EventDefaults

_NO_HASH = "is not a hash of an e-mail address"
_NO_UUID = "is not a UUID"


class Field(NamedTuple):
    """A column of a mapped record, and the field of the event that it fills.

    Attributes:
        name: The name of the column in stream maps and dead letters.
        wire_name: The field of the event, with a dot after the object that it is in. A record may
            spell the column like this as well. Empty for what is never sent.
        coerce: Makes the API's value of the tap's value; the field is left out where that fails.
            None where the builder needs more than a coercion.
        wire_type: The type on the wire; the API requires the field unless it may be None.
        unusable: What is said of a value that cannot be used.
    """

    name: str
    wire_name: str
    coerce: Callable[[Any], Any] | None
    wire_type: Any = str | None
    unusable: str = "is not a text, or has an e-mail address in it"

    @property
    def path(self) -> tuple[str, ...]:
        """The names that lead to the field from outside in; empty for what is never sent."""
        return tuple(self.wire_name.split(".")) if self.wire_name else ()

    @property
    def places(self) -> tuple[tuple[str, ...], ...]:
        """The paths to the column in a record: our name, and the API's spelling if it differs."""
        return tuple(place for place in dict.fromkeys([(self.name,), self.path]) if place)

    @property
    def required(self) -> bool:
        """Whether every event must have the field."""
        return isinstance(self.wire_type, type)


FIELDS = (
    Field("event_id", "eventId", None, str),
    Field("event_time", "eventTime", None, int),
    Field("pixel_id", "pixelId", None, int),
    Field("source", "source", None, str),
    Field("decision_id", "decisionId", decision_id, unusable=_NO_UUID),
    Field("email", "", None, unusable="is neither an e-mail address nor a hash of one"),
    Field("md5", "userData.md5", None, unusable=_NO_HASH),
    Field("sha2", "userData.sha2", None, unusable=_NO_HASH),
    Field("ip", "userData.ip", ip, unusable="is not a public IP address"),
    Field("user_agent", "userData.ua", text),
    Field("idfa", "userData.idfa", device_id, unusable=_NO_UUID),
    Field("aaid", "userData.aaid", device_id, unusable=_NO_UUID),
    Field(
        "tracking_enabled",
        "userData.trackingEnabled",
        flag,
        int | None,
        unusable="is neither a Boolean nor 0 or 1",
    ),
    Field(
        "currency",
        "purchaseData.currency",
        currency_code,
        unusable="is not a code of exactly three letters: write, for example, \"'EUR'\" in the map,"
        " or translate other words with {'EURO': 'EUR'}.get(get('currency'))",
    ),
    Field(
        "value",
        "purchaseData.value",
        amount,
        Decimal | None,
        unusable="is not a number with a decimal point",
    ),
    Field("order_id", "purchaseData.orderId", text),
    Field("source_url", "purchaseData.sourceUrl", text),
    Field("app_bundle", "purchaseData.appBundle", text),
    Field("consent", "", None),
)
"""In the order of the documentation; within each object of an event also that of the JSON."""

OPTIONAL = {field.name: field.coerce for field in FIELDS if field.coerce}
"""The columns that are left out where they cannot be read, each with its coercion."""
READ_COLUMNS = frozenset(place[0] for field in FIELDS for place in field.places)
"""The names in a mapped record that are read, in both spellings."""
IDENTIFYING = (*IDENTITY_COLUMNS, "decision_id", "source_url")
"""The columns that identify the person. The URL of a page may contain a decision ID."""
_LACKS_PIXEL = "pixel_id (a column, or the setting pixel_id)"
_LACKS_SOURCE = "source (a column, or the setting default_source)"
FROM_SETTINGS = frozenset({_LACKS_PIXEL, _LACKS_SOURCE})
"""The phrases of `missing_columns` about what settings can supply."""


def _struct(name: str, path: tuple[str, ...], *objects: Field) -> Any:
    """Make the struct of the fields directly below a path; required fields come first.

    Its members have the names of our columns; in the JSON they have the API's names.
    """
    fields = [field for field in FIELDS if field.path and field.path[:-1] == path]
    fields = sorted([*fields, *objects], key=lambda field: not field.required)
    return msgspec.defstruct(
        name,
        [(field.name, field.wire_type, *([] if field.required else [None])) for field in fields],
        rename={field.name: field.path[-1] for field in fields},
        frozen=True,
        gc=False,
        omit_defaults=True,
    )


UserData = _struct("UserData", ("userData",))
PurchaseData = _struct("PurchaseData", ("purchaseData",))
ConversionEvent = _struct(
    "ConversionEvent",
    (),
    Field("user_data", "userData", None, UserData),
    Field("purchase_data", "purchaseData", None, PurchaseData),
)


def event_of(values: Mapping[str, Any]) -> Any:
    """Build an event from values by our names of columns; absent columns are not sent."""

    def made(struct: Any, **objects: Any) -> Any:
        names = [name for name in struct.__struct_fields__ if name in values]
        return struct(**{name: values[name] for name in names}, **objects)

    return made(ConversionEvent, user_data=made(UserData), purchase_data=made(PurchaseData))


def places_of(columns: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Map each of our columns that a mapped stream has to its places in a record."""
    there = set(columns)
    found = {
        field.name: tuple(place for place in field.places if place[0] in there) for field in FIELDS
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


def missing_columns(properties: Iterable[str], defaults: EventDefaults) -> list[str]:
    """List in phrases what a mapped stream lacks, so that its records cannot produce an event."""
    there = places_of(properties).keys()
    missing = []
    if "event_time" not in there:
        missing.append("event_time")
    if there.isdisjoint(IDENTIFYING):
        missing.append("one of " + ", ".join(IDENTIFYING))
    if "pixel_id" not in there and defaults.pixel_id is None:
        missing.append(_LACKS_PIXEL)
    if "source" not in there and defaults.source is None:
        missing.append(_LACKS_SOURCE)
    return missing


def missing_columns_message(stream: str, missing: Iterable[str]) -> str:
    """Say in a sentence why a stream cannot produce any event."""
    return f"stream '{stream}' cannot produce any event: it lacks {'; '.join(missing)}."
