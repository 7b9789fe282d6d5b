"""The ledger over whole runs: what was delivered is sent by no later run, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, in_turn, refusing
from integration_support import (
    DAY,
    LETTERS,
    TOKEN,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import let_claims_lapse

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

DEFAULT = "liveintent-ledger.sqlite"
LEDGER = "ledger.sqlite"
KNOWN = {"ledger_path": LEDGER}


def rows(folder: Path) -> int:
    db = sqlite3.connect(folder / LEDGER)
    try:
        (count,) = db.execute("SELECT count(*) FROM accepted").fetchone()
    finally:
        db.close()
    return int(count)


# A second run


def test_off(target: Launcher, sandbox: Sandbox) -> None:
    """Without the ledger, a re-run sends again, and no file is made, wherever it would be."""
    for path in (..., LEDGER):
        messages = [schema(), *orders(3), order(1), state(1)]
        run = target.run(*messages, ledger=False, ledger_path=path)
        assert (run.code, run.states, run.warnings) == (0, [1], [])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (8, 5)
    assert not list(target.folder.glob("*.sqlite*"))


@pytest.mark.parametrize("path", [..., None], ids=["absent", "null"])
def test_on_by_default(target: Launcher, sandbox: Sandbox, path: Any) -> None:
    """With nothing set, what was delivered is not sent again; the file is in the folder."""
    messages = [schema(), *orders(3), order(1), state(1)]
    first = target.run(*messages, ledger_path=path)
    assert (first.code, first.states, first.warnings) == (0, [1], [])
    assert first.summary["total"].drops == {"already_sent": 1}
    again = target.run(*messages, order(4), state(2), ledger_path=path)
    assert (again.code, again.states, again.warnings) == (0, [2], [])
    assert again.summary["total"].drops == {"already_sent": 4}
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (4, 0)
    made = {path.name: path.stat().st_mode & 0o777 for path in target.folder.glob("*.sqlite*")}
    assert made == {DEFAULT: 0o600}
    assert again.last_line.startswith("already_sent 4: ")
    assert again.last_line.endswith(f"delete the ledger's files, {DEFAULT}*")


def test_what_sends_nothing_makes_no_file(target: Launcher, sandbox: Sandbox) -> None:
    """Neither a run without an event, nor a dry run, nor --explain leaves a ledger."""
    none = target.run(schema(), order(1, event_time=None), state(1))
    dry = target.run(schema(), *orders(3), state(1), dry_run=True)
    assert (none.code, dry.code) == (0, 0)
    config = target.config()
    explained = target.command("--config", str(config), "--explain")
    explained.send(schema(), *orders(3), state(1)).close_input().wait()
    assert explained.code == 0
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


def test_a_file_that_was_set_and_cannot_be_made(target: Launcher, sandbox: Sandbox) -> None:
    """If it cannot be made after all, the run ends with exit code 2, and nothing was sent."""
    (target.folder / "sub").mkdir()
    run = target.start(ledger_path="sub/ledger.sqlite").started()
    (target.folder / "sub").rmdir()
    run.send(schema(), *orders(3), state(1)).close_input().wait()
    assert (run.code, run.states, sandbox.stats.requests) == (2, [], 0)
    # The folder may go away before the settings are checked.
    early = (
        "setting 'ledger_path' must name a file in a folder that exists: create the folder, or"
        " correct the path"
    )
    late = "ledger_path 'sub/ledger.sqlite' cannot be used: No such file or directory"
    assert early in run.log or late in run.log


def test_rows_without_keys_that_are_equal(target: Launcher, sandbox: Sandbox) -> None:
    """They have the same event ID, so they are one event."""
    row = order(1)
    other = order(1, value=13)
    run = target.run(schema(keys=()), row, other, row, row, state(1))
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 2)
    assert run.summary["total"].drops == {"already_sent": 2}


def test_a_ledger_of_a_newer_version(target: Launcher, sandbox: Sandbox) -> None:
    """It ends the run before anything is read, the default one as well."""
    db = sqlite3.connect(target.folder / DEFAULT)
    db.execute(f"PRAGMA application_id = {0x4C494C47}")
    db.execute("PRAGMA user_version = 4")
    db.close()
    run = target.start().wait(8)
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert "a newer version of target-liveintent wrote the file. Upgrade" in run.last_line


def test_a_second_run_sends_nothing(target: Launcher, sandbox: Sandbox) -> None:
    """A re-run without STATE asks nothing of the API, counts each event, and writes its STATE."""
    messages = [schema(), *orders(250), state(1)]
    first = target.run(*messages, **KNOWN)
    assert (first.code, first.states, sandbox.stats.accepted) == (0, [1], 250)
    assert (first.summary["total"].delivered, first.summary["total"].drops) == (250, {})
    path = target.folder / LEDGER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    requests = sandbox.stats.requests
    second = target.run(*messages, **KNOWN)
    assert (second.code, second.states, second.warnings) == (0, [1], [])
    assert (sandbox.stats.requests, sandbox.stats.duplicates) == (requests, 0)
    for counts in second.summary.values():
        assert (counts.read, counts.delivered, counts.dropped) == (250, 0, 250)
        assert counts.drops == {"already_sent": 250}
        assert counts.adds_up
    assert second.requests == 0
    assert not (target.folder / LETTERS).exists()


def test_boundary_rows(target: Launcher, sandbox: Sandbox) -> None:
    """A tap that sends its boundary row again each time: once it is delivered, and the new ones."""
    for start in range(0, 12, 3):
        run = target.run(schema(), *orders(start, start + 4), state(start), **KNOWN)
        assert (run.code, run.states) == (0, [start])
        assert run.summary["total"].drops == ({"already_sent": 1} if start else {})
        assert run.summary["total"].adds_up
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (13, 0)


def test_after_a_crash(to_server: Launcher, server: FaultyServer) -> None:
    """SIGKILL between delivery and STATE: the next run sends only what was in flight."""
    gate = threading.Event()

    def answer(request: Request) -> Reply:
        if "order-6" in request.ids and not gate.is_set():
            server.hold(gate)
            return Reply(0)
        return Reply()

    server.answer = answer
    messages = [schema(columns=WITH_ID), *numbered(10), state(1)]
    how = {**KNOWN, "batch_size_rows": 2, "max_concurrent_requests": 1}
    run = to_server.start(**how).send(*messages)
    try:
        wait_until(lambda: any("order-6" in p.ids for p in server.requests), "the request")
        wait_until(lambda: rows(to_server.folder) == 6, "the first three batches in the ledger")
        run.kill()
    finally:
        gate.set()
    assert run.stdout == ""
    assert server.accepted == [f"order-{n}" for n in range(6)]
    let_claims_lapse(to_server.folder / LEDGER)
    again = to_server.run(*messages, **how)
    assert (again.code, again.states) == (0, [1])
    assert server.accepted == [f"order-{n}" for n in range(10)]
    assert again.summary["total"].drops == {"already_sent": 6}


def test_remembered_before_state(target: Launcher, sandbox: Sandbox) -> None:
    """When a STATE appears, everything before it is in the ledger already."""
    seen: list[int] = []
    messages: list[Any] = [schema()]
    for start in range(0, 40, 10):
        messages += [*orders(start, start + 10), state(start + 10)]
    run = target.start(
        batch_size_rows=5, on_stdout=lambda _: seen.append(rows(target.folder)), **KNOWN
    )
    run.send(*messages).close_input().wait()
    assert run.code == 0
    assert seen
    for known, line in zip(seen, run.states, strict=True):
        assert known >= line
    assert rows(target.folder) == 40


# What is not remembered


@pytest.mark.parametrize("body", [b'["order-1"]', b"[]", b"", b'["what?"]', b"{}"])
def test_a_partial_answer_confirms_nothing(
    to_server: Launcher, server: FaultyServer, body: bytes
) -> None:
    """After a 200 no event of the batch is known as delivered: only a 204 confirms."""
    server.answer = lambda _: Reply(200, body)
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.run(*messages, max_dead_letter_percent=100, **KNOWN)
    assert (first.code, first.states) == (0, [1])
    assert set(first.summary["total"].reasons) <= {"unconfirmed", "not_processed"}
    assert rows(to_server.folder) == 0
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **KNOWN)
    assert server.accepted == ["order-0", "order-1", "order-2"]
    assert again.summary["total"].drops == {}
    assert rows(to_server.folder) == 3


def test_a_refused_event_is_not_remembered(to_server: Launcher, server: FaultyServer) -> None:
    """The good of its batch are; with a corrected row the event goes out."""
    server.answer = refusing("order-2")
    messages = [schema(columns=WITH_ID), *numbered(5), state(1)]
    first = to_server.run(*messages, **KNOWN)
    assert first.summary["total"].reasons == {"refused_by_api": 1}
    assert rows(to_server.folder) == 4
    server.answer = lambda _: Reply()
    server.requests.clear()
    again = to_server.run(*messages, **KNOWN)
    assert [p.ids for p in server.requests] == [["order-2"]]
    assert again.summary["total"].drops == {"already_sent": 4}
    assert again.summary["total"].adds_up


@pytest.mark.parametrize("status", [404, 401, 503])
def test_a_failed_run_remembers_what_was_confirmed(
    to_server: Launcher, server: FaultyServer, status: int
) -> None:
    """Whatever ended the run, the next one goes on where it stopped."""
    server.answer = lambda request: Reply(status) if "order-4" in request.ids else Reply()
    messages = [schema(columns=WITH_ID), *numbered(8), state(1)]
    how = {**KNOWN, "batch_size_rows": 2, "max_concurrent_requests": 1, "max_retry_seconds": 0}
    first = to_server.run(*messages, **how)
    assert (first.code, first.states) == (1, [])
    done = list(server.accepted)
    assert rows(to_server.folder) == len(done) >= 4
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **how)
    assert (again.code, again.states) == (0, [1])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(8)]
    assert again.summary["total"].drops == {"already_sent": len(done)}


def test_rejections_are_not_remembered(target: Launcher, sandbox: Sandbox) -> None:
    """A record that gave no event is judged again."""
    assert target.run(schema(), order(1, event_time=None), state(1), **KNOWN).code == 0
    assert target.run(schema(), order(1), state(1), **KNOWN).code == 0
    assert sandbox.stats.accepted == 1


@pytest.mark.parametrize("before", [False, True])
def test_dry_run(target: Launcher, sandbox: Sandbox, before: bool) -> None:
    """A dry run reads the ledger, and neither makes nor writes it; it knows its own repeats."""
    messages = [schema(), *orders(3), state(1)]
    if before:
        assert target.run(*messages, **KNOWN).code == 0
    else:
        assert target.run(*messages, ledger_path=LEDGER, dry_run=True).code == 0
        assert not list(target.folder.glob(f"{LEDGER}*"))
    known = {p.name: p.read_bytes() for p in target.folder.glob(f"{LEDGER}*")}
    run = target.run(*messages, order(9), order(9), dry_run=True, **KNOWN)
    assert (run.code, run.warnings) == (0, [])
    total = run.summary["total"]
    assert (total.delivered, total.drops["already_sent"]) == ((1, 4) if before else (4, 1))
    assert {p.name: p.read_bytes() for p in target.folder.glob(f"{LEDGER}*")} == known


# What is the same event


def test_a_changed_event_is_skipped(target: Launcher, sandbox: Sandbox) -> None:
    """An order that a refund edits has been sent under that ID."""
    first = target.run(schema(), order(1), state(1), **KNOWN)
    again = target.run(schema(), order(1, value=-5, email="new@example.com"), state(2), **KNOWN)
    assert (first.code, again.code, again.states) == (0, 0, [2])
    assert sandbox.stats.accepted == 1
    assert again.summary["total"].drops == {"already_sent": 1}


@pytest.mark.parametrize(
    ("settings", "stream", "same"),
    [
        ({}, "orders", True),
        ({"auth_token": TOKEN + "-of-today"}, "orders", True),
        ({"email_normalization": "lowercase", "batch_size_rows": 7}, "orders", True),
        ({"pixel_id": 999}, "orders", False),
        ({"customer_id": "b-9z9z"}, "orders", False),
        ({}, "refunds", False),
    ],
    ids=["all", "token", "others", "pixel", "customer", "stream"],
)
def test_what_tells_events_apart(
    to_server: Launcher, server: FaultyServer, settings: dict[str, Any], stream: str, same: bool
) -> None:
    """Account, pixel ID and source stream do; a rotated token does not."""
    messages = [schema(columns=WITH_ID), *numbered(2)]
    assert to_server.run(*messages, **KNOWN).code == 0
    other = [schema(stream, WITH_ID), *numbered(2)[:0]]
    other += [{**message, "stream": stream} for message in numbered(2)]
    run = to_server.run(*other, **{**KNOWN, **settings})
    assert run.code == 0
    assert len(server.accepted) == (2 if same else 4)


def test_another_api_url(to_server: Launcher, server: FaultyServer) -> None:
    """What the API of one host has, that of another has not; port and path do not matter."""
    messages = [schema(columns=WITH_ID), *numbered(2)]
    other = server.url.replace("127.0.0.1", "localhost")
    for url in (server.url, server.url + "/", server.url + "/v2", other):
        assert to_server.run(*messages, api_url=url, **KNOWN).code == 0
    assert len(server.accepted) == 4
    assert [p.path for p in server.requests] == ["/conversions/a-1b2c"] * 2


def test_the_source_stream_counts(target: Launcher, sandbox: Sandbox) -> None:
    """Two streams that are aliased to one name have events of their own."""
    maps = {name: {"__alias__": "conversions", "event_id": "str(id)"} for name in ("a", "b")}
    messages = [schema("a"), schema("b"), order(1, "a"), order(1, "b"), state(1)]
    for _ in range(2):
        assert target.run(*messages, stream_maps=maps, **KNOWN).code == 0
    assert sandbox.stats.accepted == 2


def test_an_event_that_is_too_old_is_forgotten(target: Launcher, sandbox: Sandbox) -> None:
    """Its key goes some time after its window has closed, once another event is delivered."""
    assert target.run(schema(), order(1), **KNOWN).code == 0
    db = sqlite3.connect(target.folder / LEDGER)
    times = [int(time.time()) - days * DAY for days in (36, 40)]
    db.executemany("INSERT INTO accepted VALUES (?)", [(t.to_bytes(5, "big"),) for t in times])
    db.commit()
    db.close()
    assert target.run(schema(), order(1), **KNOWN).code == 0
    assert rows(target.folder) == 3  # Nothing was delivered.
    assert target.run(schema(), order(2), **KNOWN).code == 0
    assert rows(target.folder) == 2


# One event twice in a run


def refusing_worthless(request: Request) -> Reply:
    """Refuse each batch with an event whose value is 1."""
    bad = any(event["purchaseData"].get("value") == 1 for event in request.events)
    return Reply(400 if bad else 204)


@pytest.mark.parametrize("batch_size_rows", [1, 2, 3, 100])
def test_twice_in_one_run(target: Launcher, sandbox: Sandbox, batch_size_rows: int) -> None:
    """Within one batch and over several, each event is sent once, and the totals add up."""
    rows_ = [order(n) for n in (1, 2, 1, 3, 2, 1, 4, 4, 4, 5)]
    run = target.run(schema(), *rows_, state(1), batch_size_rows=batch_size_rows, **KNOWN)
    assert (run.code, run.states) == (0, [1])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (5, 0)
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (10, 5, {"already_sent": 5})
    assert total.adds_up


@pytest.mark.parametrize("batch_size_rows", [1, 2, 100])
def test_twice_when_the_first_is_refused(
    to_server: Launcher, server: FaultyServer, batch_size_rows: int
) -> None:
    """A row that is refused is no reason to skip the next one of the same event."""
    server.answer = refusing_worthless
    messages = numbered(4)
    bad = order(2, event_id="order-2", value=1)
    run = to_server.run(
        schema(columns=WITH_ID),
        *messages[:2],
        bad,
        messages[2],
        messages[3],
        state(1),
        batch_size_rows=batch_size_rows,
        **KNOWN,
    )
    assert (run.code, run.states) == (0, [1])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(4)]
    total = run.summary["total"]
    assert (total.delivered, total.reasons, total.drops) == (4, {"refused_by_api": 1}, {})
    assert total.adds_up


@pytest.mark.parametrize("batch_size_rows", [1, 2, 3, 100])
def test_thrice_when_the_first_two_are_refused(
    to_server: Launcher, server: FaultyServer, batch_size_rows: int
) -> None:
    """The third is delivered: skipped is only what was delivered."""
    server.answer = refusing_worthless
    bad = order(7, event_id="order-7", value=1)
    run = to_server.run(
        schema(columns=WITH_ID),
        *numbered(2),
        bad,
        bad,
        order(7, event_id="order-7", value=2),
        state(1),
        batch_size_rows=batch_size_rows,
        **KNOWN,
    )
    assert (run.code, run.states) == (0, [1])
    assert sorted(server.accepted) == ["order-0", "order-1", "order-7"]
    total = run.summary["total"]
    assert (total.delivered, total.reasons, total.drops) == (3, {"refused_by_api": 2}, {})
    assert total.adds_up


def test_thrice_when_the_first_is_not_processed(to_server: Launcher, server: FaultyServer) -> None:
    """While the second is on its way, the third waits for its fate."""
    again = threading.Event()

    def answer(request: Request) -> Reply:
        count = len(server.requests)
        if count == 1:
            again.wait(0.3)  # so that the second comes while the first is on its way
            return Reply(200, b'["order-0"]')
        if count > 2:
            again.set()
        again.wait(1.0)
        return Reply()

    server.answer = answer
    both = numbered(2)
    run = to_server.run(
        schema(columns=WITH_ID), *both, *both, *both, state(1), batch_size_rows=2, **KNOWN
    )
    assert (run.code, run.states) == (0, [1])
    assert sorted(server.accepted) == ["order-0", "order-1"]
    total = run.summary["total"]
    assert (total.read, total.reasons, total.delivered) == (6, {"not_processed": 1}, 3)
    assert total.drops == {"already_sent": 2}
    assert total.adds_up


def test_two_maps_that_make_the_same_event(to_server: Launcher, server: FaultyServer) -> None:
    """A copy of a stream that gives the same event IDs gives the same events."""
    second = threading.Event()

    def answer(request: Request) -> Reply:
        if len(server.requests) > 1:
            second.set()
        second.wait(1.0)
        return Reply()

    server.answer = answer
    common = {"event_id": "str(id)", "event_time": "event_time", "email": "email"}
    maps = {"orders": common, "gifts": {"__source__": "orders", **common}}
    run = to_server.run(
        schema(), order(1), order(1), state(1), stream_maps=maps, batch_size_rows=2, **KNOWN
    )
    assert (run.code, run.states) == (0, [1])
    assert server.accepted == ["1"]
    assert run.summary["total"].drops == {"already_sent": 3}
    assert run.summary["total"].adds_up


def test_a_silent_tap(target: Launcher, sandbox: Sandbox) -> None:
    """A repeated row does not wait for ever for its batch to fill."""
    run = target.start(flush_interval_seconds=1, **KNOWN)
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
    moved = to_server.folder / "moved.singer"
    (to_server.folder / LETTERS).rename(moved)
    # The order came again, with its next edit, before anybody replayed.
    assert to_server.run(schema(columns=WITH_ID), numbered(2)[1], **KNOWN).code == 0
    with moved.open("rb") as stdin:
        replay = to_server.start(stdin=stdin, **KNOWN).wait()
    assert replay.code == 0
    assert server.accepted == ["order-1", "order-2"]
    assert replay.summary["total"].drops == {"already_sent": 1}
    # And what a replay delivered, the tap's own rows know.
    again = to_server.run(*messages, **KNOWN)
    assert server.accepted == ["order-1", "order-2", "order-0"]
    assert again.summary["total"].drops == {"already_sent": 2}


def test_unconfirmed_letters_on_request(to_server: Launcher, server: FaultyServer) -> None:
    """With `replay_unconfirmed` they are sent, those that were never mapped are not."""
    server.answer = in_turn(Reply(200, b"[]"))
    maps = {
        "orders": {
            "event_id": "'order-' + str(id)",
            "event_time": "event_time",
            "email": "email",
            "value": "float(value)",
        }
    }
    first = to_server.run(
        schema(), order(1), order(2, value="x"), state(1), stream_maps=maps, **KNOWN
    )
    assert first.summary["total"].reasons == {"unconfirmed": 1, "mapping_failed": 1}
    letters = (to_server.folder / LETTERS).rename(to_server.folder / "moved.singer")
    for settings, sent in (({}, []), ({"replay_unconfirmed": True}, ["order-1"])):
        with letters.open("rb") as stdin:
            run = to_server.start(stdin=stdin, stream_maps=maps, **settings, **KNOWN).wait()
        assert run.code == 0
        assert server.accepted == sent
        assert run.summary["total"].not_replayed == 2 - len(sent)
        assert run.summary["total"].adds_up


# The file


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file(target: Launcher, sandbox: Sandbox, content: bytes) -> None:
    """Ends the run with exit 2 before any input is read, in one line that names it."""
    (target.folder / LEDGER).write_bytes(content)
    run = target.start(**KNOWN).wait(8)
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len(run.warnings) == 1
    assert "ledger_path" in run.last_line
    assert LEDGER in run.last_line
    assert "Traceback" not in run.log
    assert (target.folder / LEDGER).read_bytes() == content


@pytest.mark.parametrize("path", ["a\0b", "\ud800"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("name", ["ledger_path", "suppression_path", "dead_letter_path"])
def test_a_path_that_no_file_can_have(target: Launcher, name: str, path: str) -> None:
    """Is a wrong setting like any other."""
    run = target.start(**{name: path}).wait(8)
    assert run.code == 2, run.log
    assert len(run.warnings) == 1
    assert name in run.last_line
    assert "Traceback" not in run.log


def test_two_runs_share_the_file(to_server: Launcher, server: FaultyServer) -> None:
    """Runs of two streams at the same time do not disturb each other."""
    running = []
    for stream in ("orders", "refunds"):
        messages = [schema(stream, WITH_ID)]
        messages += [{**message, "stream": stream} for message in numbered(1500)]
        source = to_server.folder / f"{stream}.singer"
        source.write_text("".join(json.dumps(m) + "\n" for m in [*messages, state(1)]))
        with source.open("rb") as stdin:
            running.append(to_server.start(stdin=stdin, batch_size_rows=10, **KNOWN))
    for run in running:
        assert run.wait().code == 0
        assert run.states == [1]
        assert run.warnings == []
    assert rows(to_server.folder) == len(server.accepted) == 3000
