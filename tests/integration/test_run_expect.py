"""`explain --expect FILE`: a mapping is tested; `--format=json`: for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from integration_support import TOKEN, order, schema

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
    given = {"stream_maps": {"orders": definition, "__else__": "__NULL__"}, **settings}
    return target.explain(*recording, options=options, **given)


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


def test_an_expectation_that_is_met(target: Launcher) -> None:
    """The same result: exit code 0, and the file stays as it is. Its layout is free."""
    expect(target)
    path = target.folder / "expected.json"
    written = path.read_text()
    for text in (written, written.replace("\n", "\r\n"), json.dumps(json.loads(written))):
        path.write_bytes(text.encode())
        run = expect(target, definition={**MAP, "event_time": "str(event_time)"})
        met = "The result is what 'expected.json' expects (events: 3, rejections: 2)."
        assert (run.code, run.stdout, path.read_bytes()) == (0, met, text.encode())


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
    options = ("--format=json", "--expect", "expected.json")
    run = explain(target, *options, definition={**MAP, "__filter__": "id > 6"})
    expectation = json.loads(run.stdout)["expectation"]
    assert (run.code, expectation["written"], expectation["file"]) == (1, False, "expected.json")
    assert '+  "filtered": 6' in expectation["difference"]
    run = explain(target, *options)  # The file is not changed.
    assert (run.code, json.loads(run.stdout)["expectation"]["difference"]) == (0, [])


def test_a_run_that_would_fail(target: Launcher) -> None:
    """An expectation that is met does not excuse a stream that a run refuses."""
    lacking = [*RECORDING, schema("people", ("id",))]
    settings = {"stream_maps": {"orders": MAP, "people": {"order_id": "id", "__else__": None}}}
    expect(target, recording=lacking, **settings)
    run = expect(target, recording=lacking, **settings)
    assert run.code == 1
    why = "stream 'people' cannot produce any event"
    assert f"A run over this input would fail: {why}" in run.stdout
    assert "The result is what" in run.stdout
    run = explain(target, "--format=json", recording=lacking, **settings)
    (failure,) = json.loads(run.stdout)["failures"]
    assert (run.code, failure.startswith(why)) == (1, True)


# For programs


def test_json(target: Launcher) -> None:
    """All that `explain` prints is in one JSON object, alone on standard output.

    What cannot be printed is escaped as JSON has it, and is read back.
    """
    note = "no\x1b[2J\u202ete"
    recording = [
        schema(columns=(*COLUMNS, note)),
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
    assert orders["unused_columns"] == [note]
    assert orders["misspelled"] == ["'ip' reads 'pi', which is not in the tap's SCHEMA."]
    records = orders["records"]
    counts = [records[name] for name in ("read", "sent", "filtered", "rejected")]
    assert counts == [4, 2, 1, 1]
    assert [(one["reason"], one["records"]) for one in records["reasons"]] == [("no_identity", 1)]
    assert records["reasons"][0]["first"]["event_id"] == "3"
    assert records["always_empty"] == ["ip"]
    assert records["currencies"][0]["average_value"] == "12.50"
    assert orders["warnings"][0].startswith('value is left out of 1 of 3 events: "9,9" is not')
    assert [len(event["userData"]["md5"]) for event in records["examples"]] == [7, 7]
    assert all(c.isprintable() or c == "\n" for c in run.stdout)
    assert "@example.com" not in run.stdout
    assert TOKEN not in run.stdout
