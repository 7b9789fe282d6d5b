"""The table of all columns that a mapped record may have, in stream maps and in dead letters.

docs/reference/columns.md explains the columns to users. In event_model.py, each column that is sent
is a member of a struct.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from target_liveintent.conversions import coerce
from target_liveintent.privacy.identity import IDENTITY_COLUMNS


class Field(NamedTuple):
    """A column of a mapped record.

    Attributes:
        coerce: The function that returns the value to send. It is None for a column that
            `EventBuilder` reads in another way.
        unusable: The code of the cause if a value of the column cannot be used.
    """

    name: str
    coerce: Callable[[Any], Any] | None = None
    unusable: str = "not_text"


FIELDS = (
    Field("event_id", coerce.text),
    Field("event_time"),
    Field("pixel_id", coerce.positive_integer),
    Field("source", coerce.source),
    Field("decision_id", coerce.decision_id, "not_decision_id"),
    Field("email", unusable="not_email"),
    Field("md5", unusable="not_hash"),
    Field("sha2", unusable="not_hash"),
    Field("ip", coerce.ip, "not_public_ip"),
    Field("user_agent", coerce.text),
    Field("idfa", coerce.device_id, "not_uuid"),
    Field("aaid", coerce.device_id, "not_uuid"),
    Field("tracking_enabled", coerce.flag, "not_flag"),
    Field("currency", coerce.currency_code, "not_currency"),
    Field("value", coerce.read_amount, "not_number"),
    Field("order_id", coerce.text),
    Field("source_url", coerce.text),
    Field("app_bundle", coerce.text),
    Field("consent"),
)
"""The columns in the order of the documentation. The address and the consent are never sent."""

COLUMNS = frozenset(field.name for field in FIELDS)
COERCIONS = {field.name: field.coerce for field in FIELDS if field.coerce}
OPTIONAL = tuple(name for name in COERCIONS if name not in {"event_id", "pixel_id", "source"})
"""The columns whose values an event may lack. An event is sent without an unreadable value."""
IDENTIFYING = (*IDENTITY_COLUMNS, "decision_id", "source_url")
"""The columns that may identify the person. The URL of a page may contain a decision ID."""
