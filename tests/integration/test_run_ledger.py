"""The ledger over whole runs: what was delivered is sent by no later run, and nothing is lost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, in_turn, refusing
from integration_support import (
    LETTERS,
    OFTEN,
    TOKEN,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import count

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

DEFAULT = "liveintent-ledger.sqlite"
KNOWN = {"ledger_path": "ledger.sqlite"}


def known(launcher: Launcher) -> int:
    """Return how many events the ledger of a test knows."""
    return count(launcher.folder / "ledger.sqlite", "accepted")


# A second run


def test_off(target: Launcher, sandbox: Sandbox) -> None:
    """Without the ledger, a re-run sends again, and no file is made, wherever it would be."""
    for path in (..., "ledger.sqlite"):
        messages = [schema(), *orders(3), order(1), state(1)]
        run = target.run(*messages, ledger=False, ledger_path=path)
        assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (8, 5)
    assert not list(target.folder.glob("*.sqlite*"))


def test_on_by_default(target: Launcher, sandbox: Sandbox) -> None:
    """With nothing set, what was delivered is not sent again; the file is in the folder."""
    messages = [schema(), *orders(250), order(1), state(1)]
    first = target.run(*messages)
    assert (first.code, first.states, first.warnings) == (0, [1], [])
    assert first.summary["total"].drops == {"already_sent": 1}
    requests = sandbox.stats.requests
    again = target.run(*messages, state(2), ledger_path=None)
    assert (again.code, again.states, again.warnings) == (0, [2], [])
    for counts in again.summary.values():
        assert (counts.read, counts.delivered, counts.drops) == (251, 0, {"already_sent": 251})
        assert counts.adds_up
    assert (again.requests, sandbox.stats.requests) == (0, requests)
    assert target.run(*messages, order(300), state(3)).summary["total"].delivered == 1
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (251, 0)
    made = {path.name: path.stat().st_mode & 0o777 for path in target.folder.glob("*.sqlite*")}
    assert made == {DEFAULT: 0o600}
    assert not (target.folder / LETTERS).exists()
    assert again.last_line.startswith("already_sent 251: ")
    assert again.last_line.endswith(f"delete the ledger's files, {DEFAULT}*")


def test_what_sends_nothing_makes_no_file(target: Launcher, sandbox: Sandbox) -> None:
    """Neither a run without an event, nor a dry run, nor --explain leaves a ledger."""
    none = target.run(schema(), order(1, event_time=None), state(1))
    dry = target.run(schema(), *orders(3), state(1), dry_run=True)
    explained = target.explain(schema(), *orders(3), state(1))
    assert [run.code for run in (none, dry, explained)] == [0, 0, 0]
    assert sandbox.stats.requests == 0
    assert not list(target.folder.glob("*.sqlite*"))


def test_the_file_is_made_before_the_first_request(
    to_server: Launcher, server: FaultyServer
) -> None:
    """So nothing is sent that could not be remembered."""
    seen: list[bool] = []

    def answer(_: Request) -> Reply:
        seen.append((to_server.folder / DEFAULT).exists())
        return Reply()

    server.answer = answer
    assert to_server.run(schema(), *orders(3), state(1)).code == 0
    assert seen == [True]


def test_a_default_file_that_cannot_be_used(target: Launcher, sandbox: Sandbox) -> None:
    """The run says so and goes on; events that come twice in it still go once."""
    (target.folder / DEFAULT).mkdir()
    run = target.run(schema(), *orders(3), order(1), state(1))
    assert (run.code, run.states) == (0, [1])
    (warning,) = run.warnings
    assert warning.startswith(f"ledger_path '{DEFAULT}' cannot be used: Is a directory. The run ")
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (3, 0)


def test_a_ledger_of_a_newer_version(target: Launcher, sandbox: Sandbox) -> None:
    """It ends the run before anything is read, the default one as well."""
    db = sqlite3.connect(target.folder / DEFAULT)
    db.execute(f"PRAGMA application_id = {0x4C494C47}")
    db.execute("PRAGMA user_version = 4")
    db.close()
    run = target.start().wait(8)
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert "a newer version of target-liveintent wrote the file. Upgrade" in run.last_line


def test_a_corrupt_file(target: Launcher, sandbox: Sandbox) -> None:
    """It ends the run with exit code 2 before any input is read; the last line names it."""
    content = b"SQLite format 3\0" + b"\xff" * 5000
    (target.folder / "ledger.sqlite").write_bytes(content)
    run = target.start(**KNOWN).wait(8)
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len(run.warnings) == 1
    assert "ledger_path 'ledger.sqlite'" in run.last_line
    assert "Traceback" not in run.log
    assert (target.folder / "ledger.sqlite").read_bytes() == content


# What is not remembered


def test_a_refused_event_is_not_remembered(to_server: Launcher, server: FaultyServer) -> None:
    """The good of its batch are; with a corrected row the event goes out."""
    server.answer = refusing("order-2")
    messages = [schema(columns=WITH_ID), *numbered(5), state(1)]
    first = to_server.run(*messages, **KNOWN)
    assert first.summary["total"].reasons == {"refused_by_api": 1}
    assert known(to_server) == 4
    server.answer = lambda _: Reply()
    server.requests.clear()
    again = to_server.run(*messages, **KNOWN)
    assert [p.ids for p in server.requests] == [["order-2"]]
    assert again.summary["total"].drops == {"already_sent": 4}
    assert again.summary["total"].adds_up


def test_a_failed_run_remembers_what_was_confirmed(
    to_server: Launcher, server: FaultyServer
) -> None:
    """Whatever ended the run, the next one goes on where it stopped."""
    server.answer = lambda request: Reply(401) if "order-4" in request.ids else Reply()
    messages = [schema(columns=WITH_ID), *numbered(8), state(1)]
    how = {**KNOWN, "batch_size_rows": 2, "max_concurrent_requests": 1}
    first = to_server.run(*messages, **how)
    assert (first.code, first.states) == (1, [])
    done = list(server.accepted)
    assert known(to_server) == len(done) >= 4
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **how)
    assert (again.code, again.states) == (0, [1])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(8)]
    assert again.summary["total"].drops == {"already_sent": len(done)}


@pytest.mark.parametrize("before", [False, True])
def test_dry_run(target: Launcher, sandbox: Sandbox, before: bool) -> None:
    """A dry run reads the ledger, and neither makes nor writes it; it knows its own repeats."""
    messages = [schema(), *orders(3), state(1)]
    if before:
        assert target.run(*messages, **KNOWN).code == 0
    files = {p.name: p.read_bytes() for p in target.folder.glob("ledger.sqlite*")}
    run = target.run(*messages, order(9), order(9), dry_run=True, **KNOWN)
    assert (run.code, run.warnings) == (0, [])
    total = run.summary["total"]
    assert (total.delivered, total.drops["already_sent"]) == ((1, 4) if before else (4, 1))
    assert {p.name: p.read_bytes() for p in target.folder.glob("ledger.sqlite*")} == files


# What is the same event


def test_what_tells_events_apart(to_server: Launcher, server: FaultyServer) -> None:
    """Account, host, pixel ID and source stream do; all else, such as a rotated token, does not."""
    of_refunds = {"orders": {}, "refunds": {"__alias__": "orders", "event_id": "event_id"}}
    localhost = server.url.replace("127.0.0.1", "localhost")
    cases: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
        ("orders", {}, {}, False),
        ("orders", {"auth_token": TOKEN + "-of-today", "batch_size_rows": 7}, {}, True),
        ("orders", {"api_url": server.url + "/v2"}, {"value": -5, "email": "x@example.com"}, True),
        ("orders", {"pixel_id": 999}, {}, False),
        ("orders", {"customer_id": "b-9z9z"}, {}, False),
        ("orders", {"api_url": localhost}, {}, False),
        ("refunds", {"stream_maps": of_refunds}, {}, False),
    ]
    for stream, settings, columns, same in cases:
        row = order(1, stream, event_id="order-1", **columns)
        run = to_server.run(schema(stream, WITH_ID), row, **KNOWN, **settings)
        expected = {"already_sent": 1} if same else {}
        assert (run.code, run.summary["total"].drops) == (0, expected), (stream, settings)
    assert len(server.accepted) == 5


# One event twice in a run


def test_twice_in_one_run(target: Launcher, sandbox: Sandbox) -> None:
    """Within one batch and over several, each event is sent once, and the totals add up."""
    rows = [order(n) for n in (1, 2, 1, 3, 2, 1, 4, 4, 4, 5)]
    run = target.run(schema(), *rows, state(1), batch_size_rows=2, **KNOWN)
    assert (run.code, run.states) == (0, [1])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (5, 0)
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (10, 5, {"already_sent": 5})
    assert total.adds_up


@pytest.mark.parametrize("batch_size_rows", [1, 100])
def test_thrice_when_the_first_two_are_refused(
    to_server: Launcher, server: FaultyServer, batch_size_rows: int
) -> None:
    """The third is delivered: skipped is only what was delivered."""
    server.answer = lambda request: Reply(
        400 if any(event["purchaseData"].get("value") == 1 for event in request.events) else 204
    )
    rows = [order(7, event_id="order-7", value=value) for value in (1, 1, 2)]
    run = to_server.run(
        schema(columns=WITH_ID),
        *numbered(2),
        *rows,
        state(1),
        batch_size_rows=batch_size_rows,
        **KNOWN,
    )
    assert (run.code, run.states) == (0, [1])
    assert sorted(server.accepted) == ["order-0", "order-1", "order-7"]
    total = run.summary["total"]
    assert (total.delivered, total.reasons, total.drops) == (3, {"refused_by_api": 2}, {})
    assert total.adds_up


def test_a_silent_tap(target: Launcher, sandbox: Sandbox) -> None:
    """A repeated row does not wait for ever for its batch to fill."""
    run = target.start(flush_interval_seconds=1, constants=OFTEN, **KNOWN)
    run.send(schema(), order(1), order(1), order(2), state(1))
    wait_until(lambda: run.states == [1], "STATE")
    run.close_input().wait()
    assert run.code == 0
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (2, 0)


# Replay


def test_a_replay_knows_what_was_delivered(to_server: Launcher, server: FaultyServer) -> None:
    """Letters count under their source stream: what was delivered since is skipped."""
    server.answer = in_turn(Reply(200, b'["order-1", "order-2"]'))
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.run(*messages, **KNOWN)
    assert first.summary["total"].reasons == {"not_processed": 2}
    # The order came again, with its next edit, before anybody replayed.
    assert to_server.run(schema(columns=WITH_ID), numbered(2)[1], **KNOWN).code == 0
    replay = to_server.replay_by_hand(**KNOWN)
    assert replay.code == 0
    assert server.accepted == ["order-1", "order-2"]
    assert replay.summary["total"].drops == {"already_sent": 1}
    # And what a replay delivered, the tap's own rows know.
    again = to_server.run(*messages, **KNOWN)
    assert server.accepted == ["order-1", "order-2", "order-0"]
    assert again.summary["total"].drops == {"already_sent": 2}
