"""A replay that is killed at each of its steps: each letter is there once in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from replay_support import SENT, killed_at, left, letter, letters_at, others, records, replay, write

from target_liveintent.storage.dead_letters import DeadLetterFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LETTERS = [*map(str, range(10))]


def each_step(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yield steps, each with a folder of its own; the test ends the loop."""
    for step in range(1_000):
        folder = tmp_path / str(step)
        folder.mkdir()
        yield step, folder


def in_objects(folder: Path) -> list[str]:
    """Return the IDs of the letters in objects, sorted."""
    return sorted(x["event_id"] for path in folder.rglob("*.singer") for x in records(path))


@pytest.mark.parametrize("way", ["same", "other", "other folder", "twice"])
def test_a_kill_at_each_step(tmp_path: Path, way: str) -> None:
    """A repetition finishes the work; nothing is lost, nothing is there twice, no file is left."""
    for step, folder in each_step(tmp_path):
        to = folder / "dead-letters"
        path = {"same": to, "twice": to, "other folder": folder / "there" / "again"}.get(
            way, folder / "again"
        )
        path.parent.mkdir(exist_ok=True)
        write(path, *LETTERS)
        if path != to:
            write(to, "a", "b")
        was_killed = killed_at(step, path, to)
        write(to, "c")  # A run goes on meanwhile.
        if way == "twice":
            killed_at(step + 3, path, to)
        if was_killed:
            letters_at(path, to).check()  # It is no typing error.
        replay(path, to)
        wanted = [*LETTERS[4:], *(["c"] if path == to else ["a", "b", "c"])]
        assert left(folder) == sorted(wanted), step
        assert [name for name in others(folder) if name != "there"] == [], step
        assert list(path.parent.iterdir()) == ([to] if path.parent == folder else []), step
        if not was_killed:
            break
    assert step > 12


@pytest.mark.parametrize(("source", "moves"), [("file", False), ("file", True), ("objects", True)])
def test_another_replay_comes_before_the_repetition(
    tmp_path: Path, source: str, moves: bool
) -> None:
    """A replay of what was put back changes it, and the repetition brings nothing back.

    The folders may have other paths by then, as in another container.
    """
    for step, folder in each_step(tmp_path):
        own, there = folder / "own", folder / "there"
        name = "a.singer" if source == "objects" else "again"

        def path(there: Path = there, name: str = name) -> str:
            return f"local://{there}" if source == "objects" else str(there / name)

        own.mkdir()
        there.mkdir()
        write(there / name, *LETTERS)
        was_killed = killed_at(step, path(), own / "dead-letters")
        if moves:
            own = own.rename(folder / "elsewhere")
            if source == "file":  # The URL of a folder stays.
                there = there.rename(folder / "too")
        to = own / "dead-letters"
        sent = replay(to, to, "between", {"5"})
        replay(path(there), to, "again")
        assert sorted([*left(own), *sent]) == LETTERS[4:], step
        replay(to, to, "last", ())
        assert sorted([*left(own), *sent]) == LETTERS[4:], step
        assert (others(own), list(there.iterdir())) == ([], []), step
        if not was_killed:
            break
    assert step > 12


@pytest.mark.parametrize("source", ["file", "objects"])
def test_what_goes_into_objects(tmp_path: Path, source: str) -> None:
    """The same where the dead letters go to a folder of objects; the ledger knows what was sent."""
    for step, folder in each_step(tmp_path):
        there, to = folder / "there", folder / "to"
        there.mkdir()
        write(there / "a.singer", *LETTERS)
        path: object = f"local://{there}" if source == "objects" else there / "a.singer"
        was_killed = killed_at(step, path, f"local://{to}")
        sent = replay(f"local://{to}", f"local://{to}", "between", {"5"})
        replay(path, f"local://{to}", "again", SENT | set(sent))
        assert sorted([*in_objects(to), *sent]) == LETTERS[4:], step
        assert list(there.iterdir()) == [], step
        if not was_killed:
            break
    assert step > 3


def test_objects_that_stay(tmp_path: Path) -> None:
    """What is left of an object stays in it."""
    for step, folder in each_step(tmp_path):
        for name in "ab":
            write(folder / f"{name}.singer", *LETTERS)
        was_killed = killed_at(step, f"local://{folder}", f"local://{folder}")
        replay(f"local://{folder}", f"local://{folder}", "again")
        assert in_objects(folder) == sorted(2 * LETTERS[4:]), step
        if not was_killed:
            break
    assert step >= 2


@pytest.mark.parametrize("looks", ["before the repetition", "after it"])
def test_somebody_deletes_the_file_after_the_kill(tmp_path: Path, looks: str) -> None:
    """A run that has it open saves its letters, unless the replay has taken them over."""
    for step, folder in each_step(tmp_path):
        path = folder / "dead-letters"
        run = DeadLetterFile(str(path))
        run.write(letter("0"))
        run.write(letter("7"))
        file = path.stat().st_ino
        was_killed = killed_at(step, path, path)
        if path.exists() and path.stat().st_ino == file:
            path.unlink()
        sent = replay(path, path) if looks == "after it" else []
        run.write(letter("8"))
        run.close()
        sent += replay(path, path)
        assert (left(folder), len(sent) < 2) == (["7", "8"], True), step
        if not was_killed:
            break
    assert step > 12
