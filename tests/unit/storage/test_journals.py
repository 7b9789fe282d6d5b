"""The take-over of dead letters, and what is put back of them."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from replay_support import (
    SENT,
    killed_at,
    left,
    letter,
    others,
    records,
    replay,
    write,
)

from target_liveintent.errors import InputError, StorageError
from target_liveintent.storage import put_back
from target_liveintent.storage.dead_letters import HEAD, DeadLetterFile
from target_liveintent.storage.journals import Journal, TakenOver
from target_liveintent.storage.put_back import PutBackToFile
from target_liveintent.storage.replayed import Replayed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def test_what_was_to_be_put_back_goes_first(tmp_path: Path) -> None:
    """A replay of the file itself completes what that of another file has begun to put back."""
    to, other = tmp_path / "dead-letters", tmp_path / "again"
    for step in range(100):
        write(other, *map(str, range(10)))
        if not killed_at(step, other, to):
            break
        replay(to, to, "between")
        replay(other, to)
        replay(to, to, "last")
        assert left(tmp_path) == sorted(map(str, range(4, 10))), step
        to.unlink()
    assert others(tmp_path) == []


def test_two_replays_at_once(tmp_path: Path) -> None:
    """The second one is refused and changes nothing; another file may be replayed meanwhile."""
    path, other = tmp_path / "dead-letters", tmp_path / "again"
    for one in (path, other):
        write(one, "7")
    before = path.read_bytes()
    with TakenOver(str(path)).alone():
        with pytest.raises(StorageError, match=r"another replay of '.*dead-letters' is running"):
            replay(path, path)
        assert path.read_bytes() == before
        replay(other, path)
    replay(path, path)
    assert left(tmp_path) == ["7"]  # The two were equal.
    assert others(tmp_path) == []


def test_nothing_to_take(tmp_path: Path) -> None:
    """A path without a file has no letters, and no file is made."""
    replay(tmp_path / "dead-letters", tmp_path / "dead-letters")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What the link leads to is taken over, and made again."""
    (tmp_path / "real").mkdir()
    path = tmp_path / "dead-letters"
    path.symlink_to(tmp_path / "real" / "file")
    write(path, "1", "7")
    replay(path, path)
    assert path.is_symlink()
    assert left(tmp_path) == ["7"]
    assert [one.name for one in (tmp_path / "real").iterdir()] == ["file"]


def test_the_order_and_the_bytes_stay(tmp_path: Path) -> None:
    """What a replay does not touch is as it was, byte by byte, with the mode of a new file."""
    path = tmp_path / "dead-letters"
    odd = b'{ "type": "RECORD", "stream": "liveintent_dead_letters", "record": {"event_id": "x"} }'
    path.write_bytes(HEAD + letter("9") + b"\n" + odd + b"\n" + HEAD + letter("7").rstrip(b"\n"))
    replay(path, path)
    assert path.read_bytes() == HEAD + letter("9") + odd + b"\n" + letter("7")


def test_equal_letters_are_left_once(tmp_path: Path) -> None:
    """Copies in the file, or of what the file has already, are not letters of their own."""
    path, to = tmp_path / "again", tmp_path / "dead-letters"
    write(path, "7", "8", "7")
    write(to, "8", "9")
    replay(path, to)
    assert left(tmp_path) == ["7", "8", "9"]


def test_many_letters(tmp_path: Path) -> None:
    """Those that are compared at once are a part of many."""
    path = tmp_path / "dead-letters"
    path.write_bytes(HEAD + b"".join(letter(str(n)) for n in range(45_000)))
    replay(path, path)
    assert len(records(path)) == 45_000 - len(SENT)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]\n", b'{"type":"RECORD","stream":"orders","record":{}}', b'{"type":"STATE"}'],
)
def test_other_files_are_refused(tmp_path: Path, line: bytes) -> None:
    """The line is named, its text is not, and the file stays as it is."""
    path = tmp_path / "again"
    content = HEAD + letter("1") + line.rstrip(b"\n") + b"\n"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"line 3 of '.*again' is not a dead letter"):
        replay(path, path)
    assert path.read_bytes() == content
    assert others(tmp_path) == ["again"]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="it is not an ordinary file"):
            replay(path, path)


def test_what_cannot_be_put_back(tmp_path: Path) -> None:
    """The journal stays until it is possible; the message says where the letters are."""
    path = tmp_path / "again"
    write(path, "7")
    with pytest.raises(StorageError) as raised:
        replay(path, tmp_path / "nowhere" / "dead-letters")
    assert "nowhere" in str(raised.value)
    replay(path, tmp_path / "dead-letters")
    assert left(tmp_path) == ["7"]
    assert others(tmp_path) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not whole is removed; the journal stays, and the next replay goes on with it."""
    path = tmp_path / "dead-letters"
    write(path, "1", "7")
    real = os.fsync

    def full(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".rest.new"):  # noqa: PTH115
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"dead_letter_path .* No space left on device"):
        replay(path, path)
    assert {one.rpartition(".")[2] for one in others(tmp_path)} == {"journal", "notes"}
    monkeypatch.undo()
    replay(path, path, "2")
    assert (left(tmp_path), others(tmp_path)) == (["7"], [])


def test_a_part_can_be_left_again(tmp_path: Path) -> None:
    """The second time, everything is there already."""
    path = tmp_path / "dead-letters"
    write(path, "7", "8")
    letters = TakenOver(str(path))
    with letters.alone():
        (part,) = letters.take("1")
        assert isinstance(part, Journal)
        for _ in range(2):
            part.leave([letter("8")])
    assert left(tmp_path) == ["8"]


def test_two_replays_complete_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds nothing to do, also where the letters have been taken away since."""
    path, to = tmp_path / "again", tmp_path / "dead-letters"
    write(path, "7")
    for step in range(100):
        assert killed_at(step, path, to)
        if PutBackToFile(str(to)).rests:
            break

    class Slow(DeadLetterFile):
        def in_place(self) -> AbstractContextManager[int]:
            with monkeypatch.context() as patched:
                patched.setattr(put_back, "DeadLetterFile", DeadLetterFile)
                PutBackToFile(str(to)).complete()
            assert left(tmp_path) == ["7"]
            to.unlink()
            return super().in_place()

    monkeypatch.setattr(put_back, "DeadLetterFile", Slow)
    PutBackToFile(str(to)).complete()
    assert left(tmp_path) == []
    monkeypatch.undo()
    replay(path, to)
    assert left(tmp_path) == []
    assert others(tmp_path) == []


def test_what_was_to_be_put_back_is_replayed_to_another_file(tmp_path: Path) -> None:
    """It is put back first, where it belongs, and taken over from there."""
    path, to, other = tmp_path / "again", tmp_path / "dead-letters", tmp_path / "dead-letters-2"
    write(path, "7", "8")
    for step in range(100):
        assert killed_at(step, path, to)
        if PutBackToFile(str(to)).rests:
            break
    assert replay(to, other, "2", {"7"}) == ["7"]
    assert (left(tmp_path), [x["event_id"] for x in records(other)]) == (["8"], ["8"])
    replay(path, to, "3")
    assert (left(tmp_path), others(tmp_path)) == (["8"], [])


@pytest.mark.parametrize("torn", [b"", b"9", b'9 {"type":"REC', b"99\n"])
def test_a_repetition_goes_on_with_the_notes(tmp_path: Path, torn: bytes) -> None:
    """What was settled is not read again; of what was replaced, the new letter is."""
    path = tmp_path / "dead-letters"
    write(path, *map(str, range(10)))
    killed = Replayed()
    letters = TakenOver(str(path))
    with letters.alone():
        for line in killed.read(letters.take("1")):
            number = killed.current
            assert number is not None
            if b'"3"' in line:
                killed.settle([number, 1, None])
            elif b'"5"' in line:
                killed.replace(number, letter("5", reason="new"))
                break
        killed.release()  # It is killed here.
    (notes,) = tmp_path.glob("*.notes")
    with notes.open("ab") as file:
        file.write(torn)
    again = Replayed()
    with letters.alone():
        read = [json.loads(line)["record"] for line in again.read(letters.take("2"))]
        assert [x["event_id"] for x in read] == ["0", "2", "4", "5", "6", "7", "8", "9"]
        assert [x.get("reason") for x in read] == [None, None, None, "new", *[None] * 4]
        assert (again.settled_before, again.count) == (2, 10)
        again.replace(4, letter("4", reason="newer"))
        again.close()
        again.release()
    assert left(tmp_path) == ["0", "2", "4", "5", "6", "7", "8", "9"]
    assert {x["event_id"]: x.get("reason") for x in records(path)}["5"] == "new"
    assert others(tmp_path) == []


def test_a_replay_that_fails_before_it_reads(tmp_path: Path) -> None:
    """It puts back what an interrupted one has left, without what that one has settled."""
    path = tmp_path / "dead-letters"
    write(path, "7", "8", "9")
    letters = TakenOver(str(path))
    for settles in (True, False):
        replayed = Replayed()
        with letters.alone():
            lines = replayed.read(letters.take(str(settles)))
            if settles:
                next(lines)
                replayed.settle([0])
            else:
                replayed.close()
            replayed.release()
    assert left(tmp_path) == ["8", "9"]
    assert others(tmp_path) == []


@pytest.mark.parametrize("mode", [0o664, 0o600])
def test_the_new_file_has_the_rights_of_the_old_one(tmp_path: Path, mode: int) -> None:
    """Whoever could write into the dead letters before a replay can do so after it."""
    path = tmp_path / "dead-letters.singer"
    file = DeadLetterFile(str(path))
    file.write(b'{"a":1}\n')
    file.close()
    path.chmod(mode)
    (part,) = TakenOver(str(path)).take("run-2")
    assert not path.exists()
    part.leave([b'{"a":1}\n'])
    assert stat.S_IMODE(path.stat().st_mode) == mode
