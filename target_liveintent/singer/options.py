"""The options of the command line, and which of them go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import click

from target_liveintent.mapping import PRESETS


def own_options() -> list[click.Option]:
    """Return the options that the SDK's command does not have."""
    return [
        click.Option(
            ["--preset"],
            type=click.Choice(list(PRESETS)),
            help="Print the stream_maps of a preset, so that you can copy and change them.",
        ),
        click.Option(
            ["--explain", "explained"],
            is_flag=True,
            help="Read a Singer stream or a tap's catalog, and show how each stream would become"
            " events, or why a stream cannot. This sends nothing. The exit code is 1 if a run over"
            " the same input would fail. The command does not check the token, nor whether a run"
            " can write its files.",
        ),
        click.Option(
            ["--expect", "expected"],
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="With --explain: compare the result with the expected result in FILE, and exit"
            " with code 1 if they differ. If FILE does not exist, write the result to FILE, and"
            " exit with code 1.",
        ),
        click.Option(
            ["--replay", "replayed"],
            is_flag=False,
            flag_value="",
            metavar="[PATH]",
            help="Send the dead letters in PATH that can be sent now, drop those that are expired,"
            " and put back the others. PATH is a file or a URL; the default is dead_letter_path."
            " Other runs can continue at the same time. If a replay is interrupted, repeat it.",
        ),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="With --replay: show what the replay would do. This sends nothing and changes no"
            " dead letters.",
        ),
        click.Option(
            ["--dead-letters", "letters_path"],
            is_flag=False,
            flag_value="",
            type=click.Path(),
            metavar="[PATH]",
            help="Show the dead letters by reason and stream: how many there are, when they were"
            " written, examples, what to do, and what a replay would do. PATH is a file, a folder"
            " of *.singer files, or the URL of a file or folder; the default is dead_letter_path."
            " This sends nothing and changes nothing.",
        ),
        click.Option(
            ["--report", "page_path"],
            is_flag=False,
            flag_value="",
            type=click.Path(dir_okay=False),
            metavar="[PATH]",
            help="Write the report page from the history of runs (history_path). The page compares"
            " today with usual days, and describes the last run. PATH is the file or URL of the"
            " page; the default is report_path. With --format=text, print at most 12 lines instead"
            " of the page; with --format=json, print the figures.",
        ),
        click.Option(
            ["--health"],
            is_flag=True,
            help="Print one line that says whether everything is normal, according to the history"
            " of runs. The exit code is 3 if the last run failed, if something is unusual, or if"
            " there are more dead letters than usual.",
        ),
        click.Option(
            ["--max-age"],
            type=click.FloatRange(min=0, min_open=True),
            metavar="HOURS",
            help="With --health: the exit code is also 3 if no run has ended in the last HOURS"
            " hours.",
        ),
    ]


class Options(NamedTuple):
    """The options that must fit together.

    Attributes:
        actions: Whether each option is given that does something else than a run.
        style: That of `--format`.
        expected: The file of `--expect`.
        has_input: Whether `--input` is given.
        dry_run: Whether `--dry-run` is given.
        page_path: The path of `--report`; empty without one.
        max_age: The hours of `--max-age`.
    """

    actions: Mapping[str, bool]
    style: str | None = None
    expected: str | None = None
    has_input: bool = False
    dry_run: bool = False
    page_path: str | None = None
    max_age: float | None = None


_STYLES = {
    "--about": ("json", "markdown"),
    "--explain": ("json",),
    "--dead-letters": ("json",),
    "--report": ("text", "json"),
}
"""What `--format` can be, by what is done."""


def check_options(options: Options) -> None:
    """Raise a usage error for options that do not go together."""
    given = [option for option, is_given in options.actions.items() if is_given]
    for problem in _option_problems(options, given):
        raise click.UsageError(problem)


def _option_problems(options: Options, given: list[str]) -> Iterator[str]:
    if len(given) > 1:
        yield f"{' and '.join(given)} cannot be combined: give only one of them"
    if options.dry_run and "--replay" not in given:
        yield "--dry-run works only with --replay. For a run that reads a tap's output, set dry_run"
    if options.expected is not None and "--explain" not in given:
        yield "--expect works only with --explain: give both options"
    if options.max_age is not None and "--health" not in given:
        yield "--max-age works only with --health: give both options"
    for action in given:
        styles = _STYLES.get(action, ())
        if options.style is not None and options.style not in styles:
            instead = f"use {' or '.join(styles)}" if styles else "remove --format"
            yield f"{action} does not support the format {options.style}: {instead}"
    if options.style is not None and options.page_path:
        yield (
            "--report takes no path if --format is given: the report is then printed, not written"
            " to a file. Remove the path after --report"
        )
    if options.has_input and "--dead-letters" in given:
        yield "--dead-letters does not read --input: give the path as --dead-letters PATH"
