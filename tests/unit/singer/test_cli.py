"""The command line: options, configuration files, exit codes, and what is printed."""

from __future__ import annotations

import io
import json
import logging
from typing import IO, TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from singer_sdk.exceptions import RecordsWithoutSchemaException

from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.mapping.presets import PRESETS, preset_text
from target_liveintent.singer.cli import (
    Command,
    environment_settings,
    failure_text,
    make_command,
    read_config_files,
)
from target_liveintent.singer.printing import printable
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
def target() -> type[FakeTarget]:
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


@pytest.mark.parametrize("content", ["s3cr3t", '["s3cr3t"]', '{"a": "s3cr3t"', "5", ""])
def test_a_file_that_is_not_an_object(tmp_path: Path, content: str) -> None:
    """The message names the file and shows nothing of its content."""
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        config_of(str(path))
    assert str(raised.value) == f"the configuration file '{path}' is not a JSON object"
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere.json", "the file does not exist"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    """The message names the file and the reason."""
    path = str(tmp_path / name)
    with pytest.raises(ConfigurationError) as raised:
        config_of(path)
    assert str(raised.value) == f"the configuration file '{path}' cannot be read: {reason}"


def test_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings come from variables with the program's prefix, and from a file `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARGET_LIVEINTENT_PIXEL_ID", "7")
    monkeypatch.setenv("TARGET_LIVEINTENT_DEFAULT_SOURCE", "")
    monkeypatch.setenv("PIXEL_ID", "8")
    found = environment_settings()
    assert found["pixel_id"] == 7
    assert "default_source" not in found


# The command


def sdk_command(callback: Callable[..., Any]) -> click.Command:
    return click.Command(
        "target-x", callback=callback, params=[click.Option(["--config"], multiple=True)], help="H"
    )


def test_the_options(tmp_path: Path) -> None:
    """The options of the SDK stay, and `--config` reads files with our messages."""
    seen: dict[str, Any] = {}
    command = make_command(sdk_command(seen.update), LOGGER)
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    result = CliRunner().invoke(command, ["--config", str(path), "--explain", "--preset=shopify"])
    assert (result.exit_code, command.name, command.help) == (0, "target-x", "H")
    assert seen.pop("config").config == {"a": 1}
    assert seen == {
        "explained": True,
        "preset": "shopify",
        "expected": None,
        "letters_path": None,
        "replayed": None,
        "dry_run": False,
        "page_path": None,
        "health": False,
        "max_age": None,
    }
    assert CliRunner().invoke(command, ["--preset=nothing"]).exit_code == 2


@pytest.mark.parametrize(
    ("failure", "code", "last_line"),
    [
        (ConfigurationError("wrong"), 2, "wrong"),
        (InputError("odd"), 1, "odd"),
        (RecordsWithoutSchemaException("early"), 1, "early"),
        (ValueError("ann@example.com"), 1, "the run ended with an unexpected ValueError"),
    ],
)
def test_exit_codes(
    caplog: pytest.LogCaptureFixture, failure: Exception, code: int, last_line: str
) -> None:
    """A failure ends in one readable line; the text of an unexpected one is not shown."""

    def fail(**_: Any) -> None:
        raise failure

    with pytest.raises(SystemExit) as raised:
        make_command(sdk_command(fail), LOGGER).main([])
    assert raised.value.code == code
    assert caplog.messages[-1] == last_line == failure_text(failure)
    assert "ann@" not in caplog.text
    assert ("this is a bug" in caplog.text) == isinstance(failure, ValueError)


def test_success_is_exit_code_0() -> None:
    command = make_command(sdk_command(lambda **_: None), LOGGER)
    assert isinstance(command, Command)
    with pytest.raises(SystemExit) as raised:
        command.main([])
    assert raised.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--dead-letters"], ""),
        (["--dead-letters", "--explain"], ""),
        (["--dead-letters", "x.singer"], "x.singer"),
        (["--dead-letters=x.singer"], "x.singer"),
        (["--explain", "--dead-letters"], ""),
        ([], None),
    ],
)
def test_a_path_that_may_be_left_out(arguments: list[str], path: str | None) -> None:
    """`--dead-letters` stands alone, or before a path."""
    seen: dict[str, Any] = {}
    result = CliRunner().invoke(make_command(sdk_command(seen.update), LOGGER), arguments)
    assert result.exit_code == 0
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


def test_a_run_that_fails(
    target: type[FakeTarget], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last line names the cause, and the run at its end."""

    def fail(_: Any, file_input: IO[str] | None) -> None:
        raise InputError("odd")

    monkeypatch.setattr(target, "process", fail)
    with pytest.raises(SystemExit) as raised:
        target.invoke()
    assert raised.value.code == 1
    assert caplog.messages[-1] == f"odd (run {target.run_ids[0]})"


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


def explained(
    target: type[FakeTarget],
    capsys: pytest.CaptureFixture[str],
    config: dict[str, Any],
    stream: str = "orders",
) -> str:
    """What `--explain` prints about a stream."""
    given = config_of()
    schema = {"properties": {name: {} for name in ("id", "event_time", "email")}}
    message = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]}
    given.config = {"pixel_id": 5, "default_source": "web", **config}
    target.invoke(explained=True, config=given, file_input=io.StringIO(json.dumps(message)))
    assert target.done == []
    return capsys.readouterr().out


def test_explain(target: type[FakeTarget], capsys: pytest.CaptureFixture[str]) -> None:
    """`--explain` needs no account, and hides the token."""
    printed = explained(target, capsys, {"pixel_id": 7, "auth_token": None, "pixl_id": 1})
    assert "Stream orders" in printed
    assert "7 (setting pixel_id)" in printed
    assert "did you mean 'pixel_id'?" in printed
    printed = explained(target, capsys, {"auth_token": "hidden-t0ken"}, "a hidden-t0ken")
    assert "hidden-t0ken" not in printed


def test_explain_reads_the_environment(
    target: type[FakeTarget],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As in a run, the environment takes precedence over files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARGET_LIVEINTENT_PIXEL_ID", "8")
    given = config_of("ENV")
    given.config = {"pixel_id": 7, "default_source": "web"}
    schema = {"properties": {"event_time": {}, "email": {}}}
    message = {"type": "SCHEMA", "stream": "orders", "schema": schema}
    source = io.StringIO(json.dumps(message))
    target.invoke(explained=True, config=given, file_input=source)
    assert "8 (setting pixel_id)" in capsys.readouterr().out


def test_explain_checks_the_settings(
    target: type[FakeTarget], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A wrong setting fails as in a run, also one of the account."""
    for wrong in ({"pixel_id": -1}, {"customer_id": "x"}):
        with pytest.raises(ConfigurationError):
            explained(target, capsys, wrong)
    path = tmp_path / "token"
    path.write_text("t0ken")
    assert explained(target, capsys, {"auth_token_path": str(path)})
    with pytest.raises(ConfigurationError, match="are both set: remove one"):
        explained(target, capsys, {"auth_token_path": str(path), "auth_token": "t0ken"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"explained": True, "letters_path": ""},
            "--explain and --dead-letters cannot be combined: give only one of them",
        ),
        (
            {"about": True, "preset": "shopify", "letters_path": "x"},
            "--about and --preset and --dead-letters cannot be combined: give only one of them",
        ),
        (
            {"letters_path": "", "about_format": "markdown"},
            "--dead-letters does not support the format markdown: use json",
        ),
        (
            {"explained": True, "about_format": "markdown"},
            "--explain does not support the format markdown: use json",
        ),
        (
            {"page_path": "", "about_format": "markdown"},
            "--report does not support the format markdown: use text or json",
        ),
        (
            {"health": True, "about_format": "json"},
            "--health does not support the format json: remove --format",
        ),
        (
            {"page_path": "x", "about_format": "text"},
            (
                "--report takes no path if --format is given: the report is then printed, not"
                " written to a file. Remove the path after --report"
            ),
        ),
        (
            {"page_path": "", "max_age": 2.0},
            ("--max-age works only with --health: give both options"),
        ),
        (
            {"page_path": "", "health": True},
            "--report and --health cannot be combined: give only one of them",
        ),
        (
            {"letters_path": "", "expected": "x"},
            "--expect works only with --explain: give both options",
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
