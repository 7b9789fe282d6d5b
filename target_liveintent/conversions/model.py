"""Age windows, and the two results of a record: a `Conversion` or a `Rejection`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

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

Event: TypeAlias = Any
"""A `fields.ConversionEvent`: a class that follows from a table, so that mypy cannot know it."""

# A Decimal is written as a JSON number with the digits that it came with.
_encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode


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
        event_id: str = self.event.event_id
        return event_id

    @property
    def pixel_id(self) -> int:
        """The pixel that the event is for."""
        pixel_id: int = self.event.pixel_id
        return pixel_id

    @property
    def body(self) -> bytes:
        """The event's JSON."""
        return _encode(self.event)

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """Convert a conversion that cannot be sent after all to a `Rejection`."""
        user = self.event.user_data
        columns = with_hashes(self.columns, user.md5, user.sha2)
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


def with_hashes(columns: Mapping[str, Any], md5: str | None, sha2: str | None) -> dict[str, Any]:
    """Put the hashes of an identity back into the columns that it was taken out of."""
    return {**columns, "md5": md5, "sha2": sha2}


def request_body(conversions: Iterable[Conversion]) -> bytes:
    """Return the JSON array of events that a request sends."""
    return _encode([conversion.event for conversion in conversions])
