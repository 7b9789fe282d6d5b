"""The take-over of dead letters, and what is put back of them."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from replay_support import left, letter, others, records, replay, write

from target_liveintent.errors import InputError, StorageError
from target_liveintent.storage import dead_letters
from target_liveintent.storage.dead_letters import HEAD
from target_liveintent.storage.journals import TakenOver
from target_liveintent.storage.replay_notes import NotesInFile
from target_liveintent.storage.replayed import Replayed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letters"


def test_two_replays_at_once(path: Path, tmp_path: Path) -> None:
    """The second one is refused and changes nothing; another file may be replayed meanwhile."""
    other = tmp_path / "again"
    for one in (path, other):
        write(one, "7")
    before = path.read_bytes()
    with TakenOver(str(path)).alone():
        with pytest.raises(StorageError, match=r"another replay of '.*dead-letters' is running"):
            replay(path, path)
        assert path.read_bytes() == before
        replay(other, path)
    replay(path, path)
    assert (left(tmp_path), others(tmp_path)) == (["7"], [])  # The two were equal.


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """What the link leads to is taken over, and made again."""
    (tmp_path / "real").mkdir()
    path.symlink_to(tmp_path / "real" / "file")
    write(path, "1", "7")
    replay(path, path)
    assert path.is_symlink()
    assert left(tmp_path) == ["7"]
    assert [one.name for one in (tmp_path / "real").iterdir()] == ["file"]


def test_the_order_and_the_bytes_stay(path: Path) -> None:
    """What a replay does not touch is as it was, byte by byte."""
    odd = b'{ "type": "RECORD", "stream": "liveintent_dead_letters", "record": {"event_id": "x"} }'
    path.write_bytes(HEAD + letter("9") + b"\n" + odd + b"\n" + HEAD + letter("7").rstrip(b"\n"))
    replay(path, path)
    assert path.read_bytes() == HEAD + letter("9") + odd + b"\n" + letter("7")


def test_equal_letters_are_left_once(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies in the file, or of what the file has already, are not letters of their own.

    Those that are compared at once are a part of many.
    """
    monkeypatch.setattr(dead_letters, "_LINES_AT_ONCE", 2)
    write(tmp_path / "again", "7", "8", "7", "5", "6")
    write(path, "8", "9")
    replay(tmp_path / "again", path)
    assert left(tmp_path) == ["5", "6", "7", "8", "9"]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]\n", b'{"type":"RECORD","stream":"orders","record":{}}', b'{"type":"STATE"}'],
)
def test_other_files_are_refused(path: Path, tmp_path: Path, line: bytes) -> None:
    """The line is named, its text is not, and the file stays as it is."""
    content = HEAD + letter("1") + line.rstrip(b"\n") + b"\n"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"line 3 of '.*dead-letters' is not a dead letter"):
        replay(path, path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="it is not an ordinary file"):
            replay(path, path)


def test_what_cannot_be_put_back(path: Path, tmp_path: Path) -> None:
    """The journal stays until it is possible; the message says where the letters are."""
    write(tmp_path / "again", "7")
    with pytest.raises(StorageError, match="nowhere"):
        replay(tmp_path / "again", tmp_path / "nowhere" / "dead-letters")
    replay(tmp_path / "again", path)
    assert (left(tmp_path), others(tmp_path)) == (["7"], [])


@pytest.mark.parametrize("mode", [0o664, 0o600])
def test_the_new_file(path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """It has the mode of the old one; what is written into either of them reaches the disk."""
    write(path, "1", "7")
    path.chmod(mode)
    old, synced = path.stat(), set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    replay(path, path)
    new = path.stat()
    assert (stat.S_IMODE(new.st_mode), new.st_ino != old.st_ino) == (mode, True)
    assert {old.st_ino, new.st_ino} <= synced


def test_a_repetition_goes_on_with_the_notes(path: Path, tmp_path: Path) -> None:
    """What was settled is not read again; of what was replaced, the new letter is."""
    write(path, *map(str, range(10)))
    letters = TakenOver(str(path))
    killed, again = Replayed(), Replayed()
    for line in killed.read(letters.take("1")):
        number = killed.current
        assert number is not None
        if b'"3"' in line:
            killed.settle([number, 1, None])
        elif b'"5"' in line:
            killed.replace(number, letter("5", reason="new"))
            break
    killed.release()  # It is killed here.
    read = [json.loads(line)["record"] for line in again.read(letters.take("2"))]
    reasons = {x["event_id"]: x.get("reason") for x in read}
    assert reasons == {**dict.fromkeys("0246789"), "5": "new"}
    assert (again.settled_before, again.count) == (2, 10)
    again.replace(4, letter("4", reason="newer"))
    again.close()
    again.release()
    assert {x["event_id"]: x.get("reason") for x in records(path)} == {**reasons, "4": "newer"}
    assert others(tmp_path) == []


def test_a_repetition_knows_which_letters_of_a_later_file_were_settled(path: Path) -> None:
    """The letters of an interrupted replay come first, and those of a newer file after them."""
    letters = TakenOver(str(path))
    write(path, "0", "1", "2")
    first, second, third = Replayed(), Replayed(), Replayed()
    next(first.read(letters.take("1")))
    first.release()
    write(path, "3", "4")
    ids = [json.loads(line)["record"]["event_id"] for line in second.read(letters.take("2"))]
    assert ids == list("01234")
    second.settle([3])
    second.release()
    left_to_send = [json.loads(line)["record"] for line in third.read(letters.take("3"))]
    assert [record["event_id"] for record in left_to_send] == list("0124")
    third.close()
    third.release()


def test_a_replay_that_fails_before_it_reads(path: Path, tmp_path: Path) -> None:
    """It puts back what an interrupted one has left, without what that one has settled."""
    write(path, "7", "8", "9")
    letters = TakenOver(str(path))
    killed, failed = Replayed(), Replayed()
    next(killed.read(letters.take("1")))
    killed.settle([0])
    killed.release()
    failed.read(letters.take("2"))
    failed.close()
    failed.release()
    assert (left(tmp_path), others(tmp_path)) == (["8", "9"], [])


@pytest.mark.parametrize(
    "bad",
    [
        b'9 {"type":"REC',
        b"\n",
        bytes(4096) + b"\n",
        b"9 \xff\xfe\n",
        "²\n".encode(),
        b"-1\n",
        b"9" * 5_000 + b"\n",
        b"9 0\n",
        b'9 {"type":"RECORD","stream":"orders","record":{}}\n',
        b"9 " + letter("9")[:-8] + b"\n",
    ],
)
def test_bad_bytes_in_the_notes(tmp_path: Path, bad: bytes) -> None:
    """What stands before them counts; they, and what follows, are cut off and noted again."""
    path = tmp_path / "notes"
    notes = NotesInFile(str(path))
    notes.settle([1, 3])
    notes.replace(2, letter("new"))
    notes.close()
    whole = path.read_bytes()
    path.write_bytes(whole + bad + b"5\n" * bad.endswith(b"\n"))
    again = NotesInFile(str(path))
    assert again.settled == {1, 3}
    assert again.as_noted(2, letter("old")) == letter("new")
    assert again.as_noted(9, letter("old")) == letter("old")
    again.settle([4])
    again.replace(5, letter("newer"))
    assert list(again.new_letters()) == [letter("newer")]
    again.close()
    assert path.read_bytes() == whole + b"4\n5 " + letter("newer")
