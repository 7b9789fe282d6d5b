"""What events are: their columns and windows, and the two things that a record can become.

Plain values; `EventBuilder` (builder.py) makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_liveintent.privacy.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from target_liveintent.settings import EventDefaults

DEAD_LETTERS = "liveintent_dead_letters"
"""The stream of dead letters; stream maps never touch it."""
DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
"""Seconds before sending in which an event must have happened. Source: LiveIntent's guide."""
MARGIN = 60
"""Seconds by which events are cut inside the window, and clock skew that is forgiven."""


class Column(NamedTuple):
    """A column of a mapped record.

    Attributes:
        name: Its name in stream maps and dead letters.
        path: The API's own spelling, which is accepted as well; empty for `email`, which never
            leaves the machine.
        meaning: For the documentation.
    """

    name: str
    path: tuple[str, ...]
    meaning: str


COLUMNS = (
    Column(
        "event_id",
        ("eventId",),
        "Your own ID of the conversion. Derived from stream and key properties where absent.",
    ),
    Column(
        "event_time",
        ("eventTime",),
        "When it happened: ISO 8601, or Unix seconds, milliseconds, microseconds. Required.",
    ),
    Column("pixel_id", ("pixelId",), "Integer; the setting `pixel_id` where the record has none."),
    Column(
        "source",
        ("source",),
        "`web`, `app` or `offline`; the setting `default_source` where the record has none.",
    ),
    Column(
        "decision_id",
        ("decisionId",),
        "LiveIntent's decision ID; else, without an e-mail, the `li_did` of `source_url`.",
    ),
    Column("email", (), "Address or hash. An address is normalised and hashed here, never sent."),
    Column("md5", ("userData", "md5"), "MD5 of the normalised address."),
    Column("sha2", ("userData", "sha2"), "SHA-256 of the normalised address."),
    Column("ip", ("userData", "ip"), "IPv4 or IPv6 address of the buyer."),
    Column("user_agent", ("userData", "ua"), "The buyer's browser."),
    Column("idfa", ("userData", "idfa"), "Apple's advertising ID, a UUID."),
    Column("aaid", ("userData", "aaid"), "Android's advertising ID, a UUID."),
    Column("tracking_enabled", ("userData", "trackingEnabled"), "Boolean, or 0 and 1."),
    Column("currency", ("purchaseData", "currency"), "Three letters, such as `USD`."),
    Column("value", ("purchaseData", "value"), "The amount: `87.28`, `$12.50`, `1,234.50`."),
    Column("order_id", ("purchaseData", "orderId"), "Your order number."),
    Column(
        "source_url", ("purchaseData", "sourceUrl"), "The page of the conversion or of the landing."
    ),
    Column("app_bundle", ("purchaseData", "appBundle"), "The app's bundle ID."),
    Column(
        "consent",
        (),
        "Never sent. Where a stream has it, only true, 1, `yes` and `granted` let a record go.",
    ),
)
READ_COLUMNS = frozenset(
    place[0] for column in COLUMNS for place in ((column.name,), column.path) if place
)
"""The columns of a mapped record that are looked at, in both spellings."""
IDENTITY_COLUMNS = ("email", "md5", "sha2")
_IDENTITY_SOURCES = (*IDENTITY_COLUMNS, "decision_id", "source_url")


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """An event that is ready to be sent.

    Attributes:
        stream: The tap's name of the stream that it came from.
        event_id: The ID under which the API may name it.
        pixel_id: The pixel that it belongs to.
        expires_at: Unix time from which on it is too old to be sent.
        body: The event's JSON.
        columns: What was mapped, for a dead letter, but for what the identity was made of.
        identity: Who it is about.
    """

    stream: str
    event_id: str
    pixel_id: int
    expires_at: int
    body: bytes
    columns: dict[str, Any]
    identity: Identity = Identity(None, None)

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """The same as the fate of a record that cannot be sent after all."""
        columns = with_hashes(self.columns, self.identity)
        return Rejection(self.stream, self.event_id, reason, field, columns, detail)


class Rejection(msgspec.Struct, frozen=True):
    """A record that cannot be sent.

    Attributes:
        stream: The tap's name of the stream that it came from.
        event_id: Its ID; derived where the record has none, so that a replay keeps it.
        reason: A code of `reasons.REASONS`.
        field: The column at fault, if it is one.
        columns: What was mapped, for the dead letter; hashes in place of the address.
        detail: What else is known, without addresses.
        keys: The tap's key properties, where the columns are not known.
    """

    stream: str
    event_id: str
    reason: str
    field: str | None
    columns: dict[str, Any]
    detail: str | None = None
    keys: dict[str, Any] | None = None


def missing_columns(properties: Iterable[str], defaults: EventDefaults) -> list[str]:
    """What a stream lacks to ever give an event.

    Args:
        properties: The names of its columns after mapping.
        defaults: What the settings fill in.

    Returns:
        One phrase for each thing that is missing; empty if events can come of it.
    """
    there = set(places_of(properties))
    missing = []
    if "event_time" not in there:
        missing.append("event_time")
    if there.isdisjoint(_IDENTITY_SOURCES):
        missing.append("one of " + ", ".join(_IDENTITY_SOURCES))
    if "pixel_id" not in there and defaults.pixel_id is None:
        missing.append(_LACKS_PIXEL)
    if "source" not in there and defaults.source is None:
        missing.append(_LACKS_SOURCE)
    return missing


_LACKS_PIXEL = "pixel_id (column or setting)"
_LACKS_SOURCE = "source (column, or the setting default_source)"
GIVEN_BY_SETTINGS = {_LACKS_PIXEL: "pixel_id", _LACKS_SOURCE: "default_source"}
"""What of that a setting can give, and which."""


def never_an_event(stream: str, missing: Iterable[str]) -> str:
    """Why a stream can never give an event, in a sentence.

    Args:
        stream: The stream's name.
        missing: What `missing_columns` says.
    """
    return f"stream '{stream}' can never give an event: it lacks {'; '.join(missing)}."


def places_of(properties: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """For each column that the stream has, the places to look, ours before the API's spelling."""
    there = set(properties)
    found = {
        column.name: tuple(
            place for place in ((column.name,), column.path) if place and place[0] in there
        )
        for column in COLUMNS
    }
    # `source` is spelled the same in both ways.
    return {name: tuple(dict.fromkeys(places)) for name, places in found.items() if places}


def with_hashes(columns: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """Columns with the identity that was taken out of them, as hashes."""
    return {**columns, "md5": identity.md5, "sha2": identity.sha2}
