"""The event model, and the builder that makes events of mapped records."""

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import currency_code, local_amount
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
    MARGIN,
    WINDOWS,
    Conversion,
    Rejection,
)
from target_liveintent.conversions.wire import SentEvent, read_back

__all__ = [
    "DAY",
    "DEAD_LETTERS",
    "FIELDS",
    "MARGIN",
    "READ_COLUMNS",
    "SETTING_FOR",
    "WINDOWS",
    "Conversion",
    "EventBuilder",
    "Rejection",
    "SentEvent",
    "currency_code",
    "local_amount",
    "missing_columns",
    "missing_columns_message",
    "read_back",
]
