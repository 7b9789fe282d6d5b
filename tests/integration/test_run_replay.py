"""`target-liveintent --replay`: sends what can be sent, and leaves the rest, each letter once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faulty_server import FaultyServer, refusing
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
)

from target_liveintent.conversions.model import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
    """Run `--replay` to its end."""
    return start_replay(target, *arguments, **how).wait()


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
