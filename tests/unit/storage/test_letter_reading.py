"""Reading of dead letters: a file or a folder, whatever is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage import letter_reading
from target_liveintent.storage.letter_reading import letter_files, letter_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder(tmp_path: Path) -> None:
    """Only the files `*.singer` directly in a folder are dead letters, in the order of names."""
    assert letter_files(str(tmp_path)) == letter_files(str(tmp_path / "nothing" / "there")) == []
    names = [f"{number}.singer" for number in (5, 3, 8, 1, 9, 2, 7)]
    for name in (*names, "1.txt", ".hidden.singer"):
        (tmp_path / name).touch()
    for name in ("_pending", "folder.singer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.singer").touch()
    assert letter_files(str(tmp_path)) == [str(tmp_path / name) for name in sorted(names)]


def test_the_lines_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line that would fill the memory only the beginning is kept, and the next one follows.

    A file is itself, whatever its name is; one that a replay has taken since has no lines. A last
    line without an end is marked.
    """
    monkeypatch.setattr(letter_reading, "_LONGEST_LINE", 4)
    path = tmp_path / "letters"
    path.write_bytes(b"123456789\nabcd\n123\nabcdefgh")
    (tmp_path / "torn").write_bytes(b"1\n{")
    assert letter_files(str(path)) == [str(path)]
    lines = letter_lines([str(tmp_path / name) for name in ("letters", "gone", "torn")])
    assert [one[1:] for one in lines] == [
        (1, b"1234", True),
        (2, b"abcd", True),
        (3, b"123\n", True),
        (4, b"abcd", False),
        (1, b"1\n", True),
        (2, b"{", False),
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/zero", "'/dev/zero' cannot be read: the path is neither a file nor a folder"),
        ("a\0b", r"cannot be read: (stat: )?embedded null (byte|character in path)$"),
        ("/dev/null/below", "cannot be read: Not a directory"),
    ],
)
def test_what_cannot_be_read(path: str, words: str) -> None:
    """A device without an end is not read; the message names the path and the reason."""
    with pytest.raises(StorageError, match=words):
        letter_files(path)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"letters in '.*' cannot be read: Is a directory"):
        list(letter_lines([str(tmp_path)]))
