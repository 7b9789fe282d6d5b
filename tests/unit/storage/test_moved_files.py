"""A file that people move, replace or delete while a run goes on: no line is lost with it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage.dead_letters import HEAD, LAST_LINE, DeadLetterFile
from target_liveintent.storage.files import AppendedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def line(number: int) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"event_id": number}}).encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letters"


@pytest.fixture
def away(tmp_path: Path) -> Path:
    return tmp_path / "away"


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a dead-letter file without SCHEMA lines."""
    return [one for one in path.read_bytes().splitlines(keepends=True) if b"SCHEMA" not in one]


def delete(path: Path, _away: Path) -> None:
    path.unlink()


def move(path: Path, away: Path) -> None:
    path.rename(away)


def move_and_make(path: Path, away: Path) -> None:
    path.rename(away)
    path.write_bytes(HEAD + line(100))


WAYS = [delete, move, move_and_make]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["write", "sync", "close"])
def test_what_no_state_covers_goes_into_the_new_file(
    path: Path, away: Path, way: Callable[[Path, Path], None], then: str
) -> None:
    """Lines that a written STATE covers are whoever's who moved them; the others come again."""
    file = DeadLetterFile(str(path))
    file.write(line(1))
    file.sync()
    file.cover()
    for number in (2, 3):
        file.write(line(number))
    way(path, away)
    wanted = [2, 3]
    if then == "write":
        file.write(line(4))
        wanted.append(4)
    elif then == "sync":
        file.sync()
    file.close()
    others = [100] * (way is move_and_make)
    assert lines_of(path) == [line(number) for number in (*others, *wanted)]
    assert path.read_bytes().startswith(HEAD)
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600
    if way is not delete:
        assert lines_of(away) == [line(number) for number in (1, 2, 3)]


def test_lines_of_several_runs(path: Path, away: Path) -> None:
    """Each run saves its own lines, wherever they are in the file."""
    files = [DeadLetterFile(str(path)) for _ in range(2)]
    for number in range(10):
        files[number % 2].write(line(number))
        if number == 5:
            files[0].cover()
    move(path, away)
    for file in files:
        file.close()
    assert lines_of(path) == [line(number) for number in (6, 8, 1, 3, 5, 7, 9)]


def test_moved_again_and_again(path: Path, tmp_path: Path) -> None:
    """The lines follow the path as long as no STATE covers them."""
    file = DeadLetterFile(str(path))
    for number in range(5):
        file.write(line(number))
        path.rename(tmp_path / f"away-{number}")
    file.close()
    assert lines_of(path) == [line(number) for number in range(5)]


def test_a_copy_takes_the_place_of_the_file(path: Path) -> None:
    """What an editor has saved has the lines already; they do not come twice."""
    file = DeadLetterFile(str(path))
    for number in range(3):
        file.write(line(number))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)
    file.write(line(3))
    file.close()
    assert lines_of(path) == [line(number) for number in range(4)]


def test_a_replay_has_taken_the_file_over(path: Path, away: Path) -> None:
    """Then the lines are in safe hands: they are not written again, and are on the disk."""
    file = DeadLetterFile(str(path))
    file.write(line(1))
    with path.open("ab") as taken:
        taken.write(LAST_LINE)
    move(path, away)
    file.sync()
    file.close()
    assert not path.exists()
    file.write(line(2))
    file.close()
    assert lines_of(path) == [line(2)]


def test_the_file_of_a_take_over_that_was_killed(path: Path, away: Path) -> None:
    """The file has the mark, but is in its place: runs go on, and the mark means nothing then."""
    file = DeadLetterFile(str(path))
    file.write(line(1))
    with path.open("ab") as taken:
        taken.write(LAST_LINE)
    file.write(line(2))
    move(path, away)
    file.close()
    assert lines_of(path) == [line(1), line(2)]


def test_the_folder_is_gone(path: Path) -> None:
    """The run fails, as it cannot save its lines; nothing is said to be on the disk."""
    folder = path.parent / "folder"
    folder.mkdir()
    file = DeadLetterFile(str(folder / "dead-letters"))
    file.write(line(1))
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match=r"dead_letter_path .* cannot be written: No such file"):
        file.sync()


def test_a_file_that_was_emptied(path: Path) -> None:
    """Lines that were cut off and that no STATE covers are lost, so the run fails."""
    file = DeadLetterFile(str(path))
    file.write(line(1))
    path.write_bytes(b"")
    with pytest.raises(StorageError, match="the file was emptied or shortened"):
        file.sync()
    covered = DeadLetterFile(str(path))
    covered.write(line(1))
    covered.cover()
    path.write_bytes(b"")
    covered.write(line(2))
    covered.close()
    assert lines_of(path) == [line(2)]


def test_rows_follow_the_path(path: Path, away: Path) -> None:
    """Equal rows are rows of their own."""
    file = AppendedFile("delivered_path", str(path), b"head\n", repeat_head=False)
    file.write(b"1\n1\n")
    move(path, away)
    file.write(b"2\n")
    file.close()
    assert path.read_bytes() == b"head\n1\n1\n2\n"


@pytest.mark.parametrize("way", ["old", "symlink", "dangling"])
def test_only_a_new_file_gets_its_mode(path: Path, tmp_path: Path, way: str) -> None:
    """A file that is there keeps its mode, also behind a link."""
    real = tmp_path / "real"
    if way != "dangling":
        real.touch()
        real.chmod(0o664)
    if way == "old":
        real.rename(path)
    else:
        path.symlink_to(real)
    file = DeadLetterFile(str(path))
    file.write(line(1))
    file.close()
    assert stat.S_IMODE(path.stat().st_mode) == (0o600 if way == "dangling" else 0o664)
    assert path.is_symlink() == (way != "old")


def test_a_last_line_without_a_line_end(path: Path) -> None:
    """An editor has not ended a whole line: it stays; what a crash tore does not."""
    whole = line(1).rstrip(b"\n")
    for text, kept in ((whole, [line(1)]), (whole[:-1], [])):
        path.write_bytes(HEAD + text)
        file = DeadLetterFile(str(path))
        file.write(line(2))
        file.close()
        assert lines_of(path) == [*kept, line(2)]


def test_no_descriptor_is_left(path: Path, tmp_path: Path) -> None:
    """A file that was left is closed."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    file = DeadLetterFile(str(path))
    for number in range(5):
        file.write(line(number))
        path.rename(tmp_path / f"away-{number}")
    file.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_half_a_line_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """A line that another process left unfinished does not swallow the next one of this run."""
    path = tmp_path / "letters.singer"
    file = DeadLetterFile(str(path))
    file.write(b'{"a":1}\n')
    with path.open("ab") as other:
        other.write(b'{"type":"REC')
    file.write(b'{"b":2}\n')
    file.close()
    assert path.read_bytes().splitlines()[-2:] == [b'{"a":1}', b'{"b":2}']
