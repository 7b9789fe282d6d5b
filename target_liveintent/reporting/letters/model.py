"""What `dead-letters` shows, as values: printed as text, or as one JSON object.

docs/reference/cli.md describes the fields. Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = 1
PROSPECTS = {
    "sends": "a replay sends them now",
    "leaves_out": "a replay sends them only with --unconfirmed, because LiveIntent may have"
    " counted them",
    "other_account": "written for another account or pixel, so a replay with these settings keeps"
    " them",
    "expired": "their window has closed, so a replay drops them",
    "dropped": "must not be sent (no consent, or in the file of suppression_path), so a replay"
    " drops them",
    "cannot_send": "cannot be sent as they are, so a replay keeps them",
}
"""What a replay with these settings does with a dead letter, by its name in the JSON."""


class Example(msgspec.Struct, frozen=True):
    """A dead letter, without addresses.

    Attributes:
        keys: The values of the tap's key properties, where nothing else identifies the row.
    """

    event_id: str | None
    order_id: str | None
    field: str | None
    detail: str | None
    keys: Any = None


class StreamLetters(msgspec.Struct, frozen=True):
    """The dead letters of one stream, for one reason.

    Attributes:
        first: When the first of them was written, in ISO 8601; None if none says so.
        last: When the last of them was written.
        replay: How many there are by what a replay does with them, in the order of `PROSPECTS`.
    """

    stream: str
    letters: int
    first: str | None
    last: str | None
    replay: dict[str, int]
    examples: list[Example]


class ReasonLetters(msgspec.Struct, frozen=True):
    """The dead letters that have one reason.

    Attributes:
        advice: What happened, and what to do about it.
    """

    reason: str
    letters: int
    advice: str
    streams: list[StreamLetters]


class Addressee(msgspec.Struct, frozen=True):
    """Whom letters were written for; all is None where they do not say."""

    customer_id: str | None
    api_host: str | None
    pixel_id: str | None
    letters: int


class DeadLetters(msgspec.Struct, frozen=True):
    """All that `dead-letters` shows.

    Attributes:
        notes: About the settings, a sentence each.
    """

    notes: list[str]
    letters: int
    first: str | None
    last: str | None
    replay: dict[str, int]
    reasons: list[ReasonLetters]
    written_for: list[Addressee]
    version: int = VERSION
