"""Settings in environment variables."""

from __future__ import annotations

import logging
import os
from typing import Any

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.plugin_base import _ConfigInput

from target_liveintent.config import from_environment, unread_variables
from target_liveintent.errors import ConfigurationError

_PREFIX = "TARGET_LIVEINTENT_"


def environment_settings() -> dict[str, Any]:
    """Return the settings of the environment, and of a file `.env` where the SDK finds one."""
    parse_environment_config({}, _PREFIX)  # It loads `.env`.
    return from_environment(os.environ, _PREFIX)


def check_environment(config: _ConfigInput, logger: logging.Logger, *, dry_run: bool) -> None:
    """Warn of environment variables that a run does not read, and that would change its settings.

    Args:
        config: The settings.
        logger: Takes the warning.
        dry_run: Whether an option makes the run a dry run.

    Raises:
        ConfigurationError: If the run would send events that a variable keeps from being sent.
    """
    if config.parse_env:
        return
    unread = unread_variables(os.environ, _PREFIX, config.config)
    sends_nothing = dry_run or config.config.get("dry_run") is True
    harmless = [*unread.guards, *unread.others] if sends_nothing else unread.others
    if harmless:
        logger.warning(
            "the command has no --config=ENV, so the run ignores these environment variables: %s."
            " Add --config=ENV, or unset the variables",
            ", ".join(harmless),
        )
    if unread.guards and not sends_nothing:
        msg = (
            "the run stopped before it sent anything, because it would have ignored these"
            f" environment variables: {', '.join(unread.guards)}. A run reads environment"
            " variables only with --config=ENV. Add --config=ENV, or unset the variables"
        )
        raise ConfigurationError(msg)
