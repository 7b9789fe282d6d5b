"""`target-liveintent --replay`: sends what can be sent, and leaves the rest, each letter once."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, refusing
from integration_support import (
    DAY,
    LETTERS,
    WITH_ID,
    lines,
    numbered,
    order,
    read_letters,
    schema,
    state,
    wait_until,
)

from target_liveintent.conversions.model import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

COLUMNS = (*WITH_ID, "source", "pixel_id")


def start_replay(
    target: Launcher, *arguments: str, dry_run: bool = False, **settings: Any
) -> Running:
    """Start `--replay`, and `--dry-run` if asked for."""
    config = target.config(**settings)
    options = ["--dry-run"] * dry_run
    return target.command(
        "--config", str(config), "--replay", *arguments, *options, forks=target.forks
    )


def replay(target: Launcher, *arguments: str, **how: Any) -> Running:
    """Run `--replay` to its end; what a run that was killed has claimed, it waits for."""
    return start_replay(target, *arguments, **how).wait(60)


def letter(event_id: str, **columns: Any) -> dict[str, Any]:
    """Return a dead letter as a run without a usable source writes it."""
    record = order(1, id=..., event_id=event_id, **columns)["record"]
    record |= {"sha2": "a" * 64, "reason": "invalid_source", "stream": "orders"}
    del record["email"]
    return {"type": "RECORD", "stream": DEAD_LETTERS, "record": record}


def write_letters(path: Path, letters: Iterable[dict[str, Any]]) -> None:
    """Write a file of dead letters."""
    head = schema(DEAD_LETTERS, ("event_id", "event_time", "sha2", "value", "currency"), ())
    path.write_bytes(lines([head, *letters]))


def left(folder: Path) -> list[str]:
    """Return the event IDs of all letters of a folder, sorted."""
    found = [x["event_id"] for path in folder.glob("*dead-letters*") for x in read_letters(path)]
    return sorted(found)


def names(folder: Path) -> list[str]:
    """Return the names of the files of replays."""
    return sorted(path.name for path in folder.iterdir() if "liveintent-replay" in path.name)


def remembered(folder: Path) -> int:
    """Return how many events the ledgers of a folder know."""
    count = 0
    for path in folder.glob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as db, contextlib.suppress(sqlite3.Error):
            count += db.execute("SELECT count(*) FROM accepted").fetchone()[0]
    return count


# What is sent and what is left


def test_what_has_become_sendable_is_sent(to_server: Launcher, server: FaultyServer) -> None:
    """The corrected setting makes letters sendable; the file is gone when none is left."""
    bad = numbered(3, source="shop"), numbered(5)[3:]
    first = to_server.run(schema(columns=COLUMNS), *bad[0], *bad[1], state(1))
    assert (first.code, len(first.letters)) == (0, 3)
    path = to_server.folder / LETTERS
    path.write_text(path.read_text().replace('"shop"', '"web"'))
    run = replay(to_server)
    assert run.code == 0
    assert sorted(server.accepted) == [f"order-{n}" for n in range(5)]
    assert not path.exists()
    assert names(to_server.folder) == []
    assert run.stdout.splitlines()[:2] == [f"{LETTERS}: 3 dead letters", "  sent 3"]


def test_each_outcome(to_server: Launcher, server: FaultyServer) -> None:
    """The summary counts by outcome, and the file has what is left, each once."""
    now = order(1)["record"]["event_time"]
    letters = [
        letter("good"),
        letter("again"),
        letter("refused"),
        letter("old", event_time=now - 8 * DAY),
        letter("maybe"),
        letter("sourceless", source="shop"),
    ]
    letters[4]["record"]["reason"] = "unconfirmed"
    server.answer = refusing("refused")
    assert to_server.run(schema(columns=WITH_ID), order(1, event_id="again")).code == 0
    write_letters(to_server.folder / LETTERS, letters)
    run = replay(to_server)
    assert (run.code, sorted(server.accepted)) == (0, ["again", "good"])
    assert left(to_server.folder) == ["maybe", "refused", "sourceless"]
    assert run.stdout.splitlines() == [
        f"{LETTERS}: 6 dead letters",
        "  sent 1",
        "  expired 1",
        "  already sent 1",
        "  rejected again 2 (invalid_source 1, refused_by_api 1)",
        "  left as they were 1 (unconfirmed 1)",
        f"3 dead letters are in {LETTERS}",
    ]
    by_id = {x["event_id"]: x for x in run.letters}
    assert by_id["maybe"] == letters[4]["record"]
    assert by_id["refused"]["reason"] == "refused_by_api"
    assert replay(to_server, replay_unconfirmed=True).code == 0
    assert left(to_server.folder) == ["refused", "sourceless"]


def test_a_dry_run_changes_nothing(to_server: Launcher, server: FaultyServer) -> None:
    """It says what would become of the letters; no file and no API sees any of it."""
    path = to_server.folder / LETTERS
    write_letters(path, [letter("good"), letter("sourceless", source="shop")])
    before = path.read_bytes()
    run = replay(to_server, dry_run=True)
    assert (run.code, server.requests, path.read_bytes()) == (0, [], before)
    assert run.stdout.splitlines() == [
        f"{LETTERS}: 2 dead letters",
        "  would be sent 1",
        "  would be rejected again 1 (invalid_source 1)",
        "  would be left as they were 0",
    ]
    assert f"reading 2 dead letters from '{LETTERS}'" in run.log
    made = {one.name for one in to_server.folder.iterdir()}
    assert not {name for name in made if "replay" in name or "ledger" in name}


def test_a_letter_on_its_own_path(to_server: Launcher, server: FaultyServer) -> None:
    """PATH may be any file; what is left is in dead_letter_path, and PATH is gone."""
    moved = to_server.folder / "moved.singer"
    write_letters(moved, [letter("good"), letter("sourceless", source="shop")])
    write_letters(to_server.folder / LETTERS, [letter("other", source="shop")])
    run = replay(to_server, moved.name)
    assert (run.code, server.accepted) == (0, ["good"])
    assert left(to_server.folder) == ["other", "sourceless"]
    assert not moved.exists()


def test_nothing_to_replay(to_server: Launcher, server: FaultyServer) -> None:
    """Without a file, a replay has nothing to do, and says so: a schedule may run it each night."""
    for arguments in ([], [LETTERS], [str(to_server.folder / LETTERS)]):
        run = replay(to_server, *arguments)
        assert (run.code, server.requests) == (0, [])
        assert "there is nothing to replay: there are no dead letters in '" in run.log
        assert run.stdout.splitlines()[0].endswith(f"{LETTERS}: 0 dead letters")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.singer", "the file 'absent.singer' does not exist, and no dead letters are left"),
        ("absent/letters.singer", "the file 'absent/letters.singer' does not exist"),
        ("folder", "'folder' is not a file: give --replay a file"),
        ("file/letters.singer", "'file/letters.singer', cannot be read: Not a directory"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_path_that_names_nothing(
    to_server: Launcher, server: FaultyServer, path: str, message: str, dry_run: bool
) -> None:
    """Whoever gives a path means a file that is there."""
    (to_server.folder / "folder").mkdir()
    (to_server.folder / "file").touch()
    run = replay(to_server, path, dry_run=dry_run)
    assert (run.code, server.requests) == (2, [])
    assert message in run.last_line
    assert names(to_server.folder) == []


def test_only_dead_letters_are_replayed(to_server: Launcher, server: FaultyServer) -> None:
    """Another file is refused before it is touched."""
    path = to_server.folder / "orders.singer"
    content = lines([schema(), order(1)])
    path.write_bytes(content)
    run = replay(to_server, path.name)
    assert (run.code, server.requests) == (1, [])
    assert run.last_line.startswith("line 1 of 'orders.singer' is not a dead letter")
    assert path.read_bytes() == content
    assert names(to_server.folder) == []


def test_a_dry_run_is_one_of_a_replay(to_server: Launcher) -> None:
    """Alone, the option does not pass for the setting."""
    run = to_server.command("--config", str(to_server.config()), "--dry-run").close_input().wait()
    assert run.code == 2
    assert "set dry_run" in run.log


def test_progress(to_server: Launcher, server: FaultyServer) -> None:
    """A replay says how far it is, as a run does."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(30)])
    gate = threading.Event()

    def wait(request: Request) -> Reply:
        if "e0" not in request.ids:
            server.hold(gate)
        return Reply()

    server.answer = wait
    run = start_replay(to_server, batch_size_rows=10, flush_interval_seconds=1)
    wait_until(lambda: "so far: 30 read, 10 delivered" in run.log, "a line of progress")
    gate.set()
    assert run.wait().code == 0
    assert server.delivered == {f"e{n}" for n in range(30)}


# How it ends


def test_a_replay_fails_no_rule_about_dead_letters(
    to_server: Launcher, server: FaultyServer
) -> None:
    """Whatever is left: no percentage, no "nothing delivered" and no on_rejection ends it."""
    write_letters(
        to_server.folder / LETTERS, [letter(f"e{n}", source="shop") for n in range(1_500)]
    )
    run = replay(to_server, on_rejection="fail", max_dead_letter_percent=0)
    assert (run.code, server.requests, len(run.letters)) == (0, [], 1_500)
    assert "rejected again 1,500 (invalid_source 1,500)" in run.stdout


def test_a_limit(to_server: Launcher, server: FaultyServer) -> None:
    """So many are sent, and the rest is left; the next replay goes on."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(10)])
    run = replay(to_server, limit=4)
    assert (run.code, len(server.accepted), len(run.letters)) == (0, 4, 6)
    assert "left as they were 6 (not sent yet 6)" in run.stdout
    assert replay(to_server).code == 0
    assert sorted(server.accepted) == [f"e{n}" for n in range(10)]
    assert left(to_server.folder) == []


def test_a_failed_replay_is_repeated(to_server: Launcher, server: FaultyServer) -> None:
    """What was sent is gone, all others are left once; the repetition sends them."""
    write_letters(
        to_server.folder / LETTERS,
        [*(letter(f"e{n}") for n in range(40)), *(letter(f"s{n}", source="x") for n in range(5))],
    )

    def failing(request: Request) -> Reply:
        return Reply(401) if "e25" in request.ids else Reply()

    server.answer = failing
    run = replay(to_server, batch_size_rows=10, max_concurrent_requests=1)
    assert run.code == 1
    assert "HTTP 401" in run.last_line
    sent = set(server.accepted)
    assert 10 <= len(sent) < 40
    unsent = {f"e{n}" for n in range(40)} - sent
    assert left(to_server.folder) == sorted(unsent | {f"s{n}" for n in range(5)})
    server.answer = lambda _: Reply()
    assert replay(to_server).code == 0
    assert sorted(server.accepted) == sorted(f"e{n}" for n in range(40))
    assert left(to_server.folder) == sorted(f"s{n}" for n in range(5))


def test_sigterm_leaves_what_was_not_sent(to_server: Launcher, server: FaultyServer) -> None:
    """A replay that is stopped puts back all that has no outcome."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(300)])
    server.answer = lambda request: Reply(delay=0.0 if len(server.requests) < 3 else 60.0)
    run = start_replay(
        to_server, batch_size_rows=10, max_concurrent_requests=2, request_timeout_seconds=5
    )
    wait_until(lambda: len(server.delivered) >= 10, "the first letters")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 143
    assert "run the replay again to send the rest" in run.log
    assert "STATE" not in run.log
    assert set(left(to_server.folder)) == {f"e{n}" for n in range(300)} - server.delivered
    assert len(left(to_server.folder)) == len(set(left(to_server.folder)))
    assert names(to_server.folder) == []


@pytest.mark.parametrize("ledger", [True, False])
def test_a_killed_replay_is_repeated(
    to_server: Launcher, server: FaultyServer, ledger: bool
) -> None:
    """What was delivered goes no second time, with the usual ledger and without one."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(300)])
    server.answer = lambda request: Reply(delay=0.0 if len(server.requests) < 6 else 60.0)
    run = start_replay(to_server, ledger=ledger, batch_size_rows=10, max_concurrent_requests=1)
    wait_until(lambda: len(server.requests) >= 6, "the first letters")
    wait_until(lambda: remembered(to_server.folder) == 50, "the ledger's commits")
    run.signal(signal.SIGKILL).wait()
    assert left(to_server.folder) == []
    assert len(names(to_server.folder)) >= 2  # The journal and the lock.
    shown = to_server.command("--config", str(to_server.config()), "--dead-letters").wait()
    assert "300" in shown.stdout  # They are where the replay has put them.
    # A run goes on meanwhile.
    assert to_server.run(schema(columns=COLUMNS), *numbered(1, source="x")).code == 0
    server.answer = lambda _: Reply()
    again = replay(to_server, ledger=ledger)
    assert again.code == 0
    assert server.delivered == {f"e{n}" for n in range(300)}
    in_flight = {x for request in server.requests[5:6] for x in request.ids}
    assert {event for event, *_ in server.repeats} <= in_flight
    assert left(to_server.folder) == ["order-0"]
    assert names(to_server.folder) == []


def test_what_was_unconfirmed_goes_no_second_time(
    to_server: Launcher, server: FaultyServer
) -> None:
    """LiveIntent may have counted it; the repetition knows, as the killed replay has noted it."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(30)])

    def answer(request: Request) -> Reply:
        return Reply(200, b"[]") if "e0" in request.ids else Reply(delay=60.0)

    server.answer = answer
    run = start_replay(to_server, batch_size_rows=10, max_concurrent_requests=1)
    notes = to_server.folder.glob(".liveintent-replay-*.notes")
    wait_until(lambda: len(server.requests) >= 2, "the first letters")
    (path,) = notes
    wait_until(lambda: len(path.read_bytes().splitlines()) == 10, "the notes")
    run.signal(signal.SIGKILL).wait()
    server.answer = lambda _: Reply()
    assert replay(to_server).code == 0
    assert [event for request in server.requests for event in request.ids].count("e0") == 1
    assert left(to_server.folder) == sorted(f"e{n}" for n in range(10))
    assert names(to_server.folder) == []


def test_a_path_that_is_gone(to_server: Launcher, server: FaultyServer) -> None:
    """`--replay PATH` takes up what an interrupted replay of PATH has left, from any folder."""
    path = to_server.folder / "again.singer"
    write_letters(path, [letter("good"), letter("bad", source="shop")])
    server.answer = lambda _: Reply(delay=60.0)
    run = start_replay(to_server, str(path))
    wait_until(lambda: server.requests, "a request")
    run.signal(signal.SIGKILL).wait()
    assert not path.exists()
    server.answer = lambda _: Reply()
    again = replay(to_server, path.name)
    assert (again.code, server.delivered) == (0, {"good"})
    assert left(to_server.folder) == ["bad"]
    assert replay(to_server, path.name).code == 2


def test_two_replays_at_once(to_server: Launcher, server: FaultyServer) -> None:
    """The second one ends at once with a message, and the first one is not disturbed."""
    write_letters(to_server.folder / LETTERS, [letter(f"e{n}") for n in range(10)])
    gate = threading.Event()

    def wait(_: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = wait
    first = start_replay(to_server)
    wait_until(lambda: server.requests, "a request")
    second = replay(to_server)
    assert second.code == 1
    assert f"another replay of '{LETTERS}' is running" in second.last_line
    gate.set()
    assert first.wait().code == 0
    assert (sorted(server.accepted), left(to_server.folder)) == (
        sorted(f"e{n}" for n in range(10)),
        [],
    )
