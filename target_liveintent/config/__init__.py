"""The settings: their schema, what is wrong with given ones, and their loading."""

from target_liveintent.config.schema import (
    CUSTOMER_ID,
    MAX_BATCH,
    SCHEMA,
    from_environment,
    from_texts,
    problems,
    settings_of,
    unknown_settings,
)

__all__ = [
    "CUSTOMER_ID",
    "MAX_BATCH",
    "SCHEMA",
    "from_environment",
    "from_texts",
    "problems",
    "settings_of",
    "unknown_settings",
]
