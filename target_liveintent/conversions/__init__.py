"""The event model, and the builder that makes events of mapped records."""

from target_liveintent.conversions.builder import EventBuilder, lasting_keys, window_end
from target_liveintent.conversions.coerce import (
    UNUSABLE,
    Unusable,
    amount,
    currency_code,
    exact,
    flag,
    positive_integer,
    shape,
    text,
    unix_time,
    watch_zone,
)
from target_liveintent.conversions.fields import (
    COLUMNS,
    FIELDS,
    FROM_SETTINGS,
    missing_columns,
    missing_columns_message,
)
from target_liveintent.conversions.model import (
    DAY,
    DEAD_LETTERS,
    DELIVERED_EVENTS,
    WINDOWS,
    Conversion,
    Event,
    LetterKey,
    Rejection,
    request_body,
)
from target_liveintent.conversions.usual import compiled, usual_way

__all__ = [
    "COLUMNS",
    "DAY",
    "DEAD_LETTERS",
    "DELIVERED_EVENTS",
    "FIELDS",
    "FROM_SETTINGS",
    "UNUSABLE",
    "WINDOWS",
    "Conversion",
    "Event",
    "EventBuilder",
    "LetterKey",
    "Rejection",
    "Unusable",
    "amount",
    "compiled",
    "currency_code",
    "exact",
    "flag",
    "lasting_keys",
    "missing_columns",
    "missing_columns_message",
    "positive_integer",
    "request_body",
    "shape",
    "text",
    "unix_time",
    "usual_way",
    "watch_zone",
    "window_end",
]
