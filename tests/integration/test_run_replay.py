"""`target-liveintent --replay`: sends what can be sent, and leaves the rest, each letter once."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, refusing
from integration_support import (
    DAY,
    LETTERS,
    WITH_ID,
    dead_letter,
    dead_letter_lines,
    lines,
    numbered,
    order,
    read_letters,
    schema,
    state,
    wait_until,
)
from ledger_claims import count, let_claims_lapse

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher

COLUMNS = (*WITH_ID, "source", "pixel_id")


def put(launcher: Launcher, *event_ids: str, at: str = LETTERS, **columns: Any) -> Path:
    """Write a file of dead letters with these event IDs; of `bad` ones, the source is unknown."""
    path = launcher.folder / at
    letters = [
        dead_letter(event_id, **({"source": "shop"} if event_id.startswith("bad") else columns))
        for event_id in event_ids
    ]
    path.write_bytes(dead_letter_lines(*letters))
    return path


def several(amount: int, name: str = "e") -> list[str]:
    """Return event IDs."""
    return [f"{name}{n}" for n in range(amount)]


def left(folder: Path) -> list[str]:
    """Return the event IDs of all letters of a folder, sorted."""
    found = [x["event_id"] for path in folder.glob("*dead-letters*") for x in read_letters(path)]
    return sorted(found)


def names(folder: Path) -> list[str]:
    """Return the names of the files of replays."""
    return sorted(path.name for path in folder.iterdir() if "liveintent-replay" in path.name)


def remembered(folder: Path) -> int:
    """Return how many events the ledgers of a folder know."""
    with contextlib.suppress(sqlite3.Error):  # One is being made.
        return sum(count(path, "accepted") for path in folder.glob("*.sqlite"))
    return 0


def lapse(folder: Path) -> None:
    """Let the claims of a killed replay lapse, in the ledger of the runs or in its own."""
    for path in folder.glob("*.sqlite"):
        let_claims_lapse(path)


# What is sent and what is left


def test_what_has_become_sendable_is_sent(to_server: Launcher, server: FaultyServer) -> None:
    """The corrected setting makes letters sendable; the file is gone when none is left."""
    bad = numbered(3, source="shop"), numbered(5)[3:]
    first = to_server.run(schema(columns=COLUMNS), *bad[0], *bad[1], state(1))
    assert (first.code, len(first.letters)) == (0, 3)
    path = to_server.folder / LETTERS
    path.write_text(path.read_text().replace('"shop"', '"web"'))
    run = to_server.ask("--replay")
    assert run.code == 0
    assert sorted(server.accepted) == [f"order-{n}" for n in range(5)]
    assert not path.exists()
    assert names(to_server.folder) == []
    assert run.stdout.splitlines()[:2] == [f"{LETTERS}: 3 dead letters", "  sent 3"]


def test_nothing_to_replay(to_server: Launcher, server: FaultyServer) -> None:
    """Without a file, a replay has nothing to do, and says so: a schedule may run it each night."""
    for arguments in ([], [LETTERS], [str(to_server.folder / LETTERS)]):
        run = to_server.ask("--replay", *arguments)
        assert (run.code, server.requests) == (0, [])
        assert "there is nothing to replay: there are no dead letters in '" in run.log
        assert run.stdout.splitlines()[0].endswith(f"{LETTERS}: 0 dead letters")


def test_a_path_that_names_nothing(to_server: Launcher, server: FaultyServer) -> None:
    """Whoever gives a path means a file that is there."""
    for options in ([], ["--dry-run"]):
        run = to_server.ask("--replay", "absent.singer", *options)
        assert (run.code, server.requests) == (2, [])
        assert "the file 'absent.singer' does not exist, and no dead letters are" in run.last_line
        assert names(to_server.folder) == []


def test_only_dead_letters_are_replayed(to_server: Launcher, server: FaultyServer) -> None:
    """Another file is refused before it is touched."""
    path = to_server.folder / "orders.singer"
    content = lines([schema(), order(1)])
    path.write_bytes(content)
    run = to_server.ask("--replay", path.name)
    assert (run.code, server.requests) == (1, [])
    assert run.last_line.startswith("line 1 of 'orders.singer' is not a dead letter")
    assert path.read_bytes() == content
    assert names(to_server.folder) == []


def test_each_outcome(to_server: Launcher, server: FaultyServer) -> None:
    """The summary counts by outcome, and the file has what is left, each once."""
    now = order(1)["record"]["event_time"]
    letters = [
        dead_letter("good"),
        dead_letter("again"),
        dead_letter("refused"),
        dead_letter("old", event_time=now - 8 * DAY),
        dead_letter("maybe", reason="unconfirmed"),
        dead_letter("sourceless", source="shop"),
    ]
    server.answer = refusing("refused")
    assert to_server.run(schema(columns=WITH_ID), order(1, event_id="again")).code == 0
    (to_server.folder / LETTERS).write_bytes(dead_letter_lines(*letters))
    run = to_server.ask("--replay")
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
    assert to_server.ask("--replay", replay_unconfirmed=True).code == 0
    assert left(to_server.folder) == ["refused", "sourceless"]


def test_a_dry_run_changes_nothing(to_server: Launcher, server: FaultyServer) -> None:
    """It says what would become of the letters; no file and no API sees any of it."""
    path = put(to_server, "good", "bad")
    before = path.read_bytes()
    run = to_server.ask("--replay", "--dry-run")
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
    moved = put(to_server, "good", "bad", at="moved.singer")
    put(to_server, "bad-other")
    run = to_server.ask("--replay", moved.name)
    assert (run.code, server.accepted) == (0, ["good"])
    assert left(to_server.folder) == ["bad", "bad-other"]
    assert not moved.exists()


def test_a_dry_run_is_one_of_a_replay(to_server: Launcher) -> None:
    """Alone, the option does not pass for the setting."""
    run = to_server.ask("--dry-run")
    assert run.code == 2
    assert "set dry_run" in run.log


# How it ends


def test_a_replay_fails_no_rule_about_dead_letters(
    to_server: Launcher, server: FaultyServer
) -> None:
    """Whatever is left: no percentage, no "nothing delivered" and no on_rejection ends it."""
    put(to_server, *several(1_500, "bad-"))
    run = to_server.ask("--replay", on_rejection="fail", max_dead_letter_percent=0)
    assert (run.code, server.requests, len(run.letters)) == (0, [], 1_500)
    assert "rejected again 1,500 (invalid_source 1,500)" in run.stdout


def test_a_limit(to_server: Launcher, server: FaultyServer) -> None:
    """So many are sent, and the rest is left; the next replay goes on."""
    put(to_server, *several(10))
    run = to_server.ask("--replay", limit=4)
    assert (run.code, len(server.accepted), len(run.letters)) == (0, 4, 6)
    assert "left as they were 6 (not sent yet 6)" in run.stdout
    assert to_server.ask("--replay").code == 0
    assert sorted(server.accepted) == several(10)
    assert left(to_server.folder) == []


def test_a_failed_replay_is_repeated(to_server: Launcher, server: FaultyServer) -> None:
    """What was sent is gone, all others are left once; the repetition sends them."""
    put(to_server, *several(40), *several(5, "bad-"))
    server.answer = refusing("e25", status=401)
    run = to_server.ask("--replay", batch_size_rows=10, max_concurrent_requests=1)
    assert run.code == 1
    assert "HTTP 401" in run.last_line
    sent = set(server.accepted)
    assert 10 <= len(sent) < 40
    assert left(to_server.folder) == sorted({*several(40)} - sent | {*several(5, "bad-")})
    server.answer = lambda _: Reply()
    assert to_server.ask("--replay").code == 0
    assert sorted(server.accepted) == sorted(several(40))
    assert left(to_server.folder) == several(5, "bad-")


def test_sigterm_leaves_what_was_not_sent(to_server: Launcher, server: FaultyServer) -> None:
    """A replay that is stopped puts back all that has no outcome."""
    put(to_server, *several(300))
    server.answer = lambda _: Reply(held=len(server.requests) >= 3)
    constants = {"target_liveintent.run.run:_STOP_GRACE": 0.2}
    how = {"batch_size_rows": 10, "max_concurrent_requests": 2}
    run = to_server.begin("--replay", constants=constants, **how)
    wait_until(lambda: server.all_held and len(server.delivered) >= 10, "the first letters")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 143
    assert "run the replay again to send the rest" in run.log
    assert "STATE" not in run.log
    assert left(to_server.folder) == sorted({*several(300)} - server.delivered)
    assert names(to_server.folder) == []


@pytest.mark.parametrize("ledger", [True, False])
def test_a_killed_replay_is_repeated(
    to_server: Launcher, server: FaultyServer, ledger: bool
) -> None:
    """What was delivered goes no second time, with the usual ledger and without one."""
    put(to_server, *several(300))
    server.answer = lambda _: Reply(held=len(server.requests) >= 6)
    how = {"ledger": ledger, "batch_size_rows": 10, "max_concurrent_requests": 1}
    run = to_server.begin("--replay", **how)
    wait_until(lambda: len(server.requests) >= 6, "the first letters")
    wait_until(lambda: remembered(to_server.folder) == 50, "the ledger's commits")
    run.signal(signal.SIGKILL).wait()
    assert left(to_server.folder) == []
    assert len(names(to_server.folder)) >= 2  # The journal and the lock.
    assert "300" in to_server.ask("--dead-letters").stdout  # Where the replay has put them.
    # A run goes on meanwhile.
    assert to_server.run(schema(columns=COLUMNS), *numbered(1, source="x")).code == 0
    server.answer = lambda _: Reply()
    lapse(to_server.folder)
    assert to_server.ask("--replay", ledger=ledger).code == 0
    assert server.delivered == {*several(300)}
    in_flight = {x for request in server.requests[5:6] for x in request.ids}
    assert {event for event, *_ in server.repeats} <= in_flight
    assert left(to_server.folder) == ["order-0"]
    assert names(to_server.folder) == []


def test_what_was_unconfirmed_goes_no_second_time(
    to_server: Launcher, server: FaultyServer
) -> None:
    """LiveIntent may have counted it; the repetition knows, as the killed replay has noted it."""
    put(to_server, *several(30))
    server.answer = lambda request: Reply(200, b"[]") if "e0" in request.ids else Reply(held=True)
    run = to_server.begin("--replay", batch_size_rows=10, max_concurrent_requests=1)
    notes = to_server.folder.glob(".liveintent-replay-*.notes")
    wait_until(lambda: len(server.requests) >= 2, "the first letters")
    (path,) = notes
    wait_until(lambda: len(path.read_bytes().splitlines()) == 10, "the notes")
    run.signal(signal.SIGKILL).wait()
    server.answer = lambda _: Reply()
    lapse(to_server.folder)
    assert to_server.ask("--replay").code == 0
    assert [event for request in server.requests for event in request.ids].count("e0") == 1
    assert left(to_server.folder) == several(10)
    assert names(to_server.folder) == []


def test_a_path_that_is_gone(to_server: Launcher, server: FaultyServer) -> None:
    """`--replay PATH` takes up what an interrupted replay of PATH has left, from any folder."""
    path = put(to_server, "good", "bad", at="again.singer")
    server.answer = lambda _: Reply(held=True)
    run = to_server.begin("--replay", str(path))
    wait_until(lambda: server.requests, "a request")
    run.signal(signal.SIGKILL).wait()
    assert not path.exists()
    server.answer = lambda _: Reply()
    lapse(to_server.folder)
    again = to_server.ask("--replay", path.name)
    assert (again.code, server.delivered) == (0, {"good"})
    assert again.stdout.splitlines()[-1] == f"1 dead letter is in {LETTERS}"
    assert left(to_server.folder) == ["bad"]
    assert to_server.ask("--replay", path.name).code == 2


def test_two_replays_at_once(to_server: Launcher, server: FaultyServer) -> None:
    """The second one ends at once with a message, and the first one is not disturbed."""
    put(to_server, *several(10))
    server.answer = lambda _: Reply(held=True)
    first = to_server.begin("--replay")
    wait_until(lambda: server.all_held, "a request")
    second = to_server.ask("--replay")
    assert second.code == 1
    assert f"another replay of '{LETTERS}' is running" in second.last_line
    server.answer = lambda _: Reply()
    server.release()
    assert first.wait().code == 0
    assert (sorted(server.accepted), left(to_server.folder)) == (several(10), [])
