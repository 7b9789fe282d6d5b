"""`explain --expect FILE`: a mapping is tested; `--format=json`: for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from integration_support import order, schema

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
    (parts,) = json.loads(text).values()
    assert parts.pop("records") == {"read": 7, "filtered": 2}
    assert parts.pop("rejection 2") == {"reason": "event_too_old", "field": "event_time"}
    assert parts.pop("rejection 4") == {"reason": "no_identity"}
    assert list(parts) == ["event 1", "event 5", "event 6"]
    assert "@" not in text
    assert len(parts["event 1"]["userData"]["sha2"]) == 64


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
