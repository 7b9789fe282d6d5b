"""The command line: commands and options, configuration files, exit codes, what is printed."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from fakes import FakeClock
from singer_sdk.exceptions import RecordsWithoutSchemaException
from unit_support import ACCOUNT, MD5, NOW, SHA2, conversion, md5, order, rejection, sha256

from target_liveintent import cli
from target_liveintent.config import settings_by_group, settings_of
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.explain.description import Explanation
from target_liveintent.mapping.presets import PRESETS, preset_text
from target_liveintent.printing import json_text, lines_of, printable
from target_liveintent.run.replay_converter import ReplayChoice
from target_liveintent.store.dead_letters import letters_in
from target_liveintent.store.delivered import DELIVERED_COLUMNS
from target_liveintent.store.opening import open_for_reading, open_store
from target_liveintent.target import TargetLiveIntent

CONFIG = {**ACCOUNT, "pixel_id": 4711, "default_source": "web", "keep_delivered": True}
Program = Callable[..., Result]


@pytest.fixture
def program(tmp_path: Path, _keep_logging: None, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Return how to run the program in a folder of its own; keywords become a file of settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TARGET_LIVEINTENT_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, given: str = "", **settings: Any) -> Result:
        if settings:
            Path("config.json").write_text(json.dumps(settings))
            arguments = ("--config", "config.json", *arguments)
        return CliRunner().invoke(cli.main, arguments, input=given, catch_exceptions=False)

    return run


def here() -> set[str]:
    """Return the names of the files in the folder."""
    return {path.name for path in Path().iterdir()}


class FakeTarget(TargetLiveIntent):
    """Notes how it is made, and what it is told to do."""

    done: list[Any]
    run_ids: list[str]
    fails: Exception | None

    def __init__(self, *, run_id: str, **given: Any) -> None:
        self.run_ids.append(run_id)
        self.done.append(given)

    def process(self, file_input: IO[str] | None) -> None:
        self.done.append(None if file_input is None else file_input.read())
        if self.fails is not None:
            raise self.fails

    @classmethod
    def print_about(cls, output_format: str | None = None) -> None:
        cls.done.append(output_format)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> type[FakeTarget]:
    """Stand in for the target."""
    FakeTarget.done, FakeTarget.run_ids, FakeTarget.fails = [], [], None
    monkeypatch.setattr(cli, "TargetLiveIntent", FakeTarget)
    return FakeTarget


# Settings


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("--config 1.json --config 2.yml", {"a": 1, "b": 2}),
        ("--config 2.yml --config ENV --config 1.json", {"a": 1, "b": 1}),
        ("--config 1.json replay --config 2.yml", {"a": 1, "b": 2}),
        ("--config=2.yml replay --config=1.json", {"a": 1, "b": 1}),
        ("replay --config 1.json --unconfirmed --config 2.yml", {"a": 1, "b": 2}),
        # The environment wins over files, and options win over both.
        ("--config limits.json", {}),
        ("--config limits.json --limit 5", {"limit": 5}),
        ("--config limits.json --dry-run", {"dry_run": True}),
        ("replay --config limits.json --dry-run --limit 5", {"limit": 5, "dry_run": True}),
    ],
    ids=str,
)
def test_later_files_win_then_the_environment_then_options(
    program: Program,
    target: type[FakeTarget],
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    expected: dict[str, Any],
) -> None:
    """What comes later wins, before a command as after it."""
    Path("1.json").write_text('{"a": 1, "b": 1}')
    Path("2.yml").write_text("b: 2")
    Path("limits.json").write_text('{"limit": 6, "dry_run": true}')
    monkeypatch.setenv("TARGET_LIVEINTENT_DRY_RUN", "false")
    monkeypatch.setenv("TARGET_LIVEINTENT_LIMIT", "7")
    done = program(*arguments.split())
    assert done.exit_code == 0
    assert target.done[0]["config"] == {"dry_run": "false", "limit": "7", **expected}


@pytest.mark.parametrize("command", ["explain", ""])
def test_a_file_that_cannot_be_used(program: Program, command: str) -> None:
    """The last line names the file (the tests of `config` have each reason)."""
    Path("a.json").write_text('{"a": "s3cr3t"')
    done = program(*command.split(), "--config=a.json")
    assert done.exit_code == 2
    said = "the configuration file 'a.json' cannot be used: line 1, column 15 is not valid JSON"
    assert done.output.strip().endswith(said)
    assert "s3cr3t" not in done.output


# Options that are wrong, or gone

NO_EFFECT = "before a command, only --config has an effect: write other options after the command"
WRONG: list[tuple[str, str]] = [
    ("--nothing", "No such option"),
    ("nothing", "No such command 'nothing'"),
    ("--format=json", "--format has no effect on a run"),
    ("--about --format=csv", "'csv' is not one of"),
    *((f"{option} explain", NO_EFFECT) for option in ("--about", "--format=text", "--send-again")),
    *((f"{option} replay", NO_EFFECT) for option in ("--dry-run", "--limit=5", "--input=there")),
    ("--limit=0", "is not in the range"),
    ("explain nowhere", "No such file"),
    ("explain --expect .", "is a directory"),
    *(
        (f"explain --against there {option}", "--against cannot be used with --expect")
        for option in ("--expect new", "--write-config new", "--show-code")
    ),
    ("dead-letters --delete=already_sent", "'already_sent' is not one of"),  # It has no letters.
    ("forget there", "unexpected extra argument"),
    ("health --max-age=0", "is not in the range"),
    ("report a.html --format=json", "other formats have no PATH"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_option_is_named_and_nothing_is_done(
    program: Program, arguments: str, said: str
) -> None:
    Path("there").touch()
    done = program(*arguments.split())
    assert done.exit_code == 2
    # Click breaks lines at the width of the terminal.
    assert said in " ".join(done.output.split("Error: ")[1].split())
    assert here() == {"there"}


def test_the_help_names_each_command_and_each_option(program: Program) -> None:
    shown = program("--help").output
    options = ("--config", "--input", "--dry-run", "--limit", "--send-again", "--about")
    names = (*cli.main.commands, *options, "--version")
    assert [name for name in names if f"  {name} " not in shown] == []


@pytest.mark.parametrize("command", cli.main.commands)
def test_the_help_of_a_command_has_an_example_that_works(program: Program, command: str) -> None:
    shown = " ".join(program(command, "--help").output.split())
    assert "--config FILE" in shown
    _, found, example = shown.partition("Example: target-liveintent ")
    assert found
    options = example.partition(">")[0].partition("<")[0].split()
    example_of_command = options[options.index(command) :]
    assert program(*example_of_command, "--help").exit_code == 0


# What needs no settings


def test_version(program: Program) -> None:
    assert re.fullmatch(r"target-liveintent v\d\S+\n", program("--version").output)


@pytest.mark.parametrize("style", ["json", "markdown"])
def test_about_prints_the_settings_and_runs_nothing(
    program: Program, target: type[FakeTarget], style: str
) -> None:
    assert program("--about", f"--format={style}").exit_code == 0
    assert target.done == [style]


@pytest.mark.parametrize("arguments", ["--about", "--about --format=text"])
def test_about_shows_people_the_settings_in_groups(program: Program, arguments: str) -> None:
    shown = program(*arguments.split()).output
    assert shown.startswith("target-liveintent v")
    assert "\nDelivers conversion events to LiveIntent's Conversions API.\n" in shown
    assert [heading for heading in settings_by_group() if f"\n\n{heading}:\n" not in shown] == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_printed_as_in_its_file(program: Program, name: str) -> None:
    assert program("preset", name).output == preset_text(name)
    assert f"\n{name}: {PRESETS[name].source}\n" in "\n" + program("preset").output


# Runs


def test_a_run_has_an_id_and_reads_the_input(program: Program, target: type[FakeTarget]) -> None:
    """A target is made of the configuration, and reads the input; each run has an ID."""
    Path("input").write_text("messages")
    first = program(given="x", a=1)
    program("--send-again", "--input=input")
    made = {"config": {"a": 1}, "unknown_variables": (), "send_again": False}
    again = {"config": {}, "unknown_variables": (), "send_again": True}
    assert target.done == [made, None, again, "messages"]
    assert first.output.endswith(f", run {target.run_ids[0]}\n")
    assert target.run_ids[0] < target.run_ids[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param("", (ReplayChoice(), None), id="the store"),
        pytest.param(
            "--dry-run --unconfirmed",
            (ReplayChoice(unconfirmed=True), None),
            id="unconfirmed ones of the store",
        ),
        pytest.param(
            "letters --other-accounts",
            (ReplayChoice(other_accounts=True), "of a file"),
            id="a file",
        ),
        pytest.param("-", (ReplayChoice(), "of standard input"), id="standard input"),
    ],
)
def test_a_replay_reads_the_store_or_a_file(
    program: Program, target: type[FakeTarget], arguments: str, expected: tuple[Any, ...]
) -> None:
    Path("letters").write_text("of a file")
    assert program("replay", *arguments.split(), given="of standard input").exit_code == 0
    made, read = target.done
    assert (made["replay"], read) == expected


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        pytest.param(ConfigurationError("wrong"), (2, "wrong"), id="a wrong setting"),
        pytest.param(InputError("odd"), (1, "odd"), id="an odd input"),
        pytest.param(
            InputError("odd: paste\nthis: 1"), (1, "this: 1 #"), id="a remedy of several lines"
        ),
        pytest.param(
            RecordsWithoutSchemaException("early"), (1, "early"), id="a record before its SCHEMA"
        ),
        pytest.param(
            ValueError("ann@example.com"),
            (1, "the run ended with an unexpected ValueError"),
            id="an unexpected failure",
        ),
    ],
)
def test_the_last_line_of_a_failed_run_names_the_cause_and_the_run(
    program: Program, target: type[FakeTarget], failure: Exception, ending: tuple[int, str]
) -> None:
    """Its last line names the cause, and the run; the text of an unexpected failure is hidden."""
    target.fails = failure
    done = program()
    last_line = done.output.splitlines()[-1].split("|")[-1].strip()
    assert (done.exit_code, last_line) == (ending[0], f"{ending[1]} (run {target.run_ids[0]})")
    assert "ann@" not in done.output
    assert ("this is a bug" in done.output) == isinstance(failure, ValueError)


# Explaining

SCHEMA = {
    "type": "SCHEMA",
    "stream": "orders",
    "schema": {"properties": {name: {} for name in ("id", "event_time", "email")}},
    "key_properties": ["id"],
}
EVENTS = {"pixel_id": 5, "default_source": "web", "customer_id": None}


def explained(program: Program, **settings: Any) -> Result:
    """Explain a stream with settings."""
    return program("explain", given=json.dumps(SCHEMA), **EVENTS | settings)


def test_explain_needs_no_account_and_hides_the_token(program: Program) -> None:
    """It needs no account and no store, hides the token, and says what is misspelled."""
    maps = {"orders": {"order_id": "'hidden-t0ken'"}}
    done = explained(program, auth_token="hidden-t0ken", pixel=1, stream_maps=maps)
    assert done.exit_code == 0
    assert "5 (setting pixel_id)" in done.output
    assert "did you mean 'pixel_id'?" in done.output
    assert "hidden-t0ken" not in done.output
    assert here() == {"config.json"}


def test_explain_shows_the_generated_code(program: Program) -> None:
    """It is that of usual records, also in the JSON, but only if it is asked for."""
    line, given = "given_email = record.get('email')", json.dumps(SCHEMA)
    shown = program("explain", "--show-code", given=given, **EVENTS).output
    assert "  Code for usual records:\n    def build(record, now):\n" in shown
    assert line in shown
    assert line not in explained(program).output
    as_json = ("explain", "--format=json")
    (stream,) = json.loads(program(*as_json, "--show-code", given=given, **EVENTS).output)[
        "streams"
    ]
    assert line in stream["code"]
    (stream,) = json.loads(program(*as_json, given=given, **EVENTS).output)["streams"]
    assert stream["code"] is None
    maps = {"stream_maps": {"orders": {"order_id": "'hidden-t0ken'"}}, "auth_token": "hidden-t0ken"}
    shown = program("explain", "--show-code", given=given, **EVENTS, **maps).output
    assert "given_order_id = '" in shown
    assert "hidden-t0ken" not in shown
    maps = {"stream_maps": {"orders": {"__filter__": "rand() < 0.5"}}}
    shown = program("explain", "--show-code", given=given, **EVENTS, **maps).output
    assert "There is no code for usual records" in shown


def test_explain_reads_the_environment(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run, the environment takes precedence over files, where it has the prefix."""
    monkeypatch.setenv("TARGET_LIVEINTENT_PIXEL_ID", "8")
    monkeypatch.setenv("PIXEL_ID", "9")
    assert "8 (setting pixel_id)" in explained(program).output


@pytest.mark.parametrize(
    "wrong",
    [{"limit": -1}, {"customer_id": "x"}, {"store": "nowhere/x"}],
    ids=["a negative limit", "a malformed customer ID", "a store in no folder"],
)
def test_explain_checks_the_settings(program: Program, wrong: dict[str, Any]) -> None:
    """A wrong setting fails as in a run, also one of the account."""
    Path("token").write_text("t0ken")
    assert explained(program, auth_token_path="token").exit_code == 0
    assert explained(program, auth_token_path="on/another/machine").exit_code == 0
    assert explained(program, **wrong).exit_code == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            "",
            "the input is empty. Perhaps the tap ended early, no stream is selected",
            id="nothing at all",
        ),
        pytest.param(
            '{"type": "STATE", "value": 1}',
            "the input has no records and no SCHEMA, so there is",
            id="a STATE alone",
        ),
    ],
)
def test_explain_without_input(program: Program, given: str, said: str) -> None:
    """It says so, and fails, whatever the settings are."""
    done = program("explain", given=given, customer_id="a-1b2c")
    assert (done.exit_code, said in done.output) == (1, True)


def test_explain_for_programs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes on the settings and the input are in the JSON object, which is all that is printed."""
    monkeypatch.setattr("target_liveintent.singer.explaining.MAX_RECORDS", 1)
    record = {"id": 1, "event_time": int(time.time()) - 60, "email": JANE}
    lines = (SCHEMA, {"type": "RECORD", "stream": "orders", "record": record})
    Path("records").write_text("\n".join(map(json.dumps, lines)))
    found = json.loads(program("explain", "records", "--format=json", pixel=1, **EVENTS).output)
    assert (found["version"], found["failures"], found["expectation"]) == (1, [], None)
    assert found["notes"][0].startswith("setting 'pixel' is unknown")
    assert found["notes"][1:] == ["Only the first 1 records were read."]


def test_explain_compares(program: Program) -> None:
    """Only an expectation that is met is a success."""
    record = {"id": 1, "event_time": int(time.time()) - 60, "email": JANE}
    lines = (SCHEMA, {"type": "RECORD", "stream": "orders", "record": record})
    Path("records").write_text("\n".join(map(json.dumps, lines)))
    codes = []
    for changes in ({}, {}, {"pixel_id": 6}):
        arguments = ("explain", "records", "--expect=expected.json")
        codes.append(program(*arguments, **EVENTS | changes).exit_code)
    assert codes == [1, 0, 1]


# Without a store


@pytest.fixture
def _keep_signals() -> Iterator[None]:
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_the_first_line_of_a_log(
    program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no address either: the log is protected before it is set up."""
    monkeypatch.setenv("SINGER_SDK_LOG_CONFIG", "ann@example.com.yml")
    program("--version")
    assert "Logging config file not found" in caplog.text
    assert "ann@" not in caplog.text


@pytest.mark.parametrize("name", ["stdin", "stdout"])
@pytest.mark.usefixtures("_keep_signals", "_keep_logging")
def test_a_standard_stream_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """It ends the program before anything is sent: the next file would take its place."""
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, "a standard stream is closed" in caplog.text) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("dead-letters", 0, "There are no dead letters in the store."),
        ("dead-letters --format=json", 0, '"letters": 0,'),
        ("dead-letters --format=singer", 0, '{"type":"SCHEMA","stream":"liveintent_dead_letters"'),
        ("dead-letters --delete=no_identity", 0, "no_identity: deleted 0 dead letters"),
        ("delivered", 0, ",".join(DELIVERED_COLUMNS)),
        ("delivered --format=singer", 0, '{"type":"SCHEMA","stream":"liveintent_delivered"'),
        (
            "forget",
            0,
            "deleted 0 rows\nthe store had no row of the person whose address is in line 1",
        ),
        ("report", 0, "There has been no run yet."),
        ("report --format=text", 0, "There has been no run yet."),
        ("report --format=json", 0, '"last_run": null'),
        ("report page.html", 0, "the report is in page.html"),
        ("report --format=html page.html", 0, "the report is in page.html"),
        ("health", 3, "There is no run in the history"),
        ("replay --dry-run", 0, "total: read 0,"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("_keep_signals")
def test_commands_without_a_store(program: Program, arguments: str, code: int, said: str) -> None:
    """There is nothing to show, and no command but a run creates the store."""
    done = program(*arguments.split(), given="ann@example.com\n", **CONFIG)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert here() <= {"config.json", "page.html"}


@pytest.mark.parametrize(
    "arguments", ["report --format=text", "health", "delivered", "dead-letters"]
)
def test_commands_need_an_account(program: Program, arguments: str) -> None:
    """What belongs to an account is not looked for under another one."""
    done = program(*arguments.split(), pixel_id=4711)
    assert done.exit_code == 2
    assert "setting 'customer_id' is required" in done.output


@pytest.mark.parametrize(
    "arguments", ["dead-letters", "delivered", "forget", "health", "report --format=text"]
)
def test_who_only_looks_needs_no_token(program: Program, arguments: str) -> None:
    """Nor the folders of a run: the command may be used on another machine."""
    names = ("auth_token_path", "metrics_path", "report_path")
    elsewhere = {**CONFIG, "auth_token": None, **dict.fromkeys(names, "no/such/folder/x")}
    done = program(*arguments.split(), **elsewhere)
    assert done.exit_code == (3 if arguments == "health" else 0), done.output


# With a store

JOHN, JANE = "john.doe@example.com", "jane.roe@example.com"


def fill(*results: Conversion | Rejection, run_id: str = "run-1", **settings: Any) -> None:
    """Keep dead letters, and events that were delivered one a minute."""
    given = settings_of({**CONFIG, **settings})
    store = open_store(given.storage, run_id, FakeClock())
    for minute, one in enumerate(results):
        if isinstance(one, Rejection):
            store.note_rejected(one, NOW)
        else:
            store.note_delivered([one], [NOW + 60 * minute], NOW)
    store.release({})
    store.close()


def bad(name: str, reason: str = "invalid_event_time", **columns: Any) -> Rejection:
    """Return an order that cannot be sent."""
    made = rejection(order(event_id=name, event_time="someday", **{"email": JOHN, **columns}))
    return msgspec.structs.replace(made, reason=reason)


def good(name: str, email: str = JOHN) -> Conversion:
    """Return an order that can be sent."""
    return conversion(order(event_id=name, order_id=name, email=email))


def letters() -> list[str]:
    """Return the event IDs of the dead letters of the store."""
    database = open_for_reading(settings_of(CONFIG).storage)
    with contextlib.closing(database):
        return [key.event_id for key, _ in letters_in(database)]


def delivered(program: Program, *arguments: str, **settings: Any) -> list[str]:
    """Return the IDs of the delivered events that are printed."""
    done = program("delivered", *arguments, **{**CONFIG, **settings})
    assert done.exit_code == 0, done.output
    return [line.split(",")[0] for line in done.output.splitlines()[1:]]


@pytest.mark.parametrize(
    ("damage", "commands"),
    [
        pytest.param(
            "UPDATE dead_letter SET record = '{'", ["dead-letters"], id="a dead letter that is cut"
        ),
        pytest.param(
            "UPDATE dead_letter SET record = CAST(x'7bff' AS TEXT)",
            ["dead-letters", "dead-letters --format=singer", "replay --dry-run"],
            id="a dead letter that is not UTF-8",
        ),
        pytest.param(
            "UPDATE delivered SET sent_at = 1e300", ["delivered"], id="a time without end"
        ),
        pytest.param(
            "UPDATE delivered SET order_id = CAST(x'40ff' AS TEXT)",
            ["delivered"],
            id="a text that is not UTF-8",
        ),
        pytest.param(
            "UPDATE run SET figures = CAST(x'7bff' AS TEXT), started_at = strftime('%s')",
            ["health", "report"],
            id="figures that are not UTF-8",
        ),
    ],
)
def test_a_damaged_store_is_said_in_one_line(
    program: Program, damage: str, commands: list[str]
) -> None:
    """The last line says what is wrong and what to do, and shows nothing of the store."""
    own = CONFIG | {"store": "store.sqlite"}
    fill(bad("1"), good("2"), store="store.sqlite")
    with contextlib.closing(sqlite3.connect("store.sqlite", isolation_level=None)) as connection:
        connection.execute(damage)
    for command in commands:
        done = program(*command.split(), **own)
        assert done.exit_code == 1
        *_, last = done.stderr.splitlines()
        assert re.search("store .*damaged: .* the (store|file), or move it away", last)
        assert "@" not in done.output


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "not kept"])
def test_delivered_says_how_events_are_kept(program: Program, *, keeps: bool) -> None:
    """On standard error, so that the CSV stays whole."""
    done = program("delivered", **{**CONFIG, "keep_delivered": keeps})
    assert done.stdout == ",".join(DELIVERED_COLUMNS) + "\n"
    assert ("set keep_delivered: true" in done.stderr) is not keeps


def test_dead_letters_are_shown_for_people_and_for_programs(program: Program) -> None:
    """They are counted for people and programs, or printed as a stream, without addresses."""
    fill(bad("1"), bad("2", "refused_by_api", order_id=f"for {JANE}"))
    text, as_json, stream = (
        program("dead-letters", f"--format={style}", pixel=1, **CONFIG).output
        for style in ("text", "json", "singer")
    )
    assert text.splitlines()[:2] == [
        "setting 'pixel' is unknown and has no effect; did you mean 'pixel_id'?",
        "Dead letters in the store: 2, written at 2026-08-01 16:00:00 UTC",
    ]
    assert json.loads(as_json)["letters"] == 2
    schema, *records = map(json.loads, stream.splitlines())
    assert schema["type"] == "SCHEMA"
    assert [one["record"]["event_id"] for one in records] == ["1", "2"]
    assert "@" not in text + as_json + stream


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_token_in_a_dead_letter_is_hidden(program: Program, style: str) -> None:
    """Also one in a file, although the command needs none."""
    Path("token").write_text(f"t0ken-in-a-file-{style}")
    fill(bad("1", order_id=f"t0ken-in-a-file-{style}"))
    in_a_file = {**CONFIG, "auth_token": None, "auth_token_path": "token"}
    done = program("dead-letters", f"--format={style}", **in_a_file)
    assert "order" in done.output
    assert "t0ken" not in done.output


def test_dead_letters_are_deleted_by_their_reason(program: Program) -> None:
    """Each reason that is named is one line, also if there is none (the store has whose)."""
    fill(bad("1"), bad("2"), bad("3", "no_identity"), bad("4", "missing_event_time"))
    reasons = ["invalid_event_time", "no_identity", "invalid_event_time", "api_error"]
    done = program("dead-letters", *(f"--delete={name}" for name in reasons), **CONFIG)
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "invalid_event_time: deleted 2 dead letters",
            "no_identity: deleted 1 dead letter",
            "api_error: deleted 0 dead letters",
        ],
    )
    assert letters() == ["4"]


@pytest.fixture
def _new_york() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.posix
@pytest.mark.parametrize(
    ("since", "names"),
    [
        ("2026-08-01", "123"),
        ("2026-08-01T16:01:00", "23"),
        ("2026-08-01T16:01:01Z", "3"),
        ("2026-08-02", ""),
    ],
    ids=str,
)
@pytest.mark.usefixtures("_new_york")
def test_delivered_events_since_a_time(program: Program, since: str, names: str) -> None:
    """The time is one in UTC, wherever that is; an event that was sent at that moment is there."""
    fill(*map(good, "123"))
    assert delivered(program, f"--since={since}") == [*names]


NOT_FOUND = (
    "the store had no row of the person whose address is in line 2\n"
    "the store had no row with the hash in line 3, 5. Rows about the same person may still exist:"
    " with the hash of another spelling of the address, or with the other kind of hash. To find all"
    " rows, enter the address itself\n"
)


@pytest.mark.parametrize(
    ("given", "rows", "left", "said"),
    [
        pytest.param(
            " John.Doe@EXAMPLE.com \n\n", 3, ["jane", "2"], "", id="an address, other capitals"
        ),
        pytest.param(
            f"\\x{sha256(JOHN).upper()}", 3, ["jane", "2"], "", id="a hash, other spelling"
        ),
        pytest.param(
            "# nobody\n",
            0,
            ["jane", "john", "named", "1", "2"],
            "standard input contains neither an address nor a hash\n",
            id="a comment alone",
        ),
        # In place of an address stands its SHA-256.
        pytest.param(f"md5:{md5(JOHN)}", 2, ["jane", "named", "2"], "", id="MD5 with a prefix"),
        # Another spelling, which is equal in another normalization: a dead letter has its hash.
        pytest.param(
            "johndoe+x@example.com",
            1,
            ["jane", "named", "1", "2"],
            "",
            id="another normalized spelling",
        ),
        pytest.param(
            sha256("johndoe@example.com"),
            1,
            ["jane", "named", "1", "2"],
            "",
            id="hash of another normalized spelling",
        ),
        pytest.param(
            f"# people\nnobody@example.com\n{MD5}\n{JOHN}\n{SHA2}\n{JOHN}",
            3,
            ["jane", "2"],
            NOT_FOUND,
            id="several people",
        ),
    ],
)
def test_people_are_forgotten(
    program: Program, given: str, rows: int, left: list[str], said: str
) -> None:
    """No row of any account has one of their hashes, in whatever column."""
    named = bad("named", email="else@example.com", order_id="for John.Doe@example.com")
    fill(bad("john"), bad("jane", email=JANE), named, customer_id="b-9z9z")
    fill(good("1"), good("2", JANE), run_id="run-2")
    done = program("forget", given=given, pixel_id=1)
    deleted = f"deleted {rows} row{'s' * (rows != 1)}\n"
    assert (done.exit_code, done.output) == (0, deleted + said)
    assert [*letters(), *delivered(program)] == left


def test_a_line_that_names_nobody(program: Program) -> None:
    """Nothing is deleted, and the line is not shown."""
    fill(bad("john"))
    done = program("forget", given=f"{JOHN}\nof {JANE}\n", **CONFIG)
    assert done.exit_code == 1
    assert "line 2 is neither an e-mail address nor the hash of one" in done.output
    assert "roe" not in done.output
    assert letters() == ["john"]


def test_a_report_needs_a_path(program: Program) -> None:
    """It is that of the command, or else of the settings."""
    done = program("report", "--format=html", **CONFIG)
    assert (done.exit_code, "html needs a PATH" in done.output) == (2, True)
    for arguments, path in (("", "b.html"), ("a.html", "a.html")):
        done = program("report", *arguments.split(), **CONFIG, report_path="b.html")
        assert (done.output, Path(path).is_file()) == (f"the report is in {path}\n", True)
    done = program("report", "nowhere/a.html", **CONFIG)
    assert done.exit_code == 2
    assert (
        "setting 'report_path' must be the path of an ordinary file in an existing folder"
        in done.output
    )


@pytest.mark.usefixtures("_keep_signals")
def test_health_of_a_run_that_is_too_old(program: Program) -> None:
    """With --max-age, a good run is not enough: it must have ended since then."""
    assert program(**CONFIG).exit_code == 0
    commands = ("health", "health --max-age=0.5", "health --max-age=1e-9")
    assert [program(*one.split(), **CONFIG).exit_code for one in commands] == [0, 0, 3]


# What is printed


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain ü 雪", "plain ü 雪"),
        ("ä\nb\tc", r"ä\nb\tc"),
        ("\x1b[31m\u202e", r"\x1b[31m\u202e"),
    ],
    ids=str,
)
def test_characters_that_cannot_be_printed_are_escaped(line: str, shown: str) -> None:
    assert printable(line) == shown


def test_no_text_can_forge_a_line_of_a_template() -> None:
    assert lines_of("explain/explanation.txt", Explanation(["a\nb"], [], [], [])) == [r"a\nb"]


def test_json_controls_no_terminal_and_shows_no_address() -> None:
    """It controls no terminal, shows no address, and is what it was."""
    value = {"a": ["ü 雪", "\x1b[31m\u202e\U000e0001"], JANE: 1}
    shown = json_text(value)
    assert json.loads(shown) == {"a": value["a"], sha256(JANE): 1}
    assert all(line.isprintable() for line in shown.splitlines())
