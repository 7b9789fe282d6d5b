"""`--report` and `--health`: what the history of runs says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.util
import logging
import sys

import click
from singer_sdk.plugin_base import _ConfigInput

from target_liveintent.config import check_option_url, settings_of
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.reporting import (
    health_line,
    overview_lines,
    read_overview,
    write_overview,
)
from target_liveintent.settings import Settings
from target_liveintent.singer.cli import given_settings, hide_given_token
from target_liveintent.singer.printing import json_text, print_lines
from target_liveintent.storage import Places

_READ = ("customer_id", "api_url", "pixel_id", "timezone", "history_path", "history_days")
"""The settings that decide what the history says."""
_UNWELL = 3


def print_health(config: _ConfigInput, max_age: float | None, logger: logging.Logger) -> None:
    """Print whether all is usual, in a line.

    Args:
        config: The settings.
        max_age: How many hours ago the last run may have been.
        logger: Takes warnings about the history.

    Raises:
        ConfigurationError: If a setting is wrong.
        StorageError: If the history cannot be read.
        SystemExit: With exit code 3, if something is not well.
    """
    limit = None if max_age is None else dt.timedelta(hours=max_age)
    settings = _settings(config, _READ)
    overview, _ = read_overview(settings, logger, limit)
    print_lines([health_line(overview)])
    if overview.causes:
        sys.exit(_UNWELL)


def print_report(
    config: _ConfigInput, path: str, style: str | None, logger: logging.Logger
) -> None:
    """Write the page, or print what it says as text or as JSON.

    Args:
        config: The settings.
        path: Where the page goes; empty for the setting `report_path`.
        style: `text`, `json`, or None for the page.
        logger: Takes warnings about the history.

    Raises:
        ConfigurationError: If a setting is wrong.
        StorageError: If the history cannot be read, or the page cannot be written.
    """
    is_page = style is None
    settings = _settings(config, (*_READ, *(("report_path",) if is_page and not path else ())))
    if path:
        check_option_url("--report", path)
        settings = dataclasses.replace(settings, report_path=path)
    place = settings.report_path
    if is_page and place is None:
        msg = "--report needs the path of a file: give --report PATH, or set report_path"
        raise ConfigurationError(msg)
    if is_page and importlib.util.find_spec("pygal") is None:
        msg = (
            "--report needs a library that is not installed: run pip install"
            " 'target-liveintent[report]'"
        )
        raise ConfigurationError(msg)
    overview, facts = read_overview(settings, logger)
    if style == "json":
        click.echo(json_text(overview))
    elif style == "text":
        print_lines(overview_lines(overview))
    elif place is not None:
        try:
            replace = Places(settings, logger).report_replacer()
            write_overview(overview, facts, place, replace)
        except OSError as error:
            msg = f"the report '{place}' cannot be written: {error.strerror}"
            raise StorageError(msg) from None
        print_lines([f"the report is in {place}"])


def _settings(config: _ConfigInput, read: tuple[str, ...]) -> Settings:
    """Return the settings that matter; only those have to be right."""
    given = {name: value for name, value in given_settings(config).items() if value is not None}
    hide_given_token(given)
    wanted = {name: value for name, value in given.items() if name in read}
    return settings_of({"auth_token": "none", "ledger": False} | wanted)
