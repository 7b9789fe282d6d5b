"""The settings: their JSON schema, their loading, and the checks of given values."""

from target_liveintent.config.checks import (
    problems,
    read_config,
    settings_of,
    warnings_of,
    with_environment,
)
from target_liveintent.config.schema import SCHEMA, about_lines, settings_by_group

__all__ = [
    "SCHEMA",
    "about_lines",
    "problems",
    "read_config",
    "settings_by_group",
    "settings_of",
    "warnings_of",
    "with_environment",
]
