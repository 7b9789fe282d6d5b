"""The event model, and the builder that makes events of mapped records."""

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import (
    UNUSABLE,
    currency_code,
    local_amount,
    positive_integer,
)
from target_liveintent.conversions.fields import (
    FIELDS,
    READ_COLUMNS,
    SETTING_FOR,
    missing_columns,
    missing_columns_message,
)
from target_liveintent.conversions.model import (
    DAY,
    DEAD_LETTERS,
    DELIVERED_EVENTS,
    MARGIN,
    WINDOWS,
    Conversion,
    LetterKey,
    Rejection,
)
from target_liveintent.conversions.window import window_end
from target_liveintent.conversions.wire import SentEvent, read_back
from target_liveintent.conversions.zones import watch_zone

__all__ = [
    "DAY",
    "DEAD_LETTERS",
    "DELIVERED_EVENTS",
    "FIELDS",
    "MARGIN",
    "READ_COLUMNS",
    "SETTING_FOR",
    "UNUSABLE",
    "WINDOWS",
    "Conversion",
    "EventBuilder",
    "LetterKey",
    "Rejection",
    "SentEvent",
    "currency_code",
    "local_amount",
    "missing_columns",
    "missing_columns_message",
    "positive_integer",
    "read_back",
    "watch_zone",
    "window_end",
]
