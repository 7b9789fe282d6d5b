"""The table of a mapped record's columns, and what a stream must have to give events.

`docs/reference/columns.md` explains the columns to users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from target_liveintent.conversions.coerce import (
    amount,
    currency_code,
    decision_id,
    device_id,
    flag,
    ip,
    text,
)
from target_liveintent.privacy import IDENTITY_COLUMNS
from target_liveintent.settings import EventDefaults

_NO_HASH = "is not a hash of an e-mail address"
_NO_UUID = "is not a UUID"


class Field(NamedTuple):
    """A column of a mapped record, in stream maps and dead letters.

    Attributes:
        coerce: Makes the API's value of the tap's value; the event lacks the field where that
            fails. None where the builder needs more than a coercion.
        unusable: What is said of a value that cannot be used.
    """

    name: str
    coerce: Callable[[Any], Any] | None = None
    unusable: str = "is not a text, or has an e-mail address in it"


FIELDS = (
    Field("event_id"),
    Field("event_time"),
    Field("pixel_id"),
    Field("source"),
    Field("decision_id", decision_id, _NO_UUID),
    Field("email", unusable="is neither an e-mail address nor a hash of one"),
    Field("md5", unusable=_NO_HASH),
    Field("sha2", unusable=_NO_HASH),
    Field("ip", ip, "is not a public IP address"),
    Field("user_agent", text),
    Field("idfa", device_id, _NO_UUID),
    Field("aaid", device_id, _NO_UUID),
    Field("tracking_enabled", flag, "is neither a Boolean nor 0 or 1"),
    Field(
        "currency",
        currency_code,
        "is not a code of exactly three letters: write, for example, \"'EUR'\" in the map, or"
        " translate other words with {'EURO': 'EUR'}.get(get('currency'))",
    ),
    Field("value", amount, "is not a number with a decimal point"),
    Field("order_id", text),
    Field("source_url", text),
    Field("app_bundle", text),
    Field("consent"),
)
"""In the order of the documentation. The address and the consent are never sent."""

COLUMNS = frozenset(field.name for field in FIELDS)
OPTIONAL = {field.name: field.coerce for field in FIELDS if field.coerce}
"""The columns that are left out where they cannot be read, each with its coercion."""
IDENTIFYING = (*IDENTITY_COLUMNS, "decision_id", "source_url")
"""The columns that identify the person. The URL of a page may contain a decision ID."""
_LACKS_PIXEL = "pixel_id (a column, or the setting pixel_id)"
_LACKS_SOURCE = "source (a column, or the setting default_source)"
FROM_SETTINGS = frozenset({_LACKS_PIXEL, _LACKS_SOURCE})
"""The phrases of `missing_columns` about what settings can supply."""


def missing_columns(properties: Iterable[str], defaults: EventDefaults) -> list[str]:
    """List in phrases what a mapped stream lacks, so that its records cannot produce an event."""
    there = set(properties)
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
