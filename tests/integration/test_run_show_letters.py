"""`--dead-letters`: what it shows of the letters of real runs, and of what people make of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import (
    CUSTOMER,
    DAY,
    LETTERS,
    TOKEN,
    address_words,
    order,
    orders,
    schema,
    state,
)

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.storage.dead_letters import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox

NO_ACCOUNT = {"customer_id": ..., "auth_token": ...}


def show(target: Launcher, *options: str, **settings: Any) -> Running:
    """Show the dead letters with the settings of the runs, to which these are changes."""
    config = str(target.config(**settings))
    run = target.command("--config", config, "--dead-letters", *options, forks=target.forks)
    return run.wait()


def found(target: Launcher, *options: str, **settings: Any) -> Any:
    """Return the JSON object, which is all that is printed."""
    run = show(target, *options, "--format=json", **settings)
    assert run.code == 0, run.log
    return json.loads(run.stdout)


def by_prospect(shown: Any) -> dict[str, int]:
    return {name: letters for name, letters in shown["replay"].items() if letters}


def fail(target: Launcher) -> None:
    """Leave three dead letters: of two orders and a guest."""
    run = target.run(
        schema(columns=("id", "event_time", "email", "order_id")),
        order(1, order_id="#1", event_time="someday"),
        order(2, order_id="#2", event_time="someday"),
        order(3, order_id="#3", email=None),
        order(4),
        state(1),
        api_url=target.api_url,
    )
    assert run.code == 0, run.log


def edit(path: Path, **changes: Any) -> None:
    """Change each letter of a file, as people do."""
    messages = [json.loads(line) for line in path.read_bytes().splitlines()]
    for message in messages:
        if message["type"] == "RECORD":
            message["record"] |= changes
    path.write_text("".join(f"{json.dumps(message)}\n" for message in messages))


def test_text(target: Launcher) -> None:
    """People see each reason, what to do, and what a replay would do; nothing is changed."""
    fail(target)
    before = (target.folder / LETTERS).read_bytes()
    run = show(target)
    assert (run.code, run.log) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].startswith(f"Dead letters in '{LETTERS}': 3, written ")
    assert lines[1] == "  cannot be sent as they are, so a replay keeps them: 3"
    for line in (
        "invalid_event_time: 2",
        (
            "  The event time cannot be read. Map `event_time` to an ISO 8601"
            " time, or to Unix seconds, milliseconds"
            " or microseconds."
        ),
        "no_identity: 1",
        f"  {CUSTOMER} at 127.0.0.1, pixel 12345: 3",
    ):
        assert line in lines
    assert "order #1, column event_time" in run.stdout
    assert (target.folder / LETTERS).read_bytes() == before


def test_json(target: Launcher) -> None:
    """Programs get one JSON object with the same."""
    fail(target)
    shown = found(target)
    assert (shown["version"], shown["path"], shown["letters"]) == (1, LETTERS, 3)
    invalid, guest = shown["reasons"]
    assert (invalid["reason"], guest["reason"]) == ("invalid_event_time", "no_identity")
    (stream,) = invalid["streams"]
    assert (stream["stream"], stream["letters"]) == ("orders", 2)
    assert [one["order_id"] for one in stream["examples"]] == ["#1", "#2"]
    assert shown["written_for"] == [
        {"customer_id": CUSTOMER, "api_host": "127.0.0.1", "pixel_id": "12345", "letters": 3}
    ]


def test_a_replay_does_what_is_shown(target: Launcher, sandbox: Sandbox) -> None:
    """The letters that a replay sends are as many as are shown, with the settings of then."""
    wrong = {"pixel_id": ...}
    columns = ("id", "event_time", "email", "pixel_id")
    run = target.run(schema(columns=columns), *orders(4), order(5, event_time="someday"), **wrong)
    assert len(run.letters) == 5
    assert by_prospect(found(target, **wrong)) == {"cannot_send": 5}
    assert by_prospect(found(target)) == {"sends": 4, "cannot_send": 1}
    letters = target.folder / LETTERS
    moved = letters.rename(target.folder / "moved.singer")
    assert by_prospect(found(target, str(moved))) == {"sends": 4, "cannot_send": 1}
    with moved.open("rb") as stdin:
        assert target.start(stdin=stdin).wait().code == 0
    assert len(sandbox.events) == 4
    assert by_prospect(found(target)) == {"cannot_send": 1}


def test_no_letters(target: Launcher) -> None:
    """Where there is no file, there are no dead letters: that is no error."""
    run = show(target)
    assert (run.code, run.log) == (0, "")
    path = target.folder / LETTERS
    assert run.stdout == f"There are no dead letters: '{path}' does not exist."
    shown = found(target, "elsewhere.singer")
    assert (shown["path"], shown["files"], shown["letters"]) == ("elsewhere.singer", 0, 0)


def test_a_torn_line(target: Launcher) -> None:
    """A line that a crash has torn, or that is no dead letter, is counted and not shown."""
    fail(target)
    with (target.folder / LETTERS).open("ab") as file:
        file.write(b'not a message\n{"type": "RECORD", "stre')
    shown = found(target)
    assert (shown["letters"], shown["others"]["lines"], shown["others"]["unfinished"]) == (3, 1, 1)
    assert shown["others"]["first_line"] == 5
    assert f"The first of these lines is line 5 of '{LETTERS}'." in show(target).stdout


def test_edited_letters(target: Launcher) -> None:
    """An address that somebody wrote into a letter is not shown, nor what controls a terminal."""
    fail(target)
    address = "ann.lee@example.com"
    shown_texts = ("event_id", "order_id", "field", "detail", "reason", "stream")
    edit(
        target.folder / LETTERS,
        **dict.fromkeys(shown_texts, f"\x1b[31mof {address}\u202e\n{TOKEN}"),
        keys={"mail": address},
        email=address,
    )
    for options in ((), ("--format=json",)):
        run = show(target, *options)
        assert run.code == 0, run.log
        assert not [word for word in address_words(address) if word in run.stdout.lower()]
        assert TOKEN not in run.stdout
        assert all(c.isprintable() or c == "\n" for c in run.stdout)


def test_letters_of_others(target: Launcher) -> None:
    """Letters of another account or pixel are told apart, unless the settings name no account."""
    fail(target)
    edit(target.folder / LETTERS, event_time=int(time.time()) - 60, sha2="a1" * 32, source="web")
    assert by_prospect(found(target)) == {"sends": 3}
    assert by_prospect(found(target, pixel_id=1)) == {"other_account": 3}
    assert by_prospect(found(target, customer_id="b-0000")) == {"other_account": 3}
    assert by_prospect(found(target, pixel_id=1, replay_other_accounts=True)) == {"sends": 3}
    shown = found(target, **NO_ACCOUNT)
    assert by_prospect(shown) == {"sends": 3}
    (note,) = shown["notes"]
    assert note.startswith("setting 'customer_id' is missing, ")


def test_a_closed_window(target: Launcher) -> None:
    """A letter that nobody can send any more is shown as one that a replay drops."""
    fail(target)
    edit(target.folder / LETTERS, event_time=int(time.time()) - 8 * DAY, sha2="a1" * 32)
    assert by_prospect(found(target)) == {"expired": 3}
    assert "their window has closed, so a replay drops them: 3" in show(target).stdout
    assert by_prospect(found(target, default_source="offline")) == {"sends": 3}


def test_a_folder(target: Launcher) -> None:
    """A folder of Spark's is read without what its tasks have not finished."""
    folder = target.folder / "letters"
    (folder / "_pending").mkdir(parents=True)
    letter = {"event_id": "1", "reason": "no_identity", "stream": "orders"}
    message = json.dumps({"type": "RECORD", "stream": DEAD_LETTERS, "record": letter})
    for name in ("0-0.singer", "0-1.singer", "_pending/0-2.singer", "README"):
        (folder / name).write_bytes(HEAD + message.encode() + b"\n")
    shown = found(target, "letters")
    assert (shown["files"], shown["letters"]) == (2, 2)


def test_settings_that_do_not_matter(target: Launcher) -> None:
    """Somebody who only looks needs no token, no file of it, and no valid maps."""
    fail(target)
    shown = found(
        target,
        auth_token=...,
        auth_token_path="/nowhere/token",
        batch_size_rows=0,
        stream_maps=5,
        report_path="/nowhere/report.html",
        pixl_id=1,
    )
    assert shown["letters"] == 3
    assert shown["notes"] == [
        "setting 'pixl_id' is unknown and has no effect; did you mean 'pixel_id'?"
    ]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"customer_id": "x"}, "customer_id"),
        ({"pixel_id": 0}, "pixel_id"),
        ({"dead_letter_path": "/nowhere/letters.singer"}, "dead_letter_path"),
        ({"suppression_path": "/nowhere/people.txt"}, "suppression_path"),
    ],
)
def test_settings_that_matter(target: Launcher, settings: dict[str, Any], name: str) -> None:
    """A wrong setting that decides what is shown is exit code 2."""
    run = show(target, **settings)
    assert (run.code, run.stdout) == (2, "")
    assert name in run.last_line


def test_a_path_in_place_of_the_setting(target: Launcher) -> None:
    """With a path, the setting does not matter; the environment counts where it is asked for."""
    fail(target)
    (target.folder / LETTERS).rename(target.folder / "moved.singer")
    wrong = {"dead_letter_path": "/nowhere/letters.singer"}
    assert found(target, "moved.singer", **wrong)["letters"] == 3
    env = {"TARGET_LIVEINTENT_DEAD_LETTER_PATH": "moved.singer"}
    run = target.command("--config=ENV", "--dead-letters", "--format=json", env=env).wait()
    assert json.loads(run.stdout)["letters"] == 3


def test_what_cannot_be_read(target: Launcher) -> None:
    """A path that is no file and no folder is exit code 1."""
    run = show(target, "/dev/null")
    assert (run.code, run.stdout) == (1, "")
    assert "the dead letters in '/dev/null' cannot be read" in run.last_line


def test_options_that_do_not_go_together(target: Launcher) -> None:
    """What cannot be done at once is a usage error."""
    assert show(target, "--explain").code == 2
    assert show(target, "--format=markdown").code == 2
