"""Dead letters in objects: what a replay takes over, and where it puts what is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from replay_support import letter, letters_at

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage import replay_notes
from target_liveintent.storage.dead_letters import HEAD
from target_liveintent.storage.replayed import Replayed

if TYPE_CHECKING:
    from collections.abc import Iterator


URL = "memory://bucket/letters"


ONE, TWO = map(letter, "12")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a bucket, and go to an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = fsspec.filesystem("memory")
    files.mkdir("/bucket")
    yield files
    files.rm("/bucket", recursive=True)


def objects(files: Any) -> dict[str, bytes]:
    return {path.removeprefix("/bucket/"): files.cat_file(path) for path in files.find("/bucket")}


def put(files: Any, *lines: bytes, name: str = "a.singer") -> None:
    """Put an object of dead letters."""
    files.pipe_file(f"/bucket/letters/{name}", b"".join([HEAD, *lines]))


def test_what_is_read(files: Any) -> None:
    """Only objects named `*.singer` directly in the folder are dead letters; each line is whole."""
    assert list(letters_at(URL, URL).sources) == []
    for name in ("b.singer", "a.singer", "_pending/c.singer", "sent.singer/d.singer", "notes.txt"):
        put(files, b'{"a":\r1}\r\n', name.encode(), name=name)
    first, second = letters_at(URL + "/", URL).sources
    assert (first.name, second.name) == (f"{URL}/a.singer", f"{URL}/b.singer")
    assert list(first.lines()) == [HEAD, b'{"a":\r1}\r\n', b"a.singer\n"]
    files.rm("/bucket/letters/b.singer")  # Somebody else has replayed or removed it.
    assert list(second.lines()) == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_many_objects(
    files: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_memory: bool
) -> None:
    """Objects need no open file each, whatever becomes of their letters: there can be thousands.

    New letters that fill the memory go to one scratch file, which goes with the process.
    """
    if not in_memory:
        monkeypatch.setattr(replay_notes, "_MOST_IN_MEMORY", 100)
    for number in range(5):
        put(files, *20 * [ONE], name=f"{number}.singer")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    replayed = Replayed()
    for number, _ in enumerate(replayed.read(letters_at(URL, URL).take("run-2"))):
        if number % 2:
            replayed.settle([number])
        else:
            replayed.replace(number, letter(f"new-{number}"))
    assert len(os.listdir("/proc/self/fd")) == before + (not in_memory)  # noqa: PTH208
    replayed.close()
    replayed.release()
    for number in range(5):
        new = [letter(f"new-{20 * number + one}") for one in range(0, 20, 2)]
        assert objects(files)[f"letters/{number}.singer"] == b"".join([HEAD, *new])
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_another_replay_has_changed(files: Any) -> None:
    """What became of its old lines says nothing of the new ones, so it stays as it is."""
    put(files, ONE, TWO)
    replayed = Replayed()
    read = list(replayed.read(letters_at(URL, URL).take("run-1")))
    replayed.settle(range(len(read)))
    put(files, TWO)
    with pytest.raises(StorageError, match="was changed during this replay"):
        replayed.close()
    assert objects(files) == {"letters/a.singer": HEAD + TWO}


@pytest.mark.parametrize("to", [URL, "own.singer"])
def test_what_a_replay_needs_besides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """A lock and a ledger for each folder are on this machine, and go in the end.

    If no file gets the dead letters, they are in the folder for temporary files.
    """
    if to == URL:
        monkeypatch.chdir("/proc")
    letters = letters_at(URL, to)
    with letters.alone():
        assert [one.suffix for one in tmp_path.iterdir()] == [".lock"]
        with (
            pytest.raises(StorageError, match=f"another replay of '{URL}' is running"),
            letters_at(URL + "/", to).alone(),
        ):
            pass
    assert letters.ledger != letters_at(URL + "2", to).ledger
    Path(letters.ledger).touch()
    assert [one.suffix for one in tmp_path.iterdir()] == [".sqlite"]
    letters.forget_ledger()
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_written_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay from a store to a store needs no file; only without a ledger, it has one."""

    def gettempdir() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("tempfile.gettempdir", gettempdir)
    monkeypatch.chdir("/proc")
    letters = letters_at(URL, URL)
    with letters.alone(), pytest.raises(ConfigurationError, match="set TMPDIR"):
        letters.ledger  # noqa: B018
