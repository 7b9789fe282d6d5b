"""The command line: its options, configuration files, and the last line and exit code of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import IO, Any

import click
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import (
    InvalidJSONSchema,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)
from singer_sdk.plugin_base import SingerCommand, _ConfigInput

from target_liveintent.config import (
    check_option_url,
    from_environment,
    settings_of,
    unread_variables,
    warnings_of,
)
from target_liveintent.delivery import read_token
from target_liveintent.errors import ConfigurationError, RunError
from target_liveintent.explain import as_lines as explanation_lines
from target_liveintent.privacy import hide_token
from target_liveintent.singer.explain import explain
from target_liveintent.singer.letters import as_lines as letter_lines
from target_liveintent.singer.letters import look_at
from target_liveintent.singer.options import own_options
from target_liveintent.singer.printing import json_text, print_lines
from target_liveintent.singer.stream_maps import stream_maps_of

_EXPECTED_FAILURES = (
    RunError,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
    InvalidJSONSchema,
)
"""Exceptions whose text is all that the user needs."""
_ENVIRONMENT_PREFIX = "TARGET_LIVEINTENT_"


class Command(SingerCommand):
    """The command. However a run fails, its last line is readable."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the options ask for."""
        with readable_failures(self.logger):
            return super().main(*args, **kwargs)


@contextlib.contextmanager
def readable_failures(logger: logging.Logger, ending: str = "") -> Iterator[None]:
    """End the process on a failure: with exit code 2 if a setting is wrong, else with 1.

    Args:
        logger: Takes the line that describes the failure.
        ending: What this line ends in.
    """
    try:
        yield
    except Exception as failure:  # noqa: BLE001 (its text could hold what is in a record)
        if not isinstance(failure, _EXPECTED_FAILURES):
            frames = "".join(traceback.format_tb(failure.__traceback__))
            logger.error("this is a bug. Please report it with these lines:\n%s", frames)  # noqa: TRY400
        text = failure_text(failure)
        if "\n" in text:  # It ends in a block of YAML to paste.
            ending = ending and f" #{ending}"
        logger.error("%s%s", text, ending)  # noqa: TRY400
        sys.exit(2 if isinstance(failure, ConfigurationError) else 1)


def failure_text(failure: BaseException) -> str:
    """Return the line that describes a failure. It holds nothing of a record."""
    if isinstance(failure, _EXPECTED_FAILURES):
        return str(failure)
    return f"the run ended with an unexpected {type(failure).__name__}"


def make_command(sdk_command: click.Command, logger: logging.Logger) -> Command:
    """Extend the SDK's command by the options of this program."""
    for option in sdk_command.params:
        if option.name == "config":
            option.callback = read_config_files
            option.help = (
                "A file with settings in JSON, or ENV to read the settings from environment"
                " variables. You can give this option several times."
            )
        elif option.name == "file_input":
            option.help = "The file to read Singer messages from. The default is standard input."
        elif option.name == "about_format":
            option.type = click.Choice(["json", "markdown", "text"], case_sensitive=False)
            option.help = (
                "The format of the output: json or markdown for --about, text or json for"
                " --report, json for --explain and --dead-letters."
            )
    return Command(
        name=sdk_command.name,
        callback=sdk_command.callback,
        params=[*sdk_command.params, *own_options()],
        context_settings=sdk_command.context_settings,
        help=sdk_command.help,
        logger=logger,
    )


def read_config_files(
    _ctx: click.Context, _param: click.Parameter, paths: tuple[str, ...]
) -> _ConfigInput:
    """Read the configuration files of `--config`; an error does not show their content."""
    merged = _ConfigInput()
    for path in paths:
        try:
            given = _ConfigInput.from_cli_args(path)
        except OSError as error:
            reason = error.strerror or "the file does not exist"
            msg = f"the configuration file '{path}' cannot be read: {reason}"
            raise ConfigurationError(msg) from None
        except (ValueError, TypeError):
            msg = f"the configuration file '{path}' is not a JSON object"
            raise ConfigurationError(msg) from None
        merged.config |= given.config
        merged.parse_env |= given.parse_env
    return merged


def environment_settings() -> dict[str, Any]:
    """Return the settings of the environment, and of a file `.env` where the SDK finds one."""
    parse_environment_config({}, _ENVIRONMENT_PREFIX)  # It loads `.env`.
    return from_environment(os.environ, _ENVIRONMENT_PREFIX)


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
    unread = unread_variables(os.environ, _ENVIRONMENT_PREFIX, config.config)
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


def given_settings(config: _ConfigInput) -> dict[str, Any]:
    """Return the settings that a run would have, without a check."""
    environment = environment_settings() if config.parse_env else {}
    return {**config.config, **environment}  # In the order of a run.


def print_explanation(
    config: _ConfigInput, file_input: IO[str], *, as_json: bool, expected: str | None
) -> bool:
    """Print what a run would do with the input. The settings need not name an account.

    Args:
        config: The settings.
        file_input: The input.
        as_json: Whether one JSON object is all that is printed.
        expected: The file of `--expect`.

    Returns:
        Whether a run would end well, and the expectation, if there is one, is met.

    Raises:
        ConfigurationError: If a setting is wrong.
        RunError: If the input is neither a Singer stream nor a catalog, or a file cannot be used.
    """
    given = given_settings(config)
    warned = list(warnings_of(given))
    if not as_json:
        print_lines(warned)
    account = {"customer_id": "a-0000", "auth_token": "none"}  # Nothing is sent.
    if given.get("auth_token_path"):
        del account["auth_token"]
    not_null = {name: value for name, value in given.items() if value is not None}
    checked = settings_of(account | not_null)
    hide_token(checked.auth_token)
    if "customer_id" not in not_null:  # Then nobody can say which dead letters are another's.
        checked = dataclasses.replace(checked, replay_other_accounts=True)
    explained = explain(file_input, checked, stream_maps_of(given), checked.presets, expected)
    if not explained.streams:
        still = [name for name in account if name not in not_null]
        other = "other settings" if warned else "settings"
        needs = f"; a run also needs {' and '.join(still)}" if still else ""
        explained.notes.append(f"The {other} are fine{needs}.")
    if as_json:
        explained.notes[:0] = warned
        click.echo(json_text(explained))
    else:
        print_lines(explanation_lines(explained))
    return explained.is_good


_READ_WITH_LETTERS = (
    *("customer_id", "api_url", "pixel_id", "default_source", "timezone", "email_normalization"),
    *("source_url_parameters", "suppression_path", "replay_unconfirmed", "replay_other_accounts"),
    "max_retry_seconds",
)
"""The settings that decide what a replay does with a dead letter, and how long a store is asked."""


def print_dead_letters(config: _ConfigInput, path: str, *, as_json: bool) -> None:
    """Print what is in the dead letters. Only settings that matter here have to be right.

    Args:
        config: The settings.
        path: Where the dead letters are; empty for the setting `dead_letter_path`.
        as_json: Whether one JSON object is all that is printed.

    Raises:
        ConfigurationError: If a setting is wrong.
        StorageError: If the dead letters cannot be read.
    """
    check_option_url("--dead-letters", path)
    given = given_settings(config)
    notes = list(warnings_of(given))
    not_null = {name: value for name, value in given.items() if value is not None}
    hide_given_token(not_null)
    read = _READ_WITH_LETTERS if path else (*_READ_WITH_LETTERS, "dead_letter_path")
    wanted = {name: value for name, value in not_null.items() if name in read}
    stand_ins = {"customer_id": "a-0000", "auth_token": "none", "ledger": False}
    settings = settings_of(stand_ins | wanted)
    if "customer_id" not in wanted:
        settings = dataclasses.replace(settings, replay_other_accounts=True)
        msg = (
            "setting 'customer_id' is missing, so this command cannot tell which dead letters"
            " belong to another account: pass the settings of the target with --config."
        )
        notes.append(msg)
    found = look_at(path or settings.dead_letter_path, settings, notes)
    if as_json:
        click.echo(json_text(found))
    else:
        print_lines(letter_lines(found))


def hide_given_token(given: Mapping[str, Any]) -> None:
    """Hide the token in what is printed: a dead letter can hold what the API said about it."""
    hide_token(str(given.get("auth_token", "")))
    with contextlib.suppress(ConfigurationError):  # Nothing is sent, so it need not be there.
        hide_token(read_token(str(given.get("auth_token_path", ""))))
