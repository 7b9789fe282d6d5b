"""The command line: options, configuration files, exit codes, and what is printed."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
import pytest
from click.testing import CliRunner
from singer_sdk.exceptions import RecordsWithoutSchemaException

from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.mapping.presets import PRESETS, preset_text
from target_liveintent.singer.cli import (
    make_command,
    read_config_files,
)
from target_liveintent.singer.printing import printable
from target_liveintent.target import TargetLiveIntent

LOGGER = logging.getLogger("test-of-the-command-line")


class FakeTarget(TargetLiveIntent):
    """Notes what is done with the class and its instances."""

    done: list[Any]
    run_ids: list[str]

    def __init__(self, *, config: dict[str, Any], parse_env_config: bool, run_id: str) -> None:
        self.done.append((config, parse_env_config))
        self.run_ids.append(run_id)

    def process(self, file_input: IO[str] | None) -> None:
        self.done.append(file_input)

    @classmethod
    def print_about(cls, output_format: str | None = None) -> None:
        cls.done.append(output_format)

    @classmethod
    def print_version(cls, print_fn: Callable[[Any], None] = print) -> None:
        print_fn("version 1")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeTarget]:
    monkeypatch.chdir(tmp_path)
    FakeTarget.done, FakeTarget.run_ids = [], []
    return FakeTarget


def config_of(*paths: str) -> Any:
    return read_config_files(click.Context(click.Command("x")), click.Option(["--x"]), paths)


# Configuration files


def test_files_are_merged(tmp_path: Path) -> None:
    """A later file takes precedence, and ENV asks for the environment."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text('{"a": 1, "b": 1}')
    second.write_text('{"b": 2}')
    given = config_of(str(first), "ENV", str(second))
    assert (given.config, given.parse_env) == ({"a": 1, "b": 2}, True)
    assert (config_of().config, config_of().parse_env) == ({}, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *(
            (content, "is not a JSON object")
            for content in ("s3cr3t", '["s3cr3t"]', '{"a": "s3cr3t"', "5", "")
        ),
        (None, "cannot be read: the file does not exist"),
        (..., "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: Any, said: str) -> None:
    """The message names the file and the reason, and shows nothing of its content."""
    path = tmp_path if content is ... else tmp_path / "a.json"
    if isinstance(content, str):
        path.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        config_of(str(path))
    assert str(raised.value) == f"the configuration file '{path}' {said}"
    assert raised.value.__suppress_context__


# The command


def sdk_command(callback: Callable[..., Any]) -> click.Command:
    return click.Command(
        "target-x", callback=callback, params=[click.Option(["--config"], multiple=True)], help="H"
    )


def test_the_options(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The options of the SDK stay, and `--config` reads files with our messages."""
    seen: dict[str, Any] = {}
    command = make_command(sdk_command(seen.update), LOGGER)
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    result = CliRunner().invoke(command, ["--config", str(path), "--explain", "--preset=shopify"])
    assert (result.exit_code, command.name, command.help) == (0, "target-x", "H")
    assert seen.pop("config").config == {"a": 1}
    absent = dict.fromkeys(("expected", "letters_path", "replayed", "page_path", "max_age"), None)
    assert seen == {**absent, "explained": True, "preset": "shopify"} | dict.fromkeys(
        ("dry_run", "health"), False
    )
    assert CliRunner().invoke(command, ["--preset=nothing"]).exit_code == 2
    assert CliRunner().invoke(command, ["--config=nowhere"]).exit_code == 2
    said = "the configuration file 'nowhere' cannot be read: the file does not exist"
    assert caplog.messages == [said]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ("--dead-letters", ""),
        ("--dead-letters --explain", ""),
        ("--dead-letters x.singer", "x.singer"),
        ("--dead-letters=x.singer", "x.singer"),
        ("--explain --dead-letters", ""),
        ("", None),
    ],
)
def test_a_path_that_may_be_left_out(arguments: str, path: str | None) -> None:
    """`--dead-letters` stands alone, or before a path."""
    seen: dict[str, Any] = {}
    command = make_command(sdk_command(seen.update), LOGGER)
    assert CliRunner().invoke(command, arguments.split()).exit_code == 0
    assert seen["letters_path"] == path


# What the options do


def test_a_run(target: type[FakeTarget], caplog: pytest.LogCaptureFixture) -> None:
    """Without other options, a target is made of the configuration, and reads the input."""
    caplog.set_level(logging.INFO)
    source = io.StringIO("")
    target.invoke(config=config_of("ENV"), file_input=source)
    assert target.done == [({}, True), source]
    assert caplog.messages == [f"version 1, run {target.run_ids[0]}"]
    target.invoke()
    assert target.done[2:] == [({}, False), None]
    assert target.run_ids[0] < target.run_ids[1]


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        (ConfigurationError("wrong"), (2, "wrong")),
        (InputError("odd"), (1, "odd")),
        (RecordsWithoutSchemaException("early"), (1, "early")),
        (ValueError("ann@example.com"), (1, "the run ended with an unexpected ValueError")),
    ],
)
def test_a_run_that_fails(
    target: type[FakeTarget],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    ending: tuple[int, str],
) -> None:
    """Its last line names the cause, and the run; the text of an unexpected failure is hidden."""

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(target, "process", fail)
    with pytest.raises(SystemExit) as raised:
        target.invoke()
    last_line = caplog.messages[-1].removesuffix(f" (run {target.run_ids[0]})")
    assert (raised.value.code, last_line) == ending
    assert "ann@" not in caplog.text
    assert ("this is a bug" in caplog.text) == isinstance(failure, ValueError)


@pytest.mark.parametrize("output_format", [None, "json"])
def test_about(target: type[FakeTarget], output_format: str | None) -> None:
    """The SDK prints the settings, and nothing is run."""
    target.invoke(about=True, about_format=output_format)
    assert target.done == [output_format]


@pytest.mark.parametrize("name", PRESETS)
def test_preset(target: type[FakeTarget], capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A preset is printed as it is in its file, and nothing is run."""
    target.invoke(preset=name)
    assert (capsys.readouterr().out, target.done) == (preset_text(name), [])


Explained = Callable[..., str]


@pytest.fixture
def explained(target: type[FakeTarget], capsys: pytest.CaptureFixture[str]) -> Explained:
    """Return a function that returns what `--explain` prints about a stream."""

    def call(stream: str = "orders", **config: Any) -> str:
        given = config_of("ENV")
        schema = {"properties": {name: {} for name in ("id", "event_time", "email")}}
        message = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]}
        given.config = {"pixel_id": 5, "default_source": "web", **config}
        target.invoke(explained=True, config=given, file_input=io.StringIO(json.dumps(message)))
        assert target.done == []
        return capsys.readouterr().out

    return call


def test_explain(explained: Explained) -> None:
    """`--explain` needs no account, and hides the token."""
    printed = explained(pixel_id=7, auth_token=None, pixl_id=1)
    assert "Stream orders" in printed
    assert "7 (setting pixel_id)" in printed
    assert "did you mean 'pixel_id'?" in printed
    assert "hidden-t0ken" not in explained("a hidden-t0ken", auth_token="hidden-t0ken")


def test_explain_reads_the_environment(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run, the environment takes precedence over files, where it has the prefix."""
    monkeypatch.setenv("TARGET_LIVEINTENT_PIXEL_ID", "8")
    monkeypatch.setenv("PIXEL_ID", "9")
    assert "8 (setting pixel_id)" in explained(pixel_id=7)


@pytest.mark.parametrize(
    "wrong",
    [{"pixel_id": -1}, {"customer_id": "x"}, {"auth_token_path": "token", "auth_token": "t0ken"}],
)
def test_explain_checks_the_settings(explained: Explained, wrong: dict[str, Any]) -> None:
    """A wrong setting fails as in a run, also one of the account."""
    Path("token").write_text("t0ken")
    assert explained(auth_token_path="token")
    with pytest.raises(ConfigurationError):
        explained(**wrong)


NOT_COMBINED = "cannot be combined: give only one of them"
MARKDOWN = {"about_format": "markdown"}
NO_FORMAT = "does not support the format"
BOTH = "give both options"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"explained": True, "letters_path": ""}, f"--explain and --dead-letters {NOT_COMBINED}"),
        ({"page_path": "", "health": True}, f"--report and --health {NOT_COMBINED}"),
        (
            {"about": True, "preset": "shopify", "letters_path": "x"},
            f"--about and --preset and --dead-letters {NOT_COMBINED}",
        ),
        ({"letters_path": "", **MARKDOWN}, f"--dead-letters {NO_FORMAT} markdown: use json"),
        ({"explained": True, **MARKDOWN}, f"--explain {NO_FORMAT} markdown: use json"),
        ({"page_path": "", **MARKDOWN}, f"--report {NO_FORMAT} markdown: use text or json"),
        ({"health": True, "about_format": "json"}, f"--health {NO_FORMAT} json: remove --format"),
        ({"page_path": "", "max_age": 2.0}, f"--max-age works only with --health: {BOTH}"),
        ({"letters_path": "", "expected": "x"}, f"--expect works only with --explain: {BOTH}"),
        (
            {"page_path": "x", "about_format": "text"},
            (
                "--report takes no path if --format is given: the report is then printed, not"
                " written to a file. Remove the path after --report"
            ),
        ),
        (
            {"letters_path": "", "file_input": io.StringIO()},
            "--dead-letters does not read --input: give the path as --dead-letters PATH",
        ),
    ],
)
def test_options_that_do_not_go_together(
    target: type[FakeTarget], options: dict[str, Any], said: str
) -> None:
    """Options that contradict each other are a usage error, and nothing is done."""
    with pytest.raises(click.UsageError) as raised:
        target.invoke(**options)
    assert (str(raised.value), target.done) == (said, [])


@pytest.mark.parametrize(
    ("line", "shown"),
    [("plain ü 雪", "plain ü 雪"), ("a\nb\tc", r"a\nb\tc"), ("\x1b[31m\u202e", r"\x1b[31m\u202e")],
)
def test_printable(line: str, shown: str) -> None:
    """Characters that cannot be printed are escaped; all others stay."""
    assert printable(line) == shown
