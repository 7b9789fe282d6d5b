"""The dead-letter file: whole lines, for its owner's eyes, on the disk, never its own input."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import sha256

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS, Rejection
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.reasons import REASONS
from target_liveintent.storage.dead_letters import (
    DeadLetterFile,
    dead_letter_line,
    is_replayed,
    refuse_own_file,
)

if TYPE_CHECKING:
    from pathlib import Path


def _rejection(number: int = 1, **columns: Any) -> Rejection:
    return Rejection("orders", str(number), "no_identity", None, columns)


def _write(path: Path, *numbers: int) -> None:
    letters = DeadLetterFile(str(path))
    for number in numbers:
        letters.write(dead_letter_line(_rejection(number)))
    letters.close()


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _ids(path: Path) -> list[str]:
    return [m["record"]["event_id"] for m in _read(path) if m["type"] == "RECORD"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "letters.singer"


def test_a_clean_run_leaves_no_file(path: Path) -> None:
    """Without a letter there is nothing to look at."""
    letters = DeadLetterFile(str(path))
    letters.sync()
    letters.close()
    assert not path.exists()


def test_the_file_is_a_singer_stream(path: Path) -> None:
    """SCHEMA first, then RECORDs, whose members the SCHEMA names."""
    _write(path, 1, 2)
    schema, *records = _read(path)
    assert (schema["type"], schema["stream"]) == ("SCHEMA", DEAD_LETTERS)
    assert schema["key_properties"] == []
    names = set(schema["schema"]["properties"])
    assert names >= {field.name for field in FIELDS} - {"email"}
    assert "email" not in names
    for record in records:
        assert (record["type"], record["stream"]) == ("RECORD", DEAD_LETTERS)
        assert set(record["record"]) <= names
    assert _ids(path) == ["1", "2"]


def test_a_letter_says_what_and_why() -> None:
    """Reason, field, source stream, time and ID, beside the columns."""
    before = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    rejected = Rejection(
        "orders", "7", "invalid_source", "source", {"source": "pos"}, "see ann@example.com"
    )
    record = json.loads(dead_letter_line(rejected))["record"]
    time = dt.datetime.fromisoformat(record.pop("time"))
    assert before <= time <= dt.datetime.now(dt.timezone.utc)
    assert record == {
        "event_id": "7",
        "source": "pos",
        "reason": "invalid_source",
        "field": "source",
        "stream": "orders",
        "detail": f"see {sha256('ann@example.com')}",
    }


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it(path: Path, mask: int) -> None:
    """Mode 0600, whatever the umask."""
    before = os.umask(mask)
    try:
        _write(path, 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_runs_append(path: Path) -> None:
    """A later run leaves the letters of earlier ones."""
    _write(path, 1)
    _write(path, 2, 3)
    assert _ids(path) == ["1", "2", "3"]


@pytest.mark.parametrize("torn", [b"x", b'{"type":"RECORD","record":{"event_id":"', b"x" * 200_000])
def test_a_torn_last_line_is_cut(path: Path, torn: bytes) -> None:
    """What a crash left unfinished does not spoil the line after it."""
    _write(path, 1)
    with path.open("ab") as file:
        file.write(torn)
    _write(path, 2)
    assert _ids(path) == ["1", "2"]


@pytest.mark.parametrize("content", [b"torn", b"x" * 70_000])
def test_a_file_of_one_torn_line_is_emptied(path: Path, content: bytes) -> None:
    """Not even the SCHEMA got there."""
    path.write_bytes(content)
    _write(path, 1)
    assert _ids(path) == ["1"]


def test_nothing_whole_is_cut(path: Path) -> None:
    """A file that ends as it should keeps every byte, at any length."""
    whole = b'{"a":"' + b"x" * 65_527 + b'"}\n'
    for content in (whole, whole * 2, b"{}\n" * 50_000):
        path.write_bytes(content)
        _write(path, 1)
        assert path.read_bytes().startswith(content)


def test_sync_reaches_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sync after a letter calls fsync on the file; without a new one it does not."""
    synced: list[bool] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(stat.S_ISREG(os.fstat(file).st_mode))

    monkeypatch.setattr(os, "fsync", fsync)
    letters = DeadLetterFile(str(path))
    letters.write(dead_letter_line(_rejection()))
    synced.clear()
    letters.sync()
    assert synced == [True]
    letters.sync()
    assert synced == [True]
    letters.write(dead_letter_line(_rejection(2)))
    letters.close()
    assert synced == [True, True]


def test_a_letter_is_in_the_file_at_once(path: Path) -> None:
    """It is written through, not kept in a buffer that a SIGKILL would lose."""
    letters = DeadLetterFile(str(path))
    letters.write(dead_letter_line(_rejection(1)))
    assert _ids(path) == ["1"]
    letters.close()


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a few bytes at a time gets all of them."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:7]))
    _write(path, 1, 2)
    monkeypatch.undo()
    assert _ids(path) == ["1", "2"]
    assert _read(path)[0]["type"] == "SCHEMA"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The run ends with a message that names the setting."""
    letters = DeadLetterFile(str(path))
    letters.write(dead_letter_line(_rejection(1)))

    def fail(*args: object) -> int:
        raise OSError(28, "No space left on device")

    def write_or_sync() -> None:
        letters.write(dead_letter_line(_rejection(2)))
        letters.sync()

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=r"dead_letter_path.*No space left"):
        write_or_sync()
    monkeypatch.undo()
    letters.close()


def test_a_disk_that_fills_within_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fitted of a line is taken back, so that the next one stands alone."""
    letters = DeadLetterFile(str(path))
    letters.write(dead_letter_line(_rejection(1)))
    real = os.write
    room = [20, 0]

    def write(file: int, data: bytes) -> int:
        left = room.pop(0)
        if not left:
            raise OSError(28, "No space left on device")
        return real(file, bytes(data)[:left])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError):
        letters.write(dead_letter_line(_rejection(2)))
    monkeypatch.undo()
    letters.write(dead_letter_line(_rejection(3)))
    letters.close()
    assert _ids(path) == ["1", "3"]


@pytest.mark.parametrize("place", ["missing/letters.singer", "", "letters\x00.singer", "x" * 300])
def test_a_path_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """A folder that is not there, a folder itself, no name at all: one readable line."""
    letters = DeadLetterFile(os.path.join(tmp_path, place))  # noqa: PTH118 (Path drops the slash)
    with pytest.raises(StorageError) as raised:
        letters.write(dead_letter_line(_rejection()))
    assert "dead_letter_path" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_runs_may_share_the_file(path: Path) -> None:
    """Lines of several writers do not mix."""

    def write(first: int) -> None:
        letters = DeadLetterFile(str(path))
        for number in range(first, first + 200):
            letters.write(dead_letter_line(_rejection(number, user_agent="x" * 3_000)))
        letters.close()

    threads = [threading.Thread(target=write, args=(n * 1_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(_ids(path))) == 800


def test_a_letter_that_cannot_be_made_leaves_no_half(path: Path) -> None:
    """A file holds whole lines only."""
    _write(path, *range(50))
    assert path.read_bytes().endswith(b"\n")
    assert len(_read(path)) == 51


@pytest.mark.parametrize("way", ["same", "symlink", "hard link"])
def test_its_own_file_is_refused(path: Path, tmp_path: Path, way: str) -> None:
    """A replay of the very file that it writes to would never end."""
    _write(path, 1)
    other = tmp_path / "other"
    if way == "symlink":
        other.symlink_to(path)
    elif way == "hard link":
        other.hardlink_to(path)
    read = path if way == "same" else other
    with read.open("rb") as file, pytest.raises(ConfigurationError) as raised:
        refuse_own_file(file.fileno(), str(path))
    message = str(raised.value)
    assert str(path) in message
    assert "move" in message


def test_other_inputs_are_not_refused(path: Path, tmp_path: Path) -> None:
    """A moved file, a pipe, and a path where nothing is yet are fine."""
    _write(path, 1)
    moved = path.rename(tmp_path / "moved")
    readable, writable = os.pipe()
    with moved.open("rb") as file:
        refuse_own_file(file.fileno(), str(path))
        path.touch()
        refuse_own_file(file.fileno(), str(path))
    refuse_own_file(readable, str(path))
    os.close(readable)
    os.close(writable)


@pytest.mark.parametrize("reason", REASONS)
def test_which_letters_are_sent_again(reason: str) -> None:
    """All but those that may have been counted and those that were never mapped."""
    assert is_replayed({"reason": reason}) == REASONS[reason].replayed


@pytest.mark.parametrize("reason", REASONS)
def test_which_letters_are_sent_again_on_request(reason: str) -> None:
    """Only those that may have been counted: the others have a reason of their own to stay."""
    expected = REASONS[reason].replayed or reason == "unconfirmed"
    assert is_replayed({"reason": reason}, unconfirmed=True) == expected


@pytest.mark.parametrize("reason", [None, "", "unknown", 5, ["x"], {}])
def test_letters_of_other_reasons_are_sent_again(reason: Any) -> None:
    """A hand-written letter is an event like any other."""
    assert is_replayed({"reason": reason})
    assert is_replayed({})


def test_the_stream_has_a_name_of_its_own() -> None:
    """So that no tap's stream is taken for it."""
    assert DEAD_LETTERS == "liveintent_dead_letters"
    assert "liveintent" in DEAD_LETTERS
