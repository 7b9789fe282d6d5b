"""The settings: their JSON schema, the checks of given values, and their loading."""

from target_liveintent.config.checks import problems
from target_liveintent.config.loading import (
    PREFIX,
    from_texts,
    read_config,
    settings_of,
    warnings_of,
    with_environment,
)
from target_liveintent.config.schema import SCHEMA, about_lines, settings_by_group

__all__ = [
    "PREFIX",
    "SCHEMA",
    "about_lines",
    "from_texts",
    "problems",
    "read_config",
    "settings_by_group",
    "settings_of",
    "warnings_of",
    "with_environment",
]
