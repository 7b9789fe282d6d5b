"""A replay that is killed at each of its steps: each letter is there once in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from replay_support import SENT, Kills, left, letter, letters_at, others, records, replay, write

from target_liveintent.storage.dead_letters import DeadLetterFile

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = [*map(str, range(8))]


def in_objects(folder: Path) -> list[str]:
    """Return the IDs of the letters in objects, sorted."""
    return sorted(x["event_id"] for path in folder.rglob("*.singer") for x in records(path))


@pytest.mark.parametrize("way", ["same", "other", "twice"])
def test_a_kill_at_each_step(kills: Kills, way: str) -> None:
    """A repetition finishes the work; nothing is lost or there twice, and no file is left."""
    for folder in kills:
        to = folder / "dead-letters"
        path = folder / "there" / "again" if way == "other" else to
        path.parent.mkdir(exist_ok=True)
        write(path, *LETTERS)
        if path != to:
            write(to, "a", "b")
        kills.replay(path, to)
        write(to, "c")  # A run goes on meanwhile.
        if way == "twice":
            kills.replay(path, to, later=3)
        if kills.was_killed:
            letters_at(path, to).check()  # It is no typing error.
        replay(path, to)
        wanted = [*LETTERS[4:], *(["c"] if path == to else ["a", "b", "c"])]
        assert left(folder) == sorted(wanted), kills.step
        assert [name for name in others(folder) if name != "there"] == [], kills.step
        assert list(path.parent.iterdir()) == ([to] if path == to else []), kills.step


@pytest.mark.parametrize("source", ["file", "objects"])
def test_another_replay_comes_before_the_repetition(kills: Kills, source: str) -> None:
    """A replay of what was put back changes it, and the repetition brings nothing back.

    The folders have other paths by then, as in another container; but the URL of a store stays.
    """
    for folder in kills:
        own, there = folder / "own", folder / "there"
        own.mkdir()
        there.mkdir()
        write(there / "a.singer", *LETTERS)
        path: object = f"local://{there}" if source == "objects" else there / "a.singer"
        kills.replay(path, own / "dead-letters")
        own = own.rename(folder / "elsewhere")
        if source == "file":
            there = there.rename(folder / "too")
            path = there / "a.singer"
        to = own / "dead-letters"
        sent = replay(to, to, "between", {"5"})
        replay(f"local://{folder}/other", to, "other")
        replay(path, to, "again")
        assert sorted([*left(own), *sent]) == LETTERS[4:], kills.step
        replay(to, to, "last", ())
        assert sorted([*left(own), *sent]) == LETTERS[4:], kills.step
        assert (others(own), list(there.iterdir())) == ([], []), kills.step


@pytest.mark.parametrize("source", ["file", "objects"])
def test_what_goes_into_objects(kills: Kills, source: str) -> None:
    """The same where the dead letters go to a folder of objects; the ledger knows what was sent."""
    for folder in kills:
        there, to = folder / "there", f"local://{folder}/to"
        there.mkdir()
        write(there / "a.singer", *LETTERS)
        path: object = f"local://{there}" if source == "objects" else there / "a.singer"
        kills.replay(path, to)
        sent = replay(to, to, "between", {"5"})
        replay(path, to, "again", SENT | set(sent))
        assert sorted([*in_objects(folder / "to"), *sent]) == LETTERS[4:], kills.step
        assert list(there.iterdir()) == [], kills.step


def test_objects_that_stay(kills: Kills) -> None:
    """What is left of an object stays in it."""
    for folder in kills:
        for name, letters in (("a", LETTERS), ("b", LETTERS), ("sent", SENT)):
            write(folder / f"{name}.singer", *letters)
        kills.replay(f"local://{folder}", f"local://{folder}")
        replay(f"local://{folder}", f"local://{folder}", "again")
        assert in_objects(folder) == sorted(2 * LETTERS[4:]), kills.step
        assert not (folder / "sent.singer").exists(), kills.step


@pytest.mark.parametrize("looks", ["before the repetition", "after it"])
def test_somebody_deletes_the_file_after_the_kill(kills: Kills, looks: str) -> None:
    """A run that has it open saves its letters, unless the replay has taken them over."""
    for folder in kills:
        path = folder / "dead-letters"
        run = DeadLetterFile(str(path))
        run.write(letter("0"))
        run.write(letter("7"))
        file = path.stat().st_ino
        kills.replay(path, path)
        if path.exists() and path.stat().st_ino == file:
            path.unlink()
        sent = replay(path, path) if looks == "after it" else []
        run.write(letter("8"))
        run.close()
        sent += replay(path, path)
        assert (left(folder), len(sent) < 2) == (["7", "8"], True), kills.step
