"""The settings: their JSON schema, the checks of given values, and their loading."""

from target_liveintent.config.checks import problems
from target_liveintent.config.loading import (
    from_environment,
    from_texts,
    settings_of,
    warnings_of,
)
from target_liveintent.config.nesting import joined
from target_liveintent.config.schema import SCHEMA
from target_liveintent.config.unread import unread_variables

__all__ = [
    "SCHEMA",
    "from_environment",
    "from_texts",
    "joined",
    "problems",
    "settings_of",
    "unread_variables",
    "warnings_of",
]
