"""Files of a run: lines of several runs stay whole, survive crashes, and are for their owner."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage import files
from target_liveintent.storage.files import AppendedFile, can_be_written

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"head\n"


def appended(path: Path) -> AppendedFile:
    return AppendedFile("some_path", str(path), HEAD, repeat_head=False)


def append(path: Path, *lines: bytes) -> None:
    file = appended(path)
    for line in lines:
        file.write(line)
    file.close()


def no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_device_in_the_place_of_the_file(path: Path) -> None:
    """A line that nobody can read again counts as not written."""
    path.symlink_to("/dev/null")
    with pytest.raises(StorageError, match="not an ordinary file"):
        append(path, b"1\n")


def test_what_is_no_regular_file_keeps_its_mode(path: Path) -> None:
    """The mode of a pipe, or of /dev/null, is not for a run to change."""
    os.mkfifo(path)
    path.chmod(0o644)
    with pytest.raises(StorageError):
        append(path, b"1\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


LONG = b'{"a":"' + b"x" * 65_527 + b'"}\n'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (HEAD + b"1\nx", HEAD + b"1\n"),
        (HEAD + b"1\n" + b"x" * 65_535, HEAD + b"1\n"),
        (HEAD + b"1\n" + b"x" * 200_000, HEAD + b"1\n"),
        (b"t", HEAD),
        (b"x" * 70_000, HEAD),
        (LONG, LONG),
        (LONG * 2, LONG * 2),
        (b"{}\n" * 50_000, b"{}\n" * 50_000),
    ],
    ids=["short", "block", "long", "torn head", "long head", "whole", "two whole", "many whole"],
)
def test_a_torn_last_line_is_cut(path: Path, content: bytes, kept: bytes) -> None:
    """What a crash left unfinished does not spoil the line after it, and no whole line is lost."""
    path.write_bytes(content)
    append(path, b"2\n")
    assert path.read_bytes() == kept + b"2\n"


# The disk


def test_sync_reaches_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the folder, as it has the name of a new file; then the file, if it has new lines."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    file = appended(path)
    file.open()
    file.open()
    assert synced == [path.parent.stat().st_ino]
    for _ in range(2):
        file.write(b"1\n")
        assert path.read_bytes().endswith(b"\n1\n")  # Not in a buffer that a SIGKILL would lose.
        file.sync()
        file.sync()
    file.write(b"2\n")
    file.close()
    assert synced[1:] == [path.stat().st_ino] * 3
    assert path.read_bytes() == b"head\n1\n1\n2\n"


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a few bytes at a time gets all of them."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:3]))
    append(path, b"a long line\n", b"2\n")
    assert path.read_bytes() == b"head\na long line\n2\n"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The message names setting, file and reason; the part of a line that fitted is removed."""
    file = appended(path)
    file.write(b"1\n")
    real, room = os.write, [20, 0]

    def write(descriptor: int, data: bytes) -> int:
        left = room.pop(0)
        return real(descriptor, bytes(data)[:left]) if left else no_space()

    with monkeypatch.context() as patched:
        patched.setattr(os, call, write if call == "write" else no_space)
        with pytest.raises(StorageError) as raised:
            file.write(b"x" * 50 + b"\n") if call == "write" else file.sync()
    assert str(raised.value) == f"some_path '{path}' cannot be written: No space left on device"
    file.write(b"2\n")
    file.close()
    assert path.read_bytes() == b"head\n1\n2\n"


@pytest.mark.parametrize("place", ["missing/lines", "", "lines\x00", "x" * 300])
def test_a_path_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """A missing folder, a folder and an impossible name each give one readable line."""
    file = AppendedFile("some_path", os.path.join(tmp_path, place), HEAD, repeat_head=False)  # noqa: PTH118 (Path drops the slash)
    with pytest.raises(StorageError) as raised:
        file.write(b"1\n")
    assert "some_path" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_run_waits_for_a_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    """Half a line of another run is not taken for a torn line, and nothing is written into it."""
    append(path, b"1\n")
    file = appended(path)
    if is_open:
        file.open()
    real, other = fcntl.flock, os.open(path, os.O_RDWR | os.O_APPEND)
    real(other, fcntl.LOCK_EX)
    os.write(other, b"half ")
    rest = [b"a line\n"]

    def flock(descriptor: int, operation: int) -> None:
        if rest:  # The run must wait until the other one has written the rest of its line.
            with pytest.raises(BlockingIOError):
                real(descriptor, operation | fcntl.LOCK_NB)
            os.write(other, rest.pop())
            os.close(other)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    file.write(b"2\n")
    file.close()
    assert path.read_bytes() == b"head\n1\nhalf a line\n2\n"


# Files that are replaced


@pytest.mark.usefixtures("no_umask")
def test_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, also one that a link leads to, keeps its mode; a new one is for its owner only."""
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "folder" / "real"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    files.replace_file("link", "new")
    files.replace_file("other", "ü\n")
    assert (tmp_path / "link").is_symlink()
    for path, text, mode in ((real, "new", 0o640), (tmp_path / "other", "ü\n", 0o600)):
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (text.encode(), mode)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["folder", "link", "other", "real"]


@pytest.mark.parametrize(
    ("text", "error"), [("new", OSError), ("\ud800", UnicodeEncodeError)], ids=["rename", "text"]
)
def test_a_failing_replace(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: type[Exception]
) -> None:
    """The failure is raised, the old text stays, and no scratch file is left."""
    path.write_text("old")
    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(error):
        files.replace_file(str(path), text)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_what_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is asked about the file, or about its folder, where a link leads; none is made."""
    (tmp_path / "closed").mkdir()
    writable = ["file", "closed/file", "new", "out"]
    for name in writable[:2]:
        (tmp_path / name).touch()
    for name, place in (("in", "closed/new"), ("out", "new"), ("lost", "nowhere/new")):
        (tmp_path / name).symlink_to(tmp_path / place)
    before = sorted(tmp_path.rglob("*"))
    asked = []

    def access(path: str, mode: int) -> bool:
        asked.append(mode)
        return os.path.exists(path) and not path.endswith("closed")  # noqa: PTH110

    monkeypatch.setattr(os, "access", access)
    names = [*writable, "closed/new", "in", "lost", "closed", "."]
    assert [name for name in names if can_be_written(str(tmp_path / name))] == writable
    assert asked[:4] == [os.R_OK | os.W_OK] * 2 + [os.W_OK | os.X_OK] * 2
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not can_be_written(str(tmp_path / "file"))
