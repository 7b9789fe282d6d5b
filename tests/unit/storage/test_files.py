"""Files of a run: lines of several runs stay whole, survive crashes, and are for their owner."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage import files
from target_liveintent.storage.files import AppendedFile, can_be_written

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"head\n"
TIMEOUT = 10.0
"""Seconds after which a test stops to wait for a thread that should have gone on."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "lines"


def appended(path: Path, *, repeat_head: bool = False) -> AppendedFile:
    return AppendedFile("some_path", str(path), HEAD, repeat_head=repeat_head)


def append(path: Path, *lines: bytes, repeat_head: bool = False) -> None:
    file = appended(path, repeat_head=repeat_head)
    for line in lines:
        file.write(line)
    file.close()


def no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


# Lines


@pytest.mark.parametrize(
    ("repeat_head", "expected"),
    [(False, b"head\n1\n2\n3\n"), (True, b"head\n1\nhead\n2\n3\n")],
)
def test_runs_append(path: Path, repeat_head: bool, expected: bytes) -> None:
    """A later run keeps the lines of earlier runs; its own head is before its lines if wanted."""
    append(path, b"1\n", repeat_head=repeat_head)
    append(path, b"2\n", b"3\n", repeat_head=repeat_head)
    assert path.read_bytes() == expected


def test_open_writes_the_head_once(path: Path) -> None:
    """A file that is opened twice in a run has one head."""
    file = appended(path, repeat_head=True)
    file.open()
    file.open()
    file.close()
    assert path.read_bytes() == HEAD


def test_nothing_is_written_without_a_line(path: Path) -> None:
    """To sync and to close creates no file."""
    file = appended(path)
    file.sync()
    file.close()
    assert not path.exists()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it(path: Path, mask: int) -> None:
    """The mode is 0600 under every umask."""
    before = os.umask(mask)
    try:
        append(path, b"1\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_regular_file_keeps_its_mode(path: Path) -> None:
    """The mode of a pipe, or of /dev/null, is not for a run to change."""
    os.mkfifo(path)
    path.chmod(0o644)
    with pytest.raises(StorageError):
        append(path, b"1\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "torn", [b"x", b'{"type":"RECORD","record":{"event_id":"', b"x" * 65_535, b"x" * 200_000]
)
def test_a_torn_last_line_is_cut(path: Path, torn: bytes) -> None:
    """What a crash left unfinished does not spoil the line after it, and no whole line is lost."""
    append(path, b"1\n")
    with path.open("ab") as file:
        file.write(torn)
    append(path, b"2\n")
    assert path.read_bytes() == b"head\n1\n2\n"


@pytest.mark.parametrize("content", [b"t", b"torn", b"x" * 70_000])
def test_a_file_of_one_torn_line_is_emptied(path: Path, content: bytes) -> None:
    """A crash in the middle of the head leaves a file that begins anew."""
    path.write_bytes(content)
    append(path, b"1\n")
    assert path.read_bytes() == b"head\n1\n"


def test_nothing_whole_is_cut(path: Path) -> None:
    """A file that ends with a line end keeps every byte, at any length."""
    whole = b'{"a":"' + b"x" * 65_527 + b'"}\n'
    for content in (whole, whole * 2, b"{}\n" * 50_000):
        path.write_bytes(content)
        append(path, b"1\n")
        assert path.read_bytes() == content + b"1\n"


# The disk


def test_sync_reaches_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sync after a line calls fsync on the file; without a new line it does not."""
    synced: list[bool] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(stat.S_ISREG(os.fstat(file).st_mode))

    monkeypatch.setattr(os, "fsync", fsync)
    file = appended(path)
    file.write(b"1\n")
    synced.clear()
    file.sync()
    assert synced == [True]
    file.sync()
    assert synced == [True]
    file.write(b"2\n")
    file.close()
    assert synced == [True, True]


def test_a_new_file_survives_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is synced when a file is opened, as the file's name is in the folder."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    file = appended(path)
    file.open()
    assert synced == [path.parent.stat().st_ino]
    file.close()


def test_a_line_is_in_the_file_at_once(path: Path) -> None:
    """A line is written through, and not kept in a buffer that a SIGKILL would lose."""
    file = appended(path)
    file.write(b"1\n")
    assert path.read_bytes() == b"head\n1\n"
    file.close()


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a few bytes at a time gets all of them."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:3]))
    append(path, b"a long line\n", b"2\n")
    assert path.read_bytes() == b"head\na long line\n2\n"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The message names the setting, the file and the reason."""
    file = appended(path)
    file.write(b"1\n")

    def write_and_sync() -> None:
        file.write(b"2\n")
        file.sync()

    monkeypatch.setattr(os, call, no_space)
    with pytest.raises(StorageError, match=r"some_path '.*lines' cannot be written: No space left"):
        write_and_sync()
    monkeypatch.undo()
    file.close()


def test_a_disk_that_fills_within_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of a line that fitted is removed, so that the next line stands alone."""
    file = appended(path)
    file.write(b"1\n")
    real = os.write
    room = [20, 0]

    def write(descriptor: int, data: bytes) -> int:
        left = room.pop(0)
        return real(descriptor, bytes(data)[:left]) if left else no_space()

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError):
        file.write(b"x" * 50 + b"\n")
    monkeypatch.undo()
    file.write(b"3\n")
    file.close()
    assert path.read_bytes() == b"head\n1\n3\n"


@pytest.mark.parametrize("place", ["missing/lines", "", "lines\x00", "x" * 300])
def test_a_path_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """A missing folder, a folder and an impossible name each give one readable line."""
    file = AppendedFile("some_path", os.path.join(tmp_path, place), HEAD, repeat_head=False)  # noqa: PTH118 (Path drops the slash)
    with pytest.raises(StorageError) as raised:
        file.write(b"1\n")
    assert "some_path" in str(raised.value)
    assert "\n" not in str(raised.value)


# Several runs


def test_a_run_that_opens_the_file_waits_for_a_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line of another run is not taken for a torn line, and nothing is written into it."""
    writer_stopped, go_on, other_came_far = (threading.Event() for _ in range(3))
    real_write, real_flock = os.write, fcntl.flock
    long_line = b"a line of seven bytes and more\n"

    def write(file: int, data: bytes) -> int:
        if data != long_line:
            return real_write(file, data)
        written = real_write(file, data[:7])
        writer_stopped.set()
        assert go_on.wait(TIMEOUT)
        return written

    def flock(file: int, operation: int) -> None:
        if threading.current_thread() is other:
            try:
                real_flock(file, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                other_came_far.set()  # It waits for the lock.
            else:
                return
        real_flock(file, operation)

    def open_and_append() -> None:
        append(path, b"other\n")
        other_came_far.set()  # Nothing made it wait.

    first = appended(path)
    first.open()
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(fcntl, "flock", flock)
    writer = threading.Thread(target=first.write, args=(long_line,))
    other = threading.Thread(target=open_and_append)
    writer.start()
    assert writer_stopped.wait(TIMEOUT)
    other.start()
    assert other_came_far.wait(TIMEOUT)
    go_on.set()
    for thread in (writer, other):
        thread.join(TIMEOUT)
    first.close()
    assert path.read_bytes() == HEAD + long_line + b"other\n"


def test_two_runs_may_share_the_file(path: Path) -> None:
    """Lines of several writers do not mix."""

    def write(letter: bytes) -> None:
        append(path, *[letter * 3_000 + b"\n"] * 200)

    letters = [b"a", b"b", b"c", b"d"]
    threads = [threading.Thread(target=write, args=(letter,)) for letter in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head, *lines = path.read_bytes().splitlines(keepends=True)
    assert head == HEAD
    assert sorted(lines) == [letter * 3_000 + b"\n" for letter in letters for _ in range(200)]


# Files that are replaced


def test_replace(path: Path) -> None:
    """The new text takes the place of the old one, and nothing is left over."""
    path.write_text("a much longer old text")
    files.replace_file(str(path), "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_replaced_file_keeps_its_mode(path: Path, mask: int) -> None:
    """A new file is for its owner only; one whose mode somebody has changed keeps that."""
    before = os.umask(mask)
    try:
        files.replace_file(str(path), "old")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        files.replace_file(str(path), "new")
    finally:
        os.umask(before)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o644)


def test_replace_behind_a_link(path: Path, tmp_path: Path) -> None:
    """Where the path is a link, the file that it leads to is replaced, and keeps its mode."""
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "text").write_text("old")
    (folder / "text").chmod(0o640)
    path.symlink_to(folder / "text")
    files.replace_file(str(path), "new")
    assert path.is_symlink()
    assert ((folder / "text").read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert len(list(folder.iterdir())) == 1


def test_replace_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a folder is a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    files.replace_file("lines", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


@pytest.mark.parametrize("fails", ["the rename", "the text"])
def test_a_failing_replace(path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """The failure is raised, the old text stays, and no scratch file is left."""
    path.write_text("old")
    if fails == "the rename":
        monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError if fails == "the rename" else UnicodeEncodeError):
        files.replace_file(str(path), "new" if fails == "the rename" else "\ud800")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


# Whether a file can be written


def test_what_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is asked about the file, or about its folder, where a link leads; none is made."""
    (tmp_path / "closed").mkdir()
    for path in (tmp_path / "file", tmp_path / "closed" / "file"):
        path.touch()
    for name, place in (("in", "closed/new"), ("out", "new"), ("lost", "nowhere/new")):
        (tmp_path / name).symlink_to(tmp_path / place)
    before = sorted(tmp_path.rglob("*"))
    asked = []

    def access(path: str, mode: int) -> bool:
        asked.append(mode)
        return os.path.exists(path) and not path.endswith("closed")  # noqa: PTH110

    monkeypatch.setattr(os, "access", access)
    can = {path: can_be_written(str(tmp_path / path)) for path in ("file", "new", "out")}
    can["closed/file"] = can_be_written(str(tmp_path / "closed" / "file"))
    assert all(can.values()), can
    assert asked == [os.R_OK | os.W_OK, *[os.W_OK | os.X_OK] * 2, os.R_OK | os.W_OK]
    for path in ("closed/new", "in", "lost", "closed", "."):
        assert not can_be_written(str(tmp_path / path)), path
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not can_be_written(str(tmp_path / "file"))
