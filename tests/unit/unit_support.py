"""What several unit tests build records and events with."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.settings import EventDefaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from target_liveintent.privacy.suppression import Suppressions

NOW = 1_785_600_000.0
"""2026-08-01T16:00:00Z: the clock of these tests."""
TIME = 1_785_500_000
"""An event time well inside of every window."""
DAY = 86_400
DEFAULTS = EventDefaults(pixel_id=4711, source="web", zone=dt.timezone.utc, normalization="gmail")
BARE = DEFAULTS._replace(pixel_id=None, source=None)

ADDRESS = "John.Doe+office@gmail.com"
MD5 = "29a1df4646cb3417c19994a59a3e022a"
SHA2 = "06a240d11cc201676da976f7b49341181fd180da37cbe40a77432c0a366c80c3"

LI_DID = "6d92078a-8246-4ba4-ae5b-76104861e7dc"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def order(**changes: Any) -> dict[str, Any]:
    """Return a mapped record that gives an event; `...` removes a column."""
    record = {"event_id": "1007", "event_time": TIME, "email": ADDRESS, **changes}
    return {name: value for name, value in record.items() if value is not ...}


def build(
    record: Mapping[str, Any],
    *,
    raw: Mapping[str, Any] | None = None,
    keys: Iterable[str] = (),
    stream: str = "orders",
    properties: Iterable[str] | None = None,
    defaults: EventDefaults = DEFAULTS,
    now: float = NOW,
    left_out: dict[str, int] | None = None,
    suppressions: Suppressions | None = None,
    violation: str | None = None,
) -> Conversion | Rejection:
    """Build the event of one record, by a builder of its own."""
    columns = list(record) if properties is None else properties
    builder = EventBuilder(stream, columns, tuple(keys), defaults, suppressions)
    counted: dict[str, int] = {} if left_out is None else left_out
    return builder.build(record, record if raw is None else raw, now, counted, violation)


def conversion(record: Mapping[str, Any], **options: Any) -> Conversion:
    """Build an event that must come out."""
    result = build(record, **options)
    assert isinstance(result, Conversion), result
    return result


def rejection(record: Mapping[str, Any], **options: Any) -> Rejection:
    """Build an event that must not come out."""
    result = build(record, **options)
    assert isinstance(result, Rejection), result
    return result


def body(record: Mapping[str, Any], **options: Any) -> Any:
    """Return the decoded JSON of an event that must come out."""
    return msgspec.json.decode(conversion(record, **options).body)
