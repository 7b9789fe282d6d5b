"""`--explain --expect FILE`: a mapping is tested; `--format=json`: for programs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import SETTINGS, TOKEN, lines, order, schema

if TYPE_CHECKING:
    from integration_support import Launcher, Message, Running

NEWEST = 1_700_000_000
"""The time of the newest event of the recording: years ago."""
DAY = 86_400
MAP = {
    "__filter__": "get('status') != 'new'",
    "__else__": "__NULL__",
    "event_id": "str(id)",
    "event_time": "event_time",
    "email": "email",
    "value": "value",
    "currency": "currency",
}
COLUMNS = ("id", "event_time", "email", "value", "currency", "status")
RECORDS = [
    {"id": 1, "event_time": NEWEST - 60},
    {"id": 2, "event_time": NEWEST - 8 * DAY},
    {"id": 3, "event_time": NEWEST, "status": "new", "email": None},
    {"id": 4, "event_time": NEWEST, "email": None},
    {"id": 5, "event_time": NEWEST, "value": 7.25},
    {"id": 6, "event_time": NEWEST - 7 * DAY + 120},
    {"id": 7, "event_time": NEWEST + 10 * DAY, "status": "new"},
]
RECORDING: list[Message] = [
    schema(columns=COLUMNS),
    *(order("", **{"status": "paid", **record}) for record in RECORDS),
]


def explain(
    target: Launcher,
    *options: str,
    recording: list[Message] = RECORDING,
    definition: dict[str, Any] = MAP,
    **settings: Any,
) -> Running:
    path = target.folder / "explain.json"
    maps = {"orders": definition, "__else__": "__NULL__"}
    path.write_text(json.dumps({**SETTINGS, "stream_maps": maps, **settings}))
    (target.folder / "recording.singer").write_bytes(lines(recording))
    arguments = ("--config", str(path), "--input", "recording.singer", "--explain", *options)
    return target.command(*arguments, forks=target.forks).wait()


def expect(target: Launcher, **changes: Any) -> Running:
    return explain(target, "--expect", "expected.json", **changes)


def test_a_file_that_does_not_exist(target: Launcher) -> None:
    """It is written, with the events and rejections of the recording; and the test has failed."""
    run = expect(target)
    assert run.code == 1
    assert (
        "did not exist, so this command created the file (events: 3, rejections: 2)" in run.stdout
    )
    text = (target.folder / "expected.json").read_text()
    (stream,) = json.loads(text)["streams"]
    assert (stream["stream"], stream["read"], stream["filtered"]) == ("orders", 7, 2)
    assert [event["eventId"] for event in stream["events"]] == ["1", "5", "6"]
    assert stream["rejections"] == [
        {"event_id": "2", "reason": "event_too_old", "field": "event_time"},
        {"event_id": "4", "reason": "no_identity"},
    ]
    assert "@" not in text
    assert len(stream["events"][0]["userData"]["sha2"]) == 64


def test_the_json_is_that_of_the_dry_run(target: Launcher) -> None:
    """An event in the file is the one that a dry run shows."""
    recording = [schema(columns=COLUMNS), order(1, status="paid", value=1.50)]
    expect(target, recording=recording)
    made = json.loads((target.folder / "expected.json").read_text())["streams"][0]["events"]
    maps = {"orders": MAP, "__else__": "__NULL__"}
    shown = target.run(*recording, dry_run=True, stream_maps=maps).log
    assert f"would send: {json.dumps(made[0], separators=(',', ':'))}" in shown


def test_an_expectation_that_is_met(target: Launcher) -> None:
    """The same recording and the same map: exit code 0, and the file stays as it is."""
    expect(target)
    before = (target.folder / "expected.json").read_bytes()
    run = expect(target)
    assert run.code == 0
    assert run.stdout == "The result is what 'expected.json' expects (events: 3, rejections: 2)."
    assert (target.folder / "expected.json").read_bytes() == before


@pytest.mark.parametrize("text", ["\r\n", "compact"])
def test_the_layout_of_the_file_is_free(target: Launcher, text: str) -> None:
    """Line ends and indentation, which editors change, make no difference."""
    expect(target)
    path = target.folder / "expected.json"
    written = path.read_text()
    path.write_bytes(
        json.dumps(json.loads(written)).encode()
        if text == "compact"
        else written.replace("\n", "\r\n").encode()
    )
    assert expect(target).code == 0


def test_a_difference(target: Launcher) -> None:
    """What the map makes otherwise is shown line by line, with the event that it is in."""
    expect(target)
    run = expect(target, definition={**MAP, "value": "value * 100 if id == 5 else value"})
    assert run.code == 1
    assert run.stdout.splitlines()[:3] == [
        "The result differs from what 'expected.json' expects:",
        "--- expected.json",
        "+++ what the input becomes now",
    ]
    changed = [line for line in run.stdout.splitlines() if line[:2] in {"- ", "+ "}]
    assert [line[1:].strip() for line in changed] == ['"value": 7.25', '"value": 725.00']
    (place,) = [line for line in run.stdout.splitlines() if line.startswith("@@")]
    assert place == "@@ orders: event 5 @@"
    assert "If the new result is right, delete 'expected.json'" in run.stdout
    assert "@example.com" not in run.stdout
    assert expect(target).code == 0  # The file is not changed.


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"__filter__": "get('status') == 'new'"}, '-  "eventId": "1",'),
        ({"__filter__": "id > 6"}, '+  "filtered": 6'),
        ({"email": "None"}, '+  "reason": "no_identity"'),
        ({"event_time": "str(event_time)"}, None),
        ({"currency": "'EUR'"}, '+    "currency": "EUR",'),
        ({"event_time": "'soon'"}, '+  "reason": "invalid_event_time",'),
    ],
)
def test_changes_of_a_map(target: Launcher, changes: dict[str, str], shown: str | None) -> None:
    """Each change of an event or an outcome is a difference; another way to the same is none."""
    expect(target)
    run = expect(target, definition={**MAP, **changes})
    assert run.code == (0 if shown is None else 1)
    if shown is not None:
        assert shown in run.stdout.splitlines()


def test_ages_do_not_depend_on_the_clock(target: Launcher) -> None:
    """The same records a year later become the same, but for their times."""
    expect(target)
    first = (target.folder / "expected.json").read_text()
    (target.folder / "expected.json").unlink()
    shift = int(time.time()) - NEWEST
    later = [
        message if "record" not in message else json.loads(json.dumps(message))
        for message in RECORDING
    ]
    for message in later[1:]:
        message["record"]["event_time"] += shift
    expect(target, recording=later)
    second = json.loads((target.folder / "expected.json").read_text())
    for event in second["streams"][0]["events"]:
        event["eventTime"] -= shift
    assert second == json.loads(first)


def test_a_run_that_would_fail(target: Launcher) -> None:
    """An expectation that is met does not excuse a stream that a run refuses."""
    lacking = [*RECORDING, schema("people", ("id",))]
    settings = {"stream_maps": {"orders": MAP, "people": {"order_id": "id", "__else__": None}}}
    expect(target, recording=lacking, **settings)
    run = expect(target, recording=lacking, **settings)
    assert run.code == 1
    assert (
        "A run over this input would fail: stream 'people' cannot produce any event" in run.stdout
    )
    assert "The result is what" in run.stdout


@pytest.mark.parametrize("recording", [[], [schema()]])
def test_an_input_without_records(target: Launcher, recording: list[Message]) -> None:
    """Nothing is expected of nothing: a recording that is lost must not pass."""
    run = expect(target, recording=recording)
    assert (run.code, run.stdout) == (1, "")
    assert run.last_line == "--expect needs records, but the input has none"
    assert not (target.folder / "expected.json").exists()


def test_a_file_that_is_no_json(target: Launcher) -> None:
    """A merge conflict, say: it is named, and the file stays."""
    path = target.folder / "expected.json"
    path.write_text("<<<<<<< jane@example.com")
    run = expect(target)
    assert (run.code, path.read_text()) == (1, "<<<<<<< jane@example.com")
    assert "the file 'expected.json' was not written by --expect" in run.last_line
    assert "jane" not in run.log


def test_a_file_that_cannot_be_written(target: Launcher) -> None:
    run = explain(target, "--expect", "nowhere/expected.json")
    assert run.code == 1
    assert (
        "cannot write the expected result to 'nowhere/expected.json': No such file" in run.last_line
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--expect", "a.json"], "--expect works only with --explain: give both options"),
        (["--explain", "--format=markdown"], "--explain does not support the format markdown"),
        (["--explain", "--expect", "."], "is a directory"),
    ],
)
def test_options_that_do_not_fit(target: Launcher, options: list[str], said: str) -> None:
    """Exit code 2, and what does not fit."""
    run = target.command("--config", str(target.config()), *options, forks=target.forks)
    run.close_input().wait()
    assert run.code == 2
    assert said in "\n".join(line.text for line in run.err)


# For programs


def test_json(target: Launcher) -> None:
    """All that `--explain` prints is in one JSON object, alone on standard output."""
    recording = [
        schema(columns=(*COLUMNS, "note")),
        order(1, status="paid"),
        order(2, status="new"),
        order(3, status="paid", email=None),
        order(4, status="paid", value="1,5"),
        schema("people", ("id",)),
        order(1, "people"),
    ]
    maps = {"orders": {**MAP, "ip": "get('pi')"}, "sales": MAP, "__else__": None}
    settings = {"pixl_id": 1, "stream_maps": maps, "presets": {}}
    run = explain(target, "--format=json", recording=recording, **settings)
    assert run.code == 0, run.log
    found = json.loads(run.stdout)
    assert (found["version"], found["failures"], found["expectation"]) == (1, [], None)
    assert found["notes"][0].startswith("setting 'pixl_id' is unknown")
    assert found["absent_streams"] == [{"stream": "sales", "similar": None}]
    orders, people = found["streams"]
    assert (people["stream"], people["use"], people["records"]) == ("people", "skipped", None)
    assert (orders["use"], orders["only_if"]) == ("mapped", "get('status') != 'new'")
    assert orders["fields"]["event_id"] == "str(id)"
    assert "idfa" in orders["empty_fields"]
    assert orders["unused_columns"] == ["note"]
    assert orders["misspelled"] == ["'ip' reads 'pi', which is not in the tap's SCHEMA."]
    records = orders["records"]
    counts = [records[name] for name in ("read", "sent", "filtered", "rejected")]
    assert counts == [4, 2, 1, 1]
    assert [(one["reason"], one["records"]) for one in records["reasons"]] == [("no_identity", 1)]
    assert records["reasons"][0]["first"]["event_id"] == "3"
    assert records["always_empty"] == ["ip"]
    assert records["currencies"][0]["average_value"] == "12.50"
    assert orders["warnings"][0].startswith("the column 'value' of 1 record cannot be read")
    assert [len(event["userData"]["md5"]) for event in records["examples"]] == [7, 7]
    assert "@example.com" not in run.stdout
    assert TOKEN not in run.stdout


def test_json_says_what_the_text_says(target: Launcher) -> None:
    """Each number and sentence of a stream's text is in the JSON as well."""
    text = explain(target).stdout
    found = json.dumps(json.loads(explain(target, "--format=json").stdout))
    for words in ("no_identity", "event_too_old", "get('status') != 'new'", "derived from"):
        assert (words in text) == (words in found)


def test_json_of_a_difference(target: Launcher) -> None:
    """With `--expect`, the difference and the reasons to fail are in the object."""
    expect(target)
    options = ("--format=json", "--expect", "expected.json")
    run = explain(target, *options, definition={**MAP, "currency": "'EUR'"})
    expectation = json.loads(run.stdout)["expectation"]
    assert (run.code, expectation["written"], expectation["file"]) == (1, False, "expected.json")
    assert '+    "currency": "EUR",' in expectation["difference"]
    run = explain(target, *options)
    assert (run.code, json.loads(run.stdout)["expectation"]["difference"]) == (0, [])


def test_json_of_a_run_that_would_fail(target: Launcher) -> None:
    run = explain(target, "--format=json", definition={"order_id": "id", "__else__": None})
    (why,) = json.loads(run.stdout)["failures"]
    assert (run.code, why[:41]) == (1, "stream 'orders' cannot produce any event:")


def test_json_of_settings_alone(target: Launcher) -> None:
    run = explain(target, "--format=json", recording=[])
    assert json.loads(run.stdout)["notes"] == ["The settings are fine."]


def test_json_cannot_control_a_terminal(target: Launcher) -> None:
    """What cannot be printed is escaped as JSON has it, and is read back."""
    names = ["a\x1b[2J", "b\x7f", "c\u202e", "d\U000e0001", "e\u00fc"]
    recording = [schema(columns=("id", "event_time", "email", *names))]
    run = explain(target, "--format=json", recording=recording)
    assert all(c.isprintable() or c == "\n" for c in run.stdout)
    assert json.loads(run.stdout)["streams"][0]["unused_columns"] == names
