"""Age windows, and the two results of a record: a `Conversion` or a `Rejection`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.privacy import Identity

DEAD_LETTERS = "liveintent_dead_letters"
"""The name of the stream of dead letters, which the command `replay` reads."""
DELIVERED_EVENTS = "liveintent_delivered"
"""The name of the stream that the command `delivered` prints; it is for databases."""
DAY = 86_400
WINDOWS = {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
"""Seconds before sending within which an event must have happened, by its source.

Source: LiveIntent's guide.
"""
MARGIN = 60
"""Seconds before the end of its window at which an event is too old, and accepted clock skew."""


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
        expires_at: Unix time from which on it is too old to be sent.
        body: The event's JSON.
        columns: The mapped columns for a dead letter, without those that the identity was made of.
        currency: As it is sent; None if the event has none.
        value: As it is sent; None if the event has none.
        letter: The dead letter that a replay made it of.
    """

    stream: str
    event_id: str
    pixel_id: int
    expires_at: int
    body: bytes
    columns: dict[str, Any]
    identity: Identity = Identity(None, None)
    currency: str | None = None
    value: float | Decimal | None = None
    letter: LetterKey | None = None

    def rejected(self, reason: str, field: str | None, detail: str | None) -> Rejection:
        """Convert a conversion that cannot be sent after all to a `Rejection`."""
        columns = with_hashes(self.columns, self.identity)
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


def with_hashes(columns: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """Put the hashes of the identity back into the columns that it was taken out of."""
    return {**columns, "md5": identity.md5, "sha2": identity.sha2}
