"""The event as the API accepts it, its age windows, and what becomes of a record.

The result of a record is a `Conversion` or a `Rejection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

DEAD_LETTERS = "liveintent_dead_letters"
"""The name of the stream of dead letters, which the command `replay` reads."""
DELIVERED_EVENTS = "liveintent_delivered"
"""The name of the stream that the command `delivered` prints; it is for databases."""
DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
"""The greatest age of an event when it is sent, in seconds, by its source, as in LiveIntent's
guide."""
MARGIN = 60
"""Seconds before the end of its window from which an event is too old. Also the accepted clock
skew."""

# A Decimal is written as a JSON number with the digits that it came with.
_encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode


class UserData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The object `userData`. As in the others, members have the names of our columns."""

    md5: str | None = None
    sha2: str | None = None
    ip: str | None = None
    user_agent: str | None = msgspec.field(default=None, name="ua")
    idfa: str | None = None
    aaid: str | None = None
    tracking_enabled: int | None = msgspec.field(default=None, name="trackingEnabled")


class PurchaseData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """The object `purchaseData`."""

    currency: str | None = None
    value: float | Decimal | None = None
    order_id: str | None = None
    source_url: str | None = None
    app_bundle: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """An event as it is sent; members in the order of the JSON."""

    event_id: str
    event_time: int
    pixel_id: int
    source: str
    user_data: UserData
    purchase_data: PurchaseData
    decision_id: str | None = None


def event_of(values: Mapping[str, Any]) -> Event:
    """Build an event from values by our names of columns; absent columns are not sent."""

    def made(struct: Any, **objects: Any) -> Any:
        names = [name for name in struct.__struct_fields__ if name in values]
        return struct(**{name: values[name] for name in names}, **objects)

    event: Event = made(Event, user_data=made(UserData), purchase_data=made(PurchaseData))
    return event


class LetterKey(NamedTuple):
    """What identifies a dead letter in the store.

    Attributes:
        pixel_id: The pixel that the event is for; 0 if the record has no usable one.
        event_id: The event's ID, or a hash of the record if it has none.
    """

    customer_id: str
    api_host: str
    stream: str
    event_id: str
    pixel_id: int


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """An event that is ready to be sent.

    Attributes:
        stream: The tap's name of the stream that it came from.
        event: The event as it is sent.
        expires_at: Unix time from which on it is too old to be sent.
        columns: The mapped columns for a dead letter, without those that the identity was made of.
        letter: The dead letter that a replay made it of.
    """

    stream: str
    event: Event
    expires_at: int
    columns: dict[str, Any]
    letter: LetterKey | None = None

    @property
    def event_id(self) -> str:
        """The event's ID."""
        return self.event.event_id

    @property
    def pixel_id(self) -> int:
        """The pixel that the event is for."""
        return self.event.pixel_id

    @property
    def body(self) -> bytes:
        """The event's JSON."""
        return _encode(self.event)

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """Convert a conversion that cannot be sent after all to a `Rejection`."""
        user = self.event.user_data
        columns = {**self.columns, "md5": user.md5, "sha2": user.sha2}
        return Rejection(
            self.stream, self.event_id, reason, field, columns, detail, letter=self.letter
        )


class Rejection(msgspec.Struct, frozen=True):
    """A record that cannot be sent.

    Attributes:
        event_id: Its ID; derived where the record has none, so that a replay keeps it.
        reason: A code of `reasons.REASONS`.
        field: The column at fault.
        columns: The mapped columns for the dead letter, with hashes in place of the address.
        detail: More about the reason, without addresses.
        keys: The values of the tap's key properties, where the columns are not known.
        letter: The dead letter that a replay made it of.
    """

    stream: str
    event_id: str
    reason: str
    field: str | None
    columns: dict[str, Any]
    detail: str | None = None
    keys: dict[str, Any] | None = None
    letter: LetterKey | None = None


def request_body(conversions: Iterable[Conversion]) -> bytes:
    """Return the JSON array of events that a request sends."""
    return _encode([conversion.event for conversion in conversions])
