"""The command line: a run without a subcommand, and the subcommands beside it."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

import click
from singer_sdk._logging import _setup_console_logging
from singer_sdk.plugin_base import _ConfigInput, _plugin_log_level

from target_liveintent.config import settings_of, warnings_of
from target_liveintent.delivery import read_token
from target_liveintent.errors import ConfigurationError, InputError, StorageError
from target_liveintent.explain import as_lines as explanation_lines
from target_liveintent.mapping import PRESETS, preset_text
from target_liveintent.printing import json_text, print_json_lines, print_lines
from target_liveintent.privacy import digests, hide_token, protect_logging
from target_liveintent.reasons import REASONS
from target_liveintent.reporting import (
    health_line,
    letter_lines,
    look_at_letters,
    overview_lines,
    read_overview,
    write_overview,
)
from target_liveintent.run import ReplayChoice, counted
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.settings import Settings
from target_liveintent.singer import (
    ReplayRequest,
    check_environment,
    check_output,
    environment_settings,
    explain_input,
    input_of,
    readable_failures,
    stream_maps_of,
    write_config,
)
from target_liveintent.store import (
    Database,
    account_of,
    delete_letters,
    delivered_as_csv,
    delivered_as_messages,
    delivered_in,
    forget_people,
    letters_as_messages,
    letters_in,
    open_for_reading,
    open_for_writing,
)
from target_liveintent.target import TargetLiveIntent

_UNWELL = 3
"""The exit code of `health` if something is not well."""
_STAND_INS = {"customer_id": "a-0000", "auth_token": "none"}
"""Settings of commands that send nothing, where the user gives none."""
_GONE = {
    "--dead-letters": "dead-letters",
    "--explain": "explain",
    "--health": "health",
    "--preset": "preset",
    "--replay": "replay",
    "--report": "report",
}
"""Options that are gone, with the subcommands that do their work."""
_LOGGER = TargetLiveIntent.logger


class _Command(click.Group):
    """The program. However it fails, its last line is readable."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the arguments ask for."""
        _setup_console_logging(log_level=_plugin_log_level(plugin_name=TargetLiveIntent.name))
        protect_logging()
        with readable_failures(_LOGGER):
            return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse options that are gone, with the name of what does their work."""
        for argument in args:
            if new := _GONE.get(argument.partition("=")[0]):
                msg = f"the option {argument} no longer exists: use target-liveintent {new}"
                raise click.UsageError(msg, ctx)
        return super().parse_args(ctx, args)


def _read_config(
    ctx: click.Context, _param: click.Parameter, paths: tuple[str, ...]
) -> _ConfigInput:
    """Read the files of `--config`; an error does not show their content.

    The option may stand before the subcommand and after it; what comes later wins.
    """
    before = ctx.obj if isinstance(ctx.obj, _ConfigInput) else _ConfigInput()
    merged = _ConfigInput(dict(before.config), before.parse_env)
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
    ctx.obj = merged
    return merged


_with_config = click.option(
    "--config",
    multiple=True,
    is_eager=True,
    callback=_read_config,
    help="A file with settings in JSON, or ENV to read the settings from environment variables."
    " You can give this option several times.",
)


def _with_input(help_text: str) -> Callable[..., Any]:
    return click.option("--input", "file_input", type=click.File("r"), help=help_text)


@click.group(
    cls=_Command,
    name="target-liveintent",
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help"]},
)
@click.version_option(package_name=TargetLiveIntent.name, message="%(package)s v%(version)s")
@click.option("--about", is_flag=True, help="Show the settings and capabilities.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown"]),
    help="The format of --about.",
)
@_with_config
@_with_input("The file to read Singer messages from. The default is standard input.")
@click.option(
    "--send-again",
    is_flag=True,
    help="Also send events that were delivered before, once more.",
)
@click.pass_context
def main(  # noqa: PLR0913 (an argument for each option)
    ctx: click.Context,
    *,
    about: bool,
    style: str | None,
    config: _ConfigInput,
    file_input: IO[str] | None,
    send_again: bool,
) -> None:
    """Send conversion events to LiveIntent.

    Without a command, the program reads Singer messages, which a tap writes, and delivers them.
    """
    if ctx.invoked_subcommand is not None:
        if about or style or file_input or send_again:
            msg = "--about, --format, --input and --send-again have no effect before a command"
            raise click.UsageError(msg)
        check_output()
        return
    if style and not about:
        msg = "--format needs --about, or stands after a command"
        raise click.UsageError(msg)
    if about:
        check_output()
        TargetLiveIntent.print_about(None if style == "text" else style)
        return
    with _run(config, dry_run=False) as names:
        input_of(file_input)  # Closed, it ends the run before a file is made.
        TargetLiveIntent(**names, send_again=send_again).process(file_input)


@contextlib.contextmanager
def _run(config: _ConfigInput, *, dry_run: bool) -> Iterator[dict[str, Any]]:
    """Log the beginning of a run, and give what `TargetLiveIntent` takes."""
    run_id = new_run_id()
    version = f"{TargetLiveIntent.name} v{TargetLiveIntent.plugin_version}"
    _LOGGER.info("%s, run %s", version, run_id)
    with readable_failures(_LOGGER, run_named(run_id)):
        check_environment(config, _LOGGER, dry_run=dry_run)
        yield {"config": config.config, "parse_env_config": config.parse_env, "run_id": run_id}


# Before a run


@main.command("preset")
@click.argument("name", type=click.Choice(list(PRESETS)))
def print_preset(name: str) -> None:
    """Print the stream_maps of a preset, so that you can copy and change them."""
    click.echo(preset_text(name), nl=False)


@main.command("explain")
@_with_config
@_with_input("A Singer stream or a tap's catalog. The default is standard input.")
@click.option(
    "--expect",
    "expected",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Compare the result with the expected result in FILE, and exit with code 1 if they differ."
    " If FILE does not exist, write the result to FILE, and exit with code 1.",
)
@click.option(
    "--write-config",
    "new_config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Propose a configuration for the streams of the input, and write it to the new FILE as"
    " YAML. This needs no --config.",
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text")
def print_explanation(
    config: _ConfigInput,
    file_input: IO[str] | None,
    expected: str | None,
    new_config: str | None,
    style: str,
) -> None:
    """Show how each stream of an input would become events, or why a stream cannot.

    This sends nothing. The exit code is 1 if a run over the same input would fail. The command does
    not check the token, nor whether a run can use the store.
    """
    if new_config is not None:
        print_lines(write_config(input_of(file_input), settings_of(_STAND_INS), new_config))
        return
    given = _given(config)
    warned = list(warnings_of(given))
    if style == "text":
        print_lines(warned)
    account = dict(_STAND_INS)
    if given.get("auth_token_path"):
        del account["auth_token"]
    checked = settings_of(account | given)
    hide_token(checked.auth_token)
    source = input_of(file_input)
    explained = explain_input(source, checked, stream_maps_of(given), checked.presets, expected)
    if not explained.streams:
        still = [name for name in account if name not in given]
        other = "other settings" if warned else "settings"
        needs = f"; a run also needs {' and '.join(still)}" if still else ""
        explained.notes.append(f"The {other} are fine{needs}.")
    if style == "json":
        explained.notes[:0] = warned
        click.echo(json_text(explained))
    else:
        print_lines(explanation_lines(explained))
    if not explained.is_good:
        sys.exit(1)


# Dead letters

_UNCONFIRMED = click.option(
    "--unconfirmed",
    is_flag=True,
    help="Also send the dead letters that LiveIntent may have counted: those with the reasons"
    " unconfirmed and api_error.",
)
_OTHER_ACCOUNTS = click.option(
    "--other-accounts",
    is_flag=True,
    help="Also send the dead letters that were written for another account (customer ID and API"
    " host) or pixel. The replay sends them to the account and pixel of the settings.",
)
_READ_WITH_LETTERS = (
    *("customer_id", "api_url", "pixel_id", "default_source", "timezone", "email_normalization"),
    *("source_url_parameters", "suppression_path", "max_retry_seconds", "store"),
)
"""The settings that decide what a replay does with a dead letter."""


@main.command("dead-letters")
@_with_config
@click.option("--format", "style", type=click.Choice(["text", "json", "singer"]), default="text")
@click.option(
    "--delete",
    "reasons",
    multiple=True,
    type=click.Choice(sorted(name for name, reason in REASONS.items() if reason.letter)),
    metavar="REASON",
    help="Delete the dead letters of this account and pixel that have this reason. You can give"
    " this option several times.",
)
def print_dead_letters(config: _ConfigInput, style: str, reasons: tuple[str, ...]) -> None:
    """Show the dead letters by reason and stream.

    It shows how many there are, when they were written, examples, what to do, and what a replay
    would do. With --format=singer, it prints the dead letters as a Singer stream, which you can
    edit, and send with the command replay.
    """
    given = _given(config)
    if reasons:
        _delete_letters(given, reasons)
        return
    notes = list(warnings_of(given))
    settings = _settings(_STAND_INS | given, _READ_WITH_LETTERS)
    choice = ReplayChoice()
    if "customer_id" not in given:
        choice = ReplayChoice(other_accounts=True)
        notes.append(
            "setting 'customer_id' is missing, so this command cannot tell which dead letters"
            " belong to another account: pass the settings of the target with --config."
        )
    with _reading(settings) as database:
        if style == "singer":
            records = () if database is None else (text for _, text in letters_in(database))
            print_json_lines(letters_as_messages(records))
            return
        found = look_at_letters(database, settings, choice, notes)
    if style == "json":
        click.echo(json_text(found))
    else:
        print_lines(letter_lines(found))


def _delete_letters(given: Mapping[str, Any], reasons: Iterable[str]) -> None:
    if "customer_id" not in given:
        msg = "setting 'customer_id' is required: --delete deletes dead letters of one account"
        raise ConfigurationError(msg)
    settings = _settings(given, _READ_WITH_LETTERS)
    with _reading(settings) as found:
        is_there = found is not None
    if not is_there:
        print_lines(["There are no dead letters in the store."])
        return
    with contextlib.closing(open_for_writing(settings)) as database:
        for reason in dict.fromkeys(reasons):
            count = delete_letters(database, account_of(settings), settings.pixel_id, reason)
            print_lines([f"{reason}: deleted {counted(count, 'dead letter')}"])


@main.command("replay")
@_with_config
@click.argument("file", type=click.File("r"), required=False)
@click.option("--dry-run", is_flag=True, help="Show what the replay would do, and change nothing.")
@_UNCONFIRMED
@_OTHER_ACCOUNTS
def replay(
    config: _ConfigInput,
    file: IO[str] | None,
    *,
    dry_run: bool,
    unconfirmed: bool,
    other_accounts: bool,
) -> None:
    """Send the dead letters of the store that can be sent now.

    Dead letters that are expired are dropped, and the others stay. Other runs can continue at the
    same time. If a replay is interrupted, repeat it. FILE (or - for standard input) is what
    dead-letters --format=singer has printed, edited or not: its dead letters are put into the
    store, and sent.
    """
    choice = ReplayChoice(unconfirmed, other_accounts)
    with _run(config, dry_run=dry_run) as names:
        request = ReplayRequest(choice, file, dry_run)
        TargetLiveIntent(**names, replay=request).replay()


# Delivered events and people


@main.command("delivered")
@_with_config
@click.option("--format", "style", type=click.Choice(["csv", "singer"]), default="csv")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="TIME",
    help="Only events that were sent at this time (UTC) or later: 2026-08-01 or"
    " 2026-08-01T16:00:00.",
)
def print_delivered(config: _ConfigInput, style: str, since: dt.datetime | None) -> None:
    """Print the delivered events that the store keeps (see keep_delivered), the oldest first."""
    settings = _settings(_given(config), ("customer_id", "api_url", "max_retry_seconds", "store"))
    moment = 0.0 if since is None else since.replace(tzinfo=dt.timezone.utc).timestamp()
    with _reading(settings) as database:
        rows = () if database is None else delivered_in(database, account_of(settings), moment)
        if style == "csv":
            print_lines(delivered_as_csv(rows))
        else:
            print_json_lines(delivered_as_messages(rows))


@main.command("forget")
@_with_config
def forget(config: _ConfigInput) -> None:
    """Delete all rows about people whose addresses or hashes come from standard input.

    Each line is an e-mail address, or the MD5, SHA-1 or SHA-256 of one. The command deletes dead
    letters and delivered events of all accounts, and stores no address.
    """
    settings = _settings(_given(config), ("max_retry_seconds", "store"))
    hashes: set[str] = set()
    for number, line in enumerate(input_of(None), 1):
        if text := line.strip():
            found = digests(text)
            if not found:
                msg = f"line {number} is neither an e-mail address nor the hash of one"
                raise InputError(msg)
            hashes |= found
    with _reading(settings) as reading:
        is_there = reading is not None
    rows = 0
    if is_there and hashes:
        with contextlib.closing(open_for_writing(settings)) as database:
            rows = forget_people(database, hashes)
    print_lines([f"deleted {counted(rows, 'row')}"])


# The history

_READ_WITH_HISTORY = (
    *("customer_id", "api_url", "pixel_id", "timezone", "history_days"),
    *("max_retry_seconds", "store"),
)
"""The settings that decide what the history says."""


@main.command("health")
@_with_config
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="The exit code is also 3 if no run has ended in the last HOURS hours.",
)
def print_health(config: _ConfigInput, max_age: float | None) -> None:
    """Print one line that says whether everything is normal, according to the history of runs.

    The exit code is 3 if the last run failed, if something is unusual, or if there are more dead
    letters than usual.
    """
    limit = None if max_age is None else dt.timedelta(hours=max_age)
    settings = _settings(_given(config), _READ_WITH_HISTORY)
    with _reading(settings) as database:
        overview, _ = read_overview(settings, database, limit)
    print_lines([health_line(overview)])
    if overview.causes:
        sys.exit(_UNWELL)


@main.command("report")
@_with_config
@click.argument("path", type=click.Path(dir_okay=False), required=False)
@click.option("--format", "style", type=click.Choice(["text", "json"]))
def print_report(config: _ConfigInput, path: str | None, style: str | None) -> None:
    """Write the report page from the history of runs.

    The page compares today with usual days, and describes the last run. PATH is the file of the
    page; the default is report_path. With --format=text, the command prints at most 12 lines in
    place of the page; with --format=json, it prints the figures.
    """
    if style and path:
        msg = "a PATH has no effect with --format, which prints the report: remove one of them"
        raise click.UsageError(msg)
    needs_path = style is None and path is None
    read = (*_READ_WITH_HISTORY, *(("report_path",) if needs_path else ()))
    settings = _settings(_given(config), read)
    place = path or settings.report_path
    if style is None:
        _check_page(place)
    with _reading(settings) as database:
        overview, facts = read_overview(settings, database)
    if style == "json":
        click.echo(json_text(overview))
    elif style == "text":
        print_lines(overview_lines(overview))
    elif place is not None:
        try:
            write_overview(overview, facts, place)
        except OSError as error:
            msg = f"the report '{place}' cannot be written: {error.strerror}"
            raise StorageError(msg) from None
        print_lines([f"the report is in {place}"])


def _check_page(place: str | None) -> None:
    if place is None:
        msg = "the report needs the path of a file: give it after report, or set report_path"
        raise ConfigurationError(msg)
    if importlib.util.find_spec("pygal") is None:
        msg = (
            "the report needs a library that is not installed: run pip install"
            " 'target-liveintent[report]'"
        )
        raise ConfigurationError(msg)


# Settings of commands that send nothing


def _given(config: _ConfigInput) -> dict[str, Any]:
    """Return the settings that a run would have, without a check."""
    environment = environment_settings() if config.parse_env else {}
    given = {**config.config, **environment}
    given = {name: value for name, value in given.items() if value is not None}
    hide_token(str(given.get("auth_token", "")))
    with contextlib.suppress(ConfigurationError):  # Nothing is sent, so it need not be there.
        hide_token(read_token(str(given.get("auth_token_path", ""))))
    return given


def _settings(given: Mapping[str, Any], read: Iterable[str]) -> Settings:
    """Return the settings that a command reads; only those have to be right."""
    wanted = {name: value for name, value in given.items() if name in read}
    stand_ins = {name: value for name, value in _STAND_INS.items() if name not in read}
    return settings_of(stand_ins | wanted)


@contextlib.contextmanager
def _reading(settings: Settings) -> Iterator[Database | None]:
    """Open the store for reading; None if there is none yet."""
    database = open_for_reading(settings)
    try:
        yield database
    finally:
        if database is not None:
            database.close()
