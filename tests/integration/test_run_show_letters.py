"""`dead-letters`: what it shows of the letters of real runs, and what it deletes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import (
    CUSTOMER,
    TOKEN,
    address_words,
    order,
    orders,
    schema,
    state,
)

from target_liveintent.reasons import REASONS

if TYPE_CHECKING:
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox

NO_ACCOUNT = {"customer_id": ..., "auth_token": ...}


def show(target: Launcher, *options: str, **settings: Any) -> Running:
    """Show the dead letters with the settings of the runs, to which these are changes."""
    return target.ask("dead-letters", *options, **settings)


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
    )
    assert run.code == 0, run.log


def edit(target: Launcher, **changes: Any) -> None:
    """Change each dead letter of the store, as somebody may who knows SQL."""
    with contextlib.closing(sqlite3.connect(target.store)) as database, database:
        rows = database.execute("SELECT record, event_id FROM dead_letter").fetchall()
        edited = [(json.dumps({**json.loads(text), **changes}), key) for text, key in rows]
        database.executemany("UPDATE dead_letter SET record = ? WHERE event_id = ?", edited)


def test_what_is_shown(target: Launcher) -> None:
    """People see each reason, and what to do; programs get the same; nothing is changed."""
    fail(target)
    before = target.store_files
    run = show(target)
    assert (run.code, run.log) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].startswith("Dead letters in the store: 3, written ")
    assert lines[1] == "  cannot be sent as they are, so a replay keeps them: 3"
    for line in (
        "invalid_event_time: 2",
        f"  {REASONS['invalid_event_time'].meaning}",
        "no_identity: 1",
        f"  {CUSTOMER} at 127.0.0.1, pixel 12345: 3",
    ):
        assert line in lines
    assert "order #1, column event_time" in run.stdout
    shown = found(target)
    assert (shown["version"], shown["letters"]) == (1, 3)
    invalid, guest = shown["reasons"]
    assert (invalid["reason"], guest["reason"]) == ("invalid_event_time", "no_identity")
    (stream,) = invalid["streams"]
    assert (stream["stream"], stream["letters"]) == ("orders", 2)
    assert [one["order_id"] for one in stream["examples"]] == ["#1", "#2"]
    assert shown["written_for"] == [
        {"customer_id": CUSTOMER, "api_host": "127.0.0.1", "pixel_id": "12345", "letters": 3}
    ]
    assert target.store_files == before


def test_a_replay_does_what_is_shown(target: Launcher, sandbox: Sandbox) -> None:
    """The letters that a replay sends are as many as are shown, with the settings of then."""
    wrong = {"pixel_id": ...}
    columns = ("id", "event_time", "email", "pixel_id")
    run = target.run(schema(columns=columns), *orders(4), order(5, event_time="someday"), **wrong)
    assert len(run.letters) == 5
    assert by_prospect(found(target, **wrong)) == {"cannot_send": 5}
    assert by_prospect(found(target)) == {"sends": 4, "cannot_send": 1}
    assert target.ask("replay").code == 0
    assert len(sandbox.events) == 4
    assert by_prospect(found(target)) == {"cannot_send": 1}


def test_edited_letters(target: Launcher) -> None:
    """An address that somebody wrote into a letter is not shown, nor what controls a terminal."""
    fail(target)
    address = "ann.lee@example.com"
    shown_texts = ("event_id", "order_id", "field", "detail", "reason", "stream")
    edit(
        target,
        **dict.fromkeys(shown_texts, f"\x1b[31mof {address}\u202e\n{TOKEN}"),
        keys={"mail": address},
        email=address,
    )
    (target.folder / "token").write_text(TOKEN)
    in_a_file = {"auth_token": ..., "auth_token_path": "token"}
    for options, settings in (((), {}), (("--format=json",), {}), ((), in_a_file)):
        run = show(target, *options, **settings)
        assert run.code == 0, run.log
        assert not [word for word in address_words(address) if word in run.stdout.lower()]
        assert TOKEN not in run.stdout
        assert all(c.isprintable() or c == "\n" for c in run.stdout)


def test_letters_of_others(target: Launcher) -> None:
    """Letters of another account or pixel are told apart, unless the settings name no account."""
    fail(target)
    edit(target, event_time=int(time.time()) - 60, sha2="a1" * 32, source="web")
    assert by_prospect(found(target)) == {"sends": 3}
    assert by_prospect(found(target, pixel_id=1)) == {"other_account": 3}
    assert by_prospect(found(target, customer_id="b-0000")) == {"other_account": 3}
    shown = found(target, **NO_ACCOUNT)
    assert by_prospect(shown) == {"sends": 3}
    (note,) = shown["notes"]
    assert note.startswith("setting 'customer_id' is missing, ")


def test_settings_that_do_not_matter(target: Launcher) -> None:
    """Somebody who only looks needs no token, no file of it, and no folder of the run."""
    fail(target)
    shown = found(
        target,
        auth_token=...,
        auth_token_path="/nowhere/token",
        report_path="/nowhere/report.html",
        pixl_id=1,
    )
    assert shown["letters"] == 3
    assert shown["notes"] == [
        "setting 'pixl_id' is unknown and has no effect; did you mean 'pixel_id'?"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customer_id", "x"),
        ("pixel_id", 0),
        ("store", "/nowhere/own.sqlite"),
        ("suppression_path", "/nowhere/people.txt"),
    ],
)
def test_settings_that_matter(target: Launcher, name: str, value: Any) -> None:
    """A wrong setting that decides what is shown is exit code 2."""
    run = show(target, **{name: value})
    assert (run.code, run.stdout) == (2, "")
    assert name in run.last_line


def test_settings_of_the_environment(target: Launcher) -> None:
    """They count without an option, and before those of a file."""
    fail(target)
    target.store.rename(target.folder / "moved.sqlite")
    env = {"TARGET_LIVEINTENT_STORE": "moved.sqlite"}
    for arguments in ((), ("--config", str(target.config()))):
        command = (*arguments, "dead-letters", "--format=json")
        run = target.command(*command, env=env, forks=target.forks).wait()
        assert json.loads(run.stdout)["letters"] == 3


# What is deleted


def test_letters_of_a_reason_are_deleted(target: Launcher) -> None:
    """Only those of the account and pixel of the settings are, and the command says how many."""
    fail(target)
    assert target.run(schema(), order(5, email=None), pixel_id=7).code == 0
    run = show(target, "--delete=no_identity", "--delete", "unconfirmed")
    said = "no_identity: deleted 1 dead letter\nunconfirmed: deleted 0 dead letters"
    assert (run.code, run.stdout, run.log) == (0, said, "")
    left = {(one["reason"], one["written_for"]["pixel_id"]) for one in run.letters}
    assert left == {("invalid_event_time", 12345), ("no_identity", 7)}
