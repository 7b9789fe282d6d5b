"""The settings: their JSON schema, the checks of given values, and their loading."""

from target_liveintent.config.checks import problems, settings_of, warnings_of
from target_liveintent.config.loading import PREFIX, read_config, with_environment
from target_liveintent.config.schema import SCHEMA, about_lines, settings_by_group

__all__ = [
    "PREFIX",
    "SCHEMA",
    "about_lines",
    "problems",
    "read_config",
    "settings_by_group",
    "settings_of",
    "warnings_of",
    "with_environment",
]
