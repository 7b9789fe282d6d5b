"""The command line of `target-liveintent`: without a subcommand, the program performs a run."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any

import click
from singer_sdk._logging import _setup_console_logging
from singer_sdk.plugin_base import _plugin_log_level

from target_liveintent import __version__, config
from target_liveintent.config_files import read_config
from target_liveintent.conversions.amounts import counted
from target_liveintent.delivery.client import read_token
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.mapping.presets import PRESETS, preset_text
from target_liveintent.mapping.stream_maps import StreamMaps
from target_liveintent.printing import json_text, lines_of, print_json_lines, print_lines
from target_liveintent.privacy.identity import traces_of
from target_liveintent.privacy.redaction import hide_token, protect_logging
from target_liveintent.privacy.suppression import Person, Suppressions, people_in
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import example_of, read_history, recent_places
from target_liveintent.run.replay_converter import ReplayChoice, ReplayConverter
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.settings import Settings
from target_liveintent.singer.exit_codes import log_unhandled, readable_failures
from target_liveintent.store import dead_letters, delivered
from target_liveintent.store.database import Database
from target_liveintent.store.deletion import delete_letters, forget_people
from target_liveintent.store.ledger import ledger_of
from target_liveintent.store.opening import open_database, open_for_reading
from target_liveintent.system import use_utf8
from target_liveintent.target import TargetLiveIntent

_NO_ACCOUNT = {"customer_id": "a-0000"}  # For commands that need no account.
_NO_TOKEN = {"auth_token": "none", "auth_token_path": None}  # For commands that send nothing.
_LOGGER = TargetLiveIntent.logger
_NAMED = f"{TargetLiveIntent.name} v{__version__}"


def _set_up_logging() -> None:
    level = _plugin_log_level(plugin_name=TargetLiveIntent.name)
    try:
        _setup_console_logging(log_level=level)
    except ValueError:  # The SDK raises it for any unusable configuration.
        msg = (
            "the log cannot be set up: TARGET_LIVEINTENT_LOGLEVEL must be a level such as INFO, and"
            " SINGER_SDK_LOG_CONFIG the file of a configuration of Python's logging"
        )
        raise ConfigurationError(msg) from None
    protect_logging()  # The configuration may have set the levels of libraries.


class _Program(click.Group):
    """The main command, which explains every failure in the last line of the log."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name."""
        protect_logging()
        log_unhandled(_LOGGER)
        with readable_failures(_LOGGER):
            _set_up_logging()
            # The next file that is opened would take the place of a closed stream.
            if None in (sys.stdin, sys.stdout, sys.stderr):
                msg = "a standard stream is closed: remove <&-, >&- or 2>&- from the command"
                raise StorageError(msg)
            use_utf8()
            return super().main(*args, **kwargs)


# Settings


def _read_files(
    ctx: click.Context, _param: click.Parameter, paths: tuple[str, ...]
) -> dict[str, Any]:
    """Return the merged settings of all `--config` files, given before or after the subcommand."""
    merged = dict(ctx.obj or {})
    for path in paths:
        if path != "ENV":
            merged |= read_config(path)
    ctx.obj = merged
    return merged


_with_config = click.option(
    "--config",
    "files",
    multiple=True,
    is_eager=True,
    metavar="FILE",
    callback=_read_files,
    help="A file with settings in JSON or YAML. You can repeat this option; a later file takes"
    " precedence. Environment variables such as TARGET_LIVEINTENT_PIXEL_ID take precedence over"
    " files, except for settings that are objects. ENV in place of FILE has no effect.",
)


def _given(files: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> config.Given:
    """Return the unchecked settings of files and environment, and hide the token from the log.

    Settings whose value is null are left out.
    """
    given = _with_environment(files, environment)
    with contextlib.suppress(ConfigurationError):  # The file need not exist here.
        # From now on, the log does not show this token.
        read_token(str(given.values.get("auth_token_path", "")))
    values = {name: value for name, value in given.values.items() if value is not None}
    return given._replace(values=values)


def _with_environment(
    files: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> config.Given:
    """Return the unchecked settings of files and environment, and hide `auth_token` from the log.

    This function does not read the file of `auth_token_path`: the file may be a pipe, which can be
    read only once.
    """
    given = config.with_environment(files, environment)
    hide_token(str(given.values.get("auth_token", "")))
    return given


@contextlib.contextmanager
def _opened(
    files: Mapping[str, Any], *, to_change: bool = False, **options: str | None
) -> Iterator[tuple[Settings, Database]]:
    """Yield the settings and the open store for a command that sends nothing and needs no token.

    Args:
        files: The settings of the `--config` files.
        to_change: Whether the command changes the store. A store that does not exist yet is empty.
        options: Settings that replace those of files and environment. The settings `metrics_path`
            and `report_path` are only set if they are given here.
    """
    needless = {**_NO_TOKEN, "metrics_path": None, "report_path": None}
    given = _given(files)
    settings = config.settings_of(given.values | needless | options, given.unknown_variables)
    database = open_for_reading(settings.storage)
    if to_change and not database.is_new:
        database.close()
        database = open_database(settings.storage)
    with contextlib.closing(database):
        yield settings, database


def _overview(settings: Settings, database: Database, max_age: dt.timedelta | None = None) -> Any:
    """Return the overview of the history in the store."""
    from target_liveintent.reporting.overview import overview_of, with_examples  # noqa: PLC0415 (not for a run)

    now = dt.datetime.fromtimestamp(time.time(), settings.events.zone)
    history = read_history(database, settings.account, settings.events, now.timestamp())
    rows = recent_places(database, settings.storage, now.timestamp())
    overview = overview_of(history, rows, settings.storage, now, max_age)
    example = partial(example_of, database, settings.storage, now.timestamp())
    return with_examples(overview, example)


def _show(style: str, found: Any, lines: Callable[[Any], Iterable[str]]) -> None:
    """Print the result of a command: as JSON, or as the lines that `lines` makes of it."""
    if style == "json":
        click.echo(json_text(found))
    else:
        print_lines(lines(found))


# Runs

_flag = partial(click.option, is_flag=True)
_path_option = partial(click.option, type=click.Path(dir_okay=False), metavar="FILE")
_limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Send only N events, then stop."
)
_dry_run = _flag("--dry-run", help="Show what would be sent, and change nothing.")


@click.group(
    cls=_Program,
    name="target-liveintent",
    invoke_without_command=True,
    epilog="Example: tap-shop | target-liveintent --config liveintent.yml --dry-run",
)
@click.version_option(__version__, message=_NAMED)
@_flag("--about", help="Show the settings and capabilities.")
@click.option("--format", "style", type=click.Choice(["text", "json", "markdown"]))
@_with_config
@click.option(
    "--input", "source", type=click.File("r"), metavar="FILE", help="Read FILE, not standard input."
)
@_dry_run
@_limit
@_flag("--send-again", help="Send all events, even those that were delivered before.")
@click.pass_context
def main(  # noqa: PLR0913 (an argument for each option)
    ctx: click.Context,
    /,
    *,
    about: bool,
    style: str | None,
    files: dict[str, Any],
    source: IO[str] | None,
    send_again: bool,
    **options: bool | int | None,
) -> None:
    """Send conversion events to LiveIntent.

    Without a command, the program reads the Singer messages of a tap, and delivers the events.
    """
    if ctx.invoked_subcommand is not None:
        if about or style or source or send_again or any(options.values()):
            msg = (
                "before a command, only --config has an effect: write other options after the"
                " command"
            )
            raise click.UsageError(msg)
        return
    if style and not about:
        msg = "--format has no effect on a run: add --about, or write --format after a command"
        raise click.UsageError(msg)
    if about and style in {"json", "markdown"}:
        TargetLiveIntent.print_about(style)
    elif about:
        print_lines([_NAMED, str(TargetLiveIntent.__doc__), *config.about_lines()])
    else:
        _run(files, options, source, send_again=send_again)


def _run(
    files: Mapping[str, Any], options: Mapping[str, Any], source: IO[str] | None, **how: Any
) -> None:
    """Run the target on an input.

    Args:
        files: The settings of the `--config` files.
        options: The settings of the command line, which take precedence.
        source: The input; None means standard input, or in a replay no input.
        how: Further arguments of `TargetLiveIntent`.
    """
    run_id = new_run_id()
    _LOGGER.info("%s, run %s", _NAMED, run_id)
    with readable_failures(_LOGGER, run_named(run_id)):
        given = _with_environment(files)
        values = given.values | {name: value for name, value in options.items() if value}
        TargetLiveIntent(
            config=values, unknown_variables=given.unknown_variables, run_id=run_id, **how
        ).process(source)


def _command(name: str, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function a subcommand with `--config` and an example."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        epilog = f"Example: target-liveintent {example}"
        return main.command(name, epilog=epilog)(_with_config(function))

    return decorate


def _with_format(*styles: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--format", "style", type=click.Choice(styles), default=styles[0])


@_command("preset", "preset shopify")
@click.argument("name", type=click.Choice(list(PRESETS)), required=False)
def print_preset(files: dict[str, Any], name: str | None) -> None:  # noqa: ARG001 (for --config)
    """Print the stream_maps of a preset, so that you can copy and change them.

    Without a NAME, the command prints the list of presets.
    """
    if name is None:
        print_lines(f"{one}: {preset.source}" for one, preset in PRESETS.items())
    else:
        click.echo(preset_text(name), nl=False)


@_command("explain", "--config liveintent.yml explain records.singer")
@click.argument("source", type=click.File("r"), metavar="[FILE]", default="-")
@_path_option(
    "--expect",
    "expected",
    help="Compare the result with the expected result in FILE, and exit with code 1 if they differ."
    " If FILE does not exist, write the result to FILE, and exit with code 1.",
)
@_path_option(
    "--write-config",
    "new_config",
    help="Propose a configuration for the input, and write it to FILE, which must not exist."
    " The command then ignores --config.",
)
@click.option(
    "--show-code",
    is_flag=True,
    help="Also show the Python code that a run generates for the usual records of each stream.",
)
@_path_option(
    "--against",
    "other",
    metavar="OTHER",
    help="Compare the events of --config with those of OTHER, a file that contains a complete"
    " configuration. Environment variables do not count. The exit code is 1 only if event IDs"
    " change, because the events would be sent again.",
)
@_with_format("text", "json")
def print_explanation(  # noqa: PLR0913 (an argument for each option)
    files: dict[str, Any],
    source: IO[str],
    expected: str | None,
    new_config: str | None,
    other: str | None,
    *,
    style: str,
    show_code: bool,
) -> None:
    """Show which events the records of each stream would become, or why a stream has no events.

    FILE contains Singer messages; the default is standard input. The command sends nothing. The
    exit code is 1 if a run with the same input would fail. The command does not check the token,
    and reads the store only with --against.
    """
    from target_liveintent.singer import explaining  # noqa: PLC0415 (a run does not need it)
    from target_liveintent.singer.streams import RecordRules  # noqa: PLC0415

    if other is not None:
        if expected is not None or new_config is not None or show_code:
            msg = "--against cannot be used with --expect, --write-config or --show-code"
            raise click.UsageError(msg)
        _print_comparison(files, other, source, style)
        return
    if new_config is not None:
        print_lines(explaining.write_config(source, new_config))
        return
    given = _given(files)
    values = {**_NO_ACCOUNT, **given.values, **_NO_TOKEN}
    settings = config.settings_of(values, given.unknown_variables)
    explained = explaining.explain_input(
        source,
        StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets),
        RecordRules(
            settings.events,
            Suppressions(settings.suppression_path),
            settings.validate_records,
            settings.on_rejection,
        ),
        expected,
        max_dead_letter_percent=settings.max_dead_letter_percent,
        show_code=show_code,
    )
    explained.notes[:0] = config.setting_warnings(*given)
    _show(style, explained, partial(lines_of, "explain/explanation.txt"))
    if not explained.is_good:
        sys.exit(1)


def _print_comparison(files: Mapping[str, Any], other: str, source: IO[str], style: str) -> None:
    """Print how the events of two configurations differ; exit with code 1 if event IDs change."""
    from target_liveintent.singer import comparing  # noqa: PLC0415 (a run does not need it)

    with readable_failures(_LOGGER, other_code=2):
        named = {"--config": files, f"--against {other}": read_config(other)}
        old, new = (
            comparing.Configuration.of(name, _given(values, {}).values | _NO_TOKEN)
            for name, values in named.items()
        )
        compared = comparing.compare_configurations(source, old, new)
        _show(style, compared, partial(lines_of, "explain/comparison.txt"))
    if compared.changed_ids:
        sys.exit(1)


@_command("dead-letters", "--config liveintent.yml dead-letters --format=json")
@_with_format("text", "json", "singer")
@click.option(
    "--delete",
    "reasons",
    multiple=True,
    type=click.Choice(sorted(name for name, reason in REASONS.items() if reason.letter)),
    metavar="REASON",
    help="Delete the dead letters of this account and pixel with REASON. You can repeat this"
    " option.",
)
def print_dead_letters(files: dict[str, Any], style: str, reasons: tuple[str, ...]) -> None:
    """Show the dead letters by reason and stream.

    For each group, the command shows the count, the dates, examples, what to do, and what a replay
    would do. With --format=singer, it prints the dead letters as a Singer stream. You can edit this
    stream, and send it with the command replay.
    """
    from target_liveintent.explain.letter_groups import look_at  # noqa: PLC0415 (a run does not need it)

    with _opened(files, to_change=bool(reasons)) as (settings, database):
        if reasons:
            for reason in dict.fromkeys(reasons):
                count = delete_letters(database, settings.account, settings.pixel_id, reason)
                print_lines([f"{reason}: deleted {counted(count, 'dead letter')}"])
        elif style == "singer":
            records = (text for _, text in dead_letters.letters_in(database))
            print_json_lines(dead_letters.letter_messages(records))
        else:
            notes = [*config.setting_warnings(*_given(files))]
            people = Suppressions(settings.suppression_path)
            converter = ReplayConverter(settings.account, settings.events, people, ReplayChoice())
            rows = recent_places(database, settings.storage, time.time())
            found = look_at(database, converter, notes, ledger_of(rows))
            _show(style, found, partial(lines_of, "explain/dead_letters.txt"))


@_command("trace", "--config liveintent.yml trace 1007")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option(
    "--input",
    "source",
    type=click.File("r"),
    metavar="FILE",
    help="Also find the record in FILE, the output of a tap (- for standard input), and show each"
    " step of its way through the map.",
)
@_with_format("text", "json")
def print_trace(
    files: dict[str, Any], ids: tuple[str, ...], source: IO[str] | None, style: str
) -> None:
    """Say what happened to single events: whether each arrived, and if not, why.

    An ID is an event ID, an order ID, or a value of a key of the tap. The command changes nothing,
    and shows hashes in place of addresses. The exit code is 1 if there is an ID that the store has
    never seen and that the map does not leave out.
    """
    from target_liveintent.explain.trace import WITHOUT_ANSWER  # noqa: PLC0415 (not for a run)
    from target_liveintent.singer.tracing import trace_ids  # noqa: PLC0415

    with _opened(files) as (settings, database):
        answers = trace_ids(ids, database, settings, source, time.time)
    _show(style, answers, partial(lines_of, "explain/trace.txt"))
    if any(answer.outcome in WITHOUT_ANSWER for answer in answers):
        sys.exit(1)


@_command("replay", "--config liveintent.yml replay --dry-run")
@click.argument("source", type=click.File("r"), metavar="[FILE]", required=False)
@_dry_run
@_limit
@_flag(
    "--unconfirmed",
    help="Also send events that LiveIntent may have counted (reasons unconfirmed and api_error).",
)
@_flag(
    "--other-accounts",
    help="Also send the dead letters of other accounts (customer ID and API host) and pixels. The"
    " replay sends them to the account and pixel of the settings.",
)
def replay(
    files: dict[str, Any],
    source: IO[str] | None,
    *,
    unconfirmed: bool,
    other_accounts: bool,
    **options: bool | int | None,
) -> None:
    """Send the dead letters of the store that can be sent now.

    The replay drops expired dead letters. Dead letters that cannot be sent yet stay in the store.
    Other runs can continue at the same time. If a replay is interrupted, repeat it. FILE (or - for
    standard input) is the output of dead-letters --format=singer, which you may edit. The replay
    puts the dead letters of FILE into the store, and sends them.
    """
    _run(files, options, source, replay=ReplayChoice(unconfirmed, other_accounts))


@_command("delivered", "--config liveintent.yml delivered --since 2026-08-01 > delivered.csv")
@_with_format("csv", "singer")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="TIME",
    help="Print only events that were sent at this time (UTC) or later, such as 2026-08-01 or"
    " 2026-08-01T16:00:00.",
)
def print_delivered(files: dict[str, Any], style: str, since: dt.datetime | None) -> None:
    """Print the delivered events that runs with keep_delivered have stored, the oldest first."""
    moment = 0.0 if since is None else since.replace(tzinfo=dt.timezone.utc).timestamp()
    with _opened(files) as (settings, database):
        if not settings.keep_delivered:
            click.echo(
                "keep_delivered is off, so runs with these settings keep no delivered events. To"
                " keep them from the next run on, set keep_delivered: true",
                err=True,
            )
        rows = delivered.delivered_in(database, settings.account, moment)
        if style == "csv":
            print_lines(delivered.as_csv(rows))
        else:
            print_json_lines(delivered.delivered_messages(rows))


@_command("forget", "--config liveintent.yml forget < addresses.txt")
def forget(files: dict[str, Any]) -> None:
    """Delete the stored rows about the people whom standard input lists.

    Each line is an e-mail address, or the MD5 or SHA-256 of an address. For an address, the command
    finds all rows. For a hash, it finds only rows with this hash. It deletes dead letters and
    delivered events of all accounts, and stores no address.
    """
    people = {tuple(one.known_by): one for one in people_in(sys.stdin, traces_of)}
    with _opened({**_NO_ACCOUNT, **files}, to_change=True) as (_, database):
        counts = forget_people(database, [*people])
    print_lines(_forgotten([*people.values()], counts))


def _forgotten(people: Sequence[Person], counts: Sequence[int]) -> Iterator[str]:
    """Yield how many rows were deleted, and which lines of the input matched no row."""
    yield f"deleted {counted(sum(counts), 'row')}"
    if not people:
        yield "standard input contains neither an address nor a hash"
    unknown = [person for person, count in zip(people, counts, strict=True) if not count]
    if numbers := [str(one.line) for one in unknown if one.is_address]:
        yield f"the store had no row of the person whose address is in line {', '.join(numbers)}"
    if numbers := [str(one.line) for one in unknown if not one.is_address]:
        yield (
            f"the store had no row with the hash in line {', '.join(numbers)}. Rows about the same"
            " person may still exist: with the hash of another spelling of the address, or with"
            " the other kind of hash. To find all rows, enter the address itself"
        )


@_command("health", "--config liveintent.yml health --max-age 26")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="The exit code is also 3 if no run has ended in the last HOURS hours. The default is three"
    " times the usual time between runs, and at least 26 hours.",
)
def print_health(files: dict[str, Any], max_age: float | None) -> None:
    """Print one line that says whether the last runs were normal.

    The exit code is 3 if the last run failed, or if something is unusual, such as more dead letters
    than usual.
    """
    from target_liveintent.reporting import headline  # noqa: PLC0415 (a run does not need it)

    with _opened(files) as (settings, database):
        limit = dt.timedelta(hours=max_age) if max_age else None
        overview = _overview(settings, database, limit)
    print_lines([headline.health_line(overview)])
    if overview.causes:
        sys.exit(3)


@_command("report", "--config liveintent.yml report page.html")
@click.argument("path", type=click.Path(dir_okay=False), required=False)
@click.option("--format", "style", type=click.Choice(["html", "text", "json"]))
def print_report(files: dict[str, Any], path: str | None, style: str | None) -> None:
    """Write the report page from the history of runs, or print the report.

    The page compares the last 24 hours with usual days, and describes the last run. PATH is the
    file of the page; the default is report_path. With --format=text, or if no file is named, the
    command prints at most 12 lines. With --format=json, it prints the figures.
    """
    from target_liveintent.reporting import page, page_owner  # noqa: PLC0415 (a run does not need it)

    place = path or _given(files).values.get("report_path")
    style = style or ("html" if place else "text")
    if (path and style != "html") or (style == "html" and place is None):
        msg = "--format=html needs a PATH, or the setting report_path; other formats have no PATH"
        raise click.UsageError(msg)
    with _opened(files, report_path=place if style == "html" else None) as (settings, database):
        overview = _overview(settings, database)
    if style != "html":
        _show(style, page.as_json(overview) if style == "json" else overview, page.as_lines)
        return
    page_owner.check_owner(str(settings.report_path), settings.account, settings.pixel_id)
    try:
        page.write_page(overview, str(settings.report_path))
    except OSError as error:
        msg = f"the report '{settings.report_path}' cannot be written: {error.strerror}"
        raise StorageError(msg) from None
    print_lines([f"the report is in {settings.report_path}"])
