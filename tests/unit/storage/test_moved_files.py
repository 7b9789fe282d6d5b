"""A file that people move, replace or delete while a run goes on: no line is lost with it."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest
from replay_support import letter, records

from target_liveintent.errors import StorageError
from target_liveintent.storage.dead_letters import HEAD, LAST_LINE, DeadLetterFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def away(tmp_path: Path) -> Path:
    return tmp_path / "away"


def opened(path: Path, *names: str) -> DeadLetterFile:
    """Write dead letters as a run that goes on."""
    file = DeadLetterFile(str(path))
    for name in names:
        file.write(letter(name))
    return file


def ids(path: Path) -> str:
    """Return the IDs of the dead letters in a file."""
    return " ".join(record["event_id"] for record in records(path))


def happen(path: Path, away: Path, what: str) -> None:
    """Do to a file what people do, or other processes."""
    if what == "delete":
        path.unlink()
    elif what in {"move", "replace"}:
        path.rename(away)
        if what == "replace":
            path.write_bytes(HEAD + letter("new"))
    elif what == "edit":
        shutil.copy(path, away)
        away.replace(path)
    else:
        with path.open("ab") as other:
            other.write({"mark": LAST_LINE, "tear": b'{"type":"REC'}[what])


@pytest.mark.parametrize(
    ("steps", "kept", "left"),
    [
        # Lines that a STATE covers are whoever's who moved them; the others come again.
        ("1 sync cover 2 3 delete 4", "2 3 4", None),
        ("1 sync cover 2 3 move 4", "2 3 4", "1 2 3"),
        ("1 sync cover 2 3 replace 4", "new 2 3 4", "1 2 3"),
        ("1 sync cover 2 3 replace sync", "new 2 3", "1 2 3"),
        ("1 sync cover 2 3 replace close", "new 2 3", "1 2 3"),
        # The lines follow the path as long as no STATE covers them.
        ("1 move 2 move 3 move", "1 2 3", "1 2 3"),
        # What an editor has saved has the lines already; they do not come twice.
        ("1 2 edit 3", "1 2 3", None),
        # What a replay has taken over is in safe hands.
        ("1 mark move sync close 2", "2", "1"),
        # If the replay was killed before it renamed the file, the mark means nothing.
        ("1 mark 2 move", "1 2", "1 2"),
        # A line that another process left unfinished does not swallow the next one of this run.
        ("1 tear 2", "1 2", None),
    ],
)
def test_what_becomes_of_the_lines(
    path: Path, away: Path, steps: str, kept: str, left: str | None
) -> None:
    """While a run writes dead letters, people or other processes do something to its file."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    file = opened(path)
    for step in steps.split():
        if step.isdigit():
            file.write(letter(step))
        elif step in {"sync", "cover", "close"}:
            getattr(file, step)()
        else:
            happen(path, away, step)
    file.close()
    assert path.read_bytes().startswith(HEAD)
    assert (ids(path), ids(away) if away.exists() else None) == (kept, left)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_lines_of_several_runs(path: Path, away: Path) -> None:
    """Each run saves its own lines, wherever they are in the file."""
    files = [opened(path) for _ in range(2)]
    for number in range(10):
        files[number % 2].write(letter(str(number)))
        if number == 5:
            files[0].cover()
    path.rename(away)
    for file in files:
        file.close()
    assert ids(path) == "6 8 1 3 5 7 9"


def test_the_folder_is_gone(path: Path) -> None:
    """The run fails, as it cannot save its lines; nothing is said to be on the disk."""
    folder = path.parent / "folder"
    folder.mkdir()
    file = opened(folder / "dead-letters", "1")
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match=r"dead_letter_path .* cannot be written: No such file"):
        file.sync()


def test_a_file_that_was_emptied(path: Path) -> None:
    """Lines that were cut off and that no STATE covers are lost, so the run fails."""
    file = opened(path, "1")
    path.write_bytes(b"")
    with pytest.raises(StorageError, match="the file was emptied or shortened"):
        file.sync()
    covered = opened(path, "1")
    covered.cover()
    path.write_bytes(b"")
    covered.write(letter("2"))
    covered.close()
    assert ids(path) == "2"


@pytest.mark.usefixtures("no_umask")
@pytest.mark.parametrize("way", ["new", "old", "symlink", "dangling"])
def test_only_a_new_file_gets_its_mode(path: Path, tmp_path: Path, way: str) -> None:
    """Only its owner can read it; a file that is there keeps its mode, also behind a link."""
    real = tmp_path / "real" if way in {"symlink", "dangling"} else path
    if way in {"old", "symlink"}:
        real.touch()
        real.chmod(0o664)
    if real != path:
        path.symlink_to(real)
    opened(path, "1").close()
    assert stat.S_IMODE(path.stat().st_mode) == (0o664 if way in {"old", "symlink"} else 0o600)
    assert path.is_symlink() == (real != path)


def test_a_last_line_without_a_line_end(path: Path) -> None:
    """An editor has not ended a whole line: it stays; what a crash tore does not."""
    whole = letter("1").rstrip(b"\n")
    for text, kept in ((whole, "1 2"), (whole[:-1], "2")):
        path.write_bytes(HEAD + text)
        opened(path, "2").close()
        assert ids(path) == kept
