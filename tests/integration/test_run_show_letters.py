"""`dead-letters`: what it shows of the letters of real runs, and what it deletes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from integration_support import (
    CUSTOMER,
    order,
    orders,
    schema,
    state,
)

from target_liveintent.reasons import REASONS

if TYPE_CHECKING:
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox


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
