"""Reading of dead letters: a file or a folder, whatever is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage import letter_reading
from target_liveintent.storage.letter_reading import letter_files, letter_lines

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> list[tuple[int, bytes, bool]]:
    return [(one.number, one.text, one.is_whole) for one in letter_lines([str(path)])]


def test_a_file(tmp_path: Path) -> None:
    """A file is itself, whatever its name is."""
    path = tmp_path / "letters"
    path.write_bytes(b"1\n2\n")
    assert letter_files(str(path)) == [str(path)]
    assert read(path) == [(1, b"1\n", True), (2, b"2\n", True)]


def test_nothing(tmp_path: Path) -> None:
    """Nothing at all is no error, nor is a folder without files."""
    assert letter_files(str(tmp_path / "nothing" / "there")) == []
    assert letter_files(str(tmp_path)) == []


def test_a_folder(tmp_path: Path) -> None:
    """Only the files `*.singer` directly in a folder are dead letters, in the order of names."""
    names = [f"{number}.singer" for number in (5, 3, 8, 1, 9, 2, 7)]
    for name in (*names, "1.txt", ".hidden.singer"):
        (tmp_path / name).write_bytes(b"")
    pending = tmp_path / "_pending"
    pending.mkdir()
    (pending / "c.singer").write_bytes(b"")
    (tmp_path / "folder.singer").mkdir()
    assert letter_files(str(tmp_path)) == [str(tmp_path / name) for name in sorted(names)]


def test_a_line_without_an_end(tmp_path: Path) -> None:
    """A last line without an end is marked."""
    path = tmp_path / "torn.singer"
    path.write_bytes(b"1\n{")
    assert read(path) == [(1, b"1\n", True), (2, b"{", False)]


def test_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line that would fill the memory only the beginning is kept, and the next one follows."""
    monkeypatch.setattr(letter_reading, "_LONGEST_LINE", 4)
    path = tmp_path / "long.singer"
    path.write_bytes(b"123456789\nabcd\n123\nabcdefgh")
    assert read(path) == [
        (1, b"1234", True),
        (2, b"abcd", True),
        (3, b"123\n", True),
        (4, b"abcd", False),
    ]


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    """A file that a replay has taken since has no lines."""
    path = tmp_path / "there.singer"
    path.write_bytes(b"1\n")
    lines = [one.text for one in letter_lines([str(tmp_path / "gone.singer"), str(path)])]
    assert lines == [b"1\n"]


def test_a_device() -> None:
    """Neither a file nor a folder, such as a device without an end, is not read."""
    with pytest.raises(StorageError, match="'/dev/zero' cannot be read: the path is neither a"):
        letter_files("/dev/zero")


def test_what_is_no_path() -> None:
    """A path that none can be is named as such."""
    with pytest.raises(
        StorageError, match=r"cannot be read: (stat: )?embedded null (byte|character in path)$"
    ):
        letter_files("a\0b")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """The message names the path and the reason."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be read: Not a directory"):
        letter_files(str(path / "below"))
    with pytest.raises(StorageError, match=r"letters in '.*' cannot be read: Is a directory"):
        list(letter_lines([str(tmp_path)]))
