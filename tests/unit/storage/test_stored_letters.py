"""Dead letters in objects: what a replay takes over, and where it puts what is left."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fakes import LOGGER, settings
from unit_support import SETTINGS

from target_liveintent.conversions.model import Rejection
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage import replay_notes
from target_liveintent.storage.dead_letters import HEAD, dead_letter_line
from target_liveintent.storage.places import Places
from target_liveintent.storage.replayed import Replayed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.storage.letter_parts import Letters

URL = "memory://bucket/letters"


@functools.cache  # A line holds the time at which it was made.
def line(event_id: str) -> bytes:
    rejection = Rejection("orders", event_id, "no_identity", None, {"value": 1})
    return dead_letter_line(rejection, SETTINGS, "run-1")


ONE, TWO, THREE = map(line, "123")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a bucket, and go to an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = fsspec.filesystem("memory")
    files.mkdir("/bucket")
    yield files
    files.rm("/bucket", recursive=True)


def letters_at(path: str, dead_letter_path: str = URL) -> Letters:
    return Places(settings(dead_letter_path=dead_letter_path), LOGGER).letters(path)


def objects(files: Any) -> dict[str, bytes]:
    return {path.removeprefix("/bucket/"): files.cat_file(path) for path in files.find("/bucket")}


def test_what_is_read(files: Any) -> None:
    """Only objects named `*.singer` directly in the folder are dead letters."""
    for name in ("b.singer", "a.singer", "_pending/c.singer", "sent.singer/d.singer", "notes.txt"):
        files.pipe_file(f"/bucket/letters/{name}", HEAD + name.encode() + b"\n")
    sources = letters_at(URL + "/").sources
    assert [source.name for source in sources] == [f"{URL}/a.singer", f"{URL}/b.singer"]
    assert [list(source.lines()) for source in sources] == [
        [HEAD, b"a.singer\n"],
        [HEAD, b"b.singer\n"],
    ]


def test_whole_lines(files: Any) -> None:
    """A last line without its end is whole, as an object appears in one step."""
    files.pipe_file("/bucket/letters/a.singer", b'{"a":\r1}\r\n{"b":2}')
    (source,) = letters_at(URL).sources
    assert list(source.lines()) == [b'{"a":\r1}\r\n', b'{"b":2}\n']


def test_an_object_that_is_gone(files: Any) -> None:
    """Somebody else has replayed or removed it."""
    files.pipe_file("/bucket/letters/a.singer", HEAD + ONE)
    (source,) = letters_at(URL).sources
    files.rm("/bucket/letters/a.singer")
    assert list(source.lines()) == []


def test_nothing_is_there() -> None:
    letters = letters_at(URL)
    assert (list(letters.sources), list(letters.take("run-2"))) == ([], [])


@pytest.mark.parametrize("left", [[], [TWO]])
def test_what_is_left_stays(files: Any, left: list[bytes]) -> None:
    """One PUT or DELETE leaves what has no other outcome; it can be repeated."""
    files.pipe_file("/bucket/letters/a.singer", HEAD + ONE + TWO)
    (part,) = letters_at(URL).take("run-2")
    part.leave(line for line in part.lines() if line in left)
    part.leave(left)
    assert objects(files) == ({"letters/a.singer": HEAD + TWO} if left else {})


def test_what_is_left_goes_to_another_folder(files: Any) -> None:
    """A repetition replaces it, and so nothing is there twice."""
    other = "memory://bucket/other"
    for _ in range(2):  # As after a kill between the PUT and the DELETE.
        files.pipe_file("/bucket/letters/a.singer", HEAD + ONE + TWO)
        (part,) = letters_at(URL, other).take("run-2")
        part.leave([TWO])
    ((name, content),) = objects(files).items()
    assert name.startswith("other/a-")
    assert content == HEAD + TWO


def test_what_is_left_goes_to_a_file(files: Any, tmp_path: Path) -> None:
    """A repetition adds what the file lacks."""
    for left in ([TWO], [TWO, THREE]):
        files.pipe_file("/bucket/letters/a.singer", HEAD + ONE + TWO + THREE)
        (part,) = letters_at(URL, "own.singer").take("run-2")
        part.leave(left)
    assert objects(files) == {}
    content = (tmp_path / "own.singer").read_bytes()
    assert [content.count(one) for one in (ONE, TWO, THREE)] == [0, 1, 1]


def test_a_file_goes_to_a_store(files: Any, tmp_path: Path) -> None:
    """What is left of a file goes into one object, and the journal is removed."""
    path = tmp_path / "own.singer"
    path.write_bytes(HEAD + ONE + TWO)
    letters = letters_at(str(path))
    assert [source.name for source in letters.sources] == [str(path)]
    (part,) = letters.take("run-2")
    assert not path.exists()
    assert list(part.lines())[1:3] == [ONE, TWO]
    part.leave([TWO])
    ((name, content),) = objects(files).items()
    assert (name.rpartition("/")[0], content) == ("letters", HEAD + TWO)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_which_nothing_is_left(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.singer"
    path.write_bytes(HEAD + ONE)
    (part,) = letters_at(str(path)).take("run-2")
    part.leave([])
    assert (objects(files), list(tmp_path.iterdir())) == ({}, [])


def test_many_objects(files: Any) -> None:
    """Objects need no open file each, whatever becomes of their letters: there can be thousands."""
    for number in range(50):
        files.pipe_file(f"/bucket/letters/{number:02}.singer", HEAD + ONE + TWO)
    new = line("new")
    replayed = Replayed()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number, _ in enumerate(replayed.read(letters_at(URL).take("run-2"))):
        if number % 2:
            replayed.settle([number])
        else:
            replayed.replace(number, new)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    replayed.close()
    replayed.release()
    assert objects(files) == {f"letters/{number:02}.singer": HEAD + new for number in range(50)}


def test_new_letters_that_fill_the_memory(
    files: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They go to a scratch file of all objects, which has no name or goes with the process."""
    monkeypatch.setattr(replay_notes, "_MOST_IN_MEMORY", 100)
    for number in range(5):
        files.pipe_file(f"/bucket/letters/{number}.singer", HEAD + 20 * ONE)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    replayed = Replayed()
    for number, _ in enumerate(replayed.read(letters_at(URL).take("run-2"))):
        replayed.replace(number, line(f"new-{number}"))
    assert len(os.listdir("/proc/self/fd")) - before <= 1  # noqa: PTH208
    replayed.close()
    replayed.release()
    for number in range(5):
        new = [line(f"new-{20 * number + one}") for one in range(20)]
        assert objects(files)[f"letters/{number}.singer"] == b"".join([HEAD, *new])
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_another_replay_has_changed(files: Any) -> None:
    """What became of its old lines says nothing of the new ones, so it stays as it is."""
    path = "/bucket/letters/a.singer"
    files.pipe_file(path, HEAD + ONE + TWO)
    replayed = Replayed()
    read = list(replayed.read(letters_at(URL).take("run-1")))
    replayed.settle(range(len(read)))
    files.pipe_file(path, HEAD + TWO)
    with pytest.raises(StorageError, match="was changed during this replay"):
        replayed.close()
    assert objects(files) == {"letters/a.singer": HEAD + TWO}


@pytest.mark.parametrize("to", [URL, "own.singer"])
def test_one_replay_at_a_time(tmp_path: Path, to: str) -> None:
    """Replays of a folder on one machine keep out of each other's way."""
    with (
        letters_at(URL, to).alone(),
        pytest.raises(StorageError, match=f"another replay of '{URL}' is running"),
        letters_at(URL + "/", to).alone(),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", [URL, "own.singer"])
def test_the_ledger_of_a_replay(tmp_path: Path, to: str) -> None:
    """It has a name of its own for each folder, and goes in the end."""
    letters = letters_at(URL, to)
    assert letters.ledger != letters_at(URL + "2", to).ledger
    assert os.path.dirname(letters.ledger) == str(tmp_path)  # noqa: PTH120
    (tmp_path / os.path.basename(letters.ledger)).touch()  # noqa: PTH119
    letters.forget_ledger()
    assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a replay needs besides is in the folder for temporary files."""
    monkeypatch.chdir("/proc")
    with letters_at(URL).alone():
        (lock,) = tmp_path.iterdir()
    assert lock.suffix == ".lock"
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_written_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay from a store to a store needs no file; only without a ledger, it has one."""

    def gettempdir() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("tempfile.gettempdir", gettempdir)
    monkeypatch.chdir("/proc")
    letters = letters_at(URL)
    with letters.alone(), pytest.raises(ConfigurationError, match="set TMPDIR"):
        letters.ledger  # noqa: B018


def test_a_file_that_cannot_be_written(files: Any, tmp_path: Path) -> None:
    """What is left of an object stays in it."""
    files.pipe_file("/bucket/letters/a.singer", HEAD + ONE)
    (part,) = letters_at(URL, str(tmp_path / "own.singer")).take("run-2")
    (tmp_path / "own.singer").mkdir()
    with pytest.raises(StorageError, match=r"dead_letter_path .* cannot be written"):
        part.leave([ONE])
    assert objects(files) == {"letters/a.singer": HEAD + ONE}
