"""The store in a file: which files it takes, and what it does when the file fails."""

import contextlib
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW
from store_support import MD5, Stores, claim, event, events, fail_next, rejection, said, send

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.store.database import Attempts
from target_liveintent.store.deletion import forget_people
from target_liveintent.store.layout import Step
from target_liveintent.store.opening import open_for_reading
from target_liveintent.store.run_store import RunStore


@pytest.mark.posix
def test_a_new_file(in_file: Stores) -> None:
    """Only its owner can read it; what SQLite writes beside it as well."""
    store = in_file()
    send(store, 0, event())
    files = sorted(Path(in_file.place).parent.iterdir())
    assert [one.name for one in files] == [f"store.sqlite{end}" for end in ("", "-shm", "-wal")]
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    store.close()
    assert [one.name for one in Path(in_file.place).parent.iterdir()] == ["store.sqlite"]


@pytest.mark.posix
def test_a_link_and_a_mode(in_file: Stores, tmp_path: Path) -> None:
    """A link is followed, and a file that is there keeps its mode."""
    target = tmp_path / "real.sqlite"
    target.touch(0o640)
    Path(in_file.place).symlink_to(target)
    send(in_file(), 0, event())
    assert target.stat().st_size > 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def make_damaged(path: Path, start: int = 100, end: int = 2_000) -> None:
    Stores(str(path))().close()
    content = bytearray(path.read_bytes())
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(getattr(os, "mkfifo", os.mkdir), "store.* an ordinary file", id="a pipe"),
        pytest.param(Path.mkdir, "store.* an ordinary file", id="a folder"),
        pytest.param(
            lambda path: path.write_text("a,b\n" * 999),
            "not a database.*move it away",
            id="a text file",
        ),
        pytest.param(make_damaged, "malformed.*move it away", id="a damaged store"),
        pytest.param(
            lambda path: make_damaged(path, 47, 48),
            "unsupported file format.*move it away",
            id="a damaged header",
        ),
    ],
)
def test_files_that_are_no_store(in_file: Stores, make: Callable[[Path], object], why: str) -> None:
    """They stay as they are."""
    path = Path(in_file.place)
    make(path)
    before = path.stat().st_mode, path.is_file() and path.read_bytes()
    for opens in (in_file, lambda: open_for_reading(in_file.settings().storage)):
        with pytest.raises(ConfigurationError, match=why):
            opens()
    assert (path.stat().st_mode, path.is_file() and path.read_bytes()) == before


@pytest.fixture
def other_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite be as in other builds: it leaves deleted bytes, and takes 999 values at once."""
    connect = sqlite3.connect

    def as_there(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA secure_delete = OFF")
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        return connection

    monkeypatch.setattr(sqlite3, "connect", as_there)


@pytest.mark.usefixtures("other_sqlite")
def test_nothing_stays_of_a_deleted_row(in_file: Stores) -> None:
    """A person can be forgotten."""
    store, mark = in_file(), "known-by-nobody-else"
    for name in (mark, *map(str, range(1_000))):
        store.note_rejected(rejection(name), NOW)
    store.write()
    send(store, 0, event(mark))
    assert forget_people(store.database, [[MD5]]) == [1_000]
    store.close()
    left = Path(in_file.place).read_bytes()
    assert not [one for one in (MD5, mark) if one.encode() in left]


@pytest.mark.posix
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_is_gone(in_file: Stores, tmp_path: Path, how: str) -> None:
    """SQLite would write on into the old file, so the run ends before the next STATE."""
    store, path = in_file(), Path(in_file.place)
    send(store, 0, event())
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "replaced":
        path.touch()
    with pytest.raises(StorageError, match="was deleted, moved or replaced during the run"):
        store.write(before_state=True) if how == "moved" else store.release({})


def test_damage_that_is_found_later(in_file: Stores) -> None:
    """It ends the run, and the message says what to do."""
    store = in_file()
    send(store, 0, *events(3_000))
    path = Path(in_file.place)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    store.database.transact([Step("PRAGMA cache_size = 1")])
    with pytest.raises(StorageError, match=r"malformed.*Restore the file, or move it away"):
        send_many(store)


def test_a_dropped_table(in_file: Stores) -> None:
    """The run that needs it ends, and the message says what to do."""
    in_file().close()
    with contextlib.closing(sqlite3.connect(in_file.place)) as other:
        other.execute("DROP TABLE run")
    with pytest.raises(StorageError, match=r"no such table: run\. Restore the file"):
        in_file()


def send_many(store: RunStore) -> None:
    """Send so many events that each page of the file is read."""
    for number in range(1, 50):
        send(store, number, event(f"new {number}"), event("2"))


def fill_the_disk(store: RunStore) -> None:
    """Let a run write more dead letters than the disk has room for."""
    for n in range(900):
        store.note_rejected(rejection(f"bad {n}", columns={"order_id": "x" * 900}), NOW)
    (((pages,),),) = store.database.transact([Step("PRAGMA page_count")])
    store.database.transact([Step(f"PRAGMA max_page_count = {pages + 4}")])
    with pytest.raises(StorageError, match="the disk is full"):
        store.write()


def test_a_full_disk(in_file: Stores) -> None:
    """What the API has confirmed is noted, and the rest is not lost either.

    The next run has the dead letters again, as no STATE has passed them.
    """
    store = in_file()
    mine = claim(store, 0, *events(100)).mine
    store.note_confirmed(0, mine, is_last=True)
    fill_the_disk(store)
    store.release({})  # That it fails again is not said twice.
    with pytest.raises(StorageError, match="could not be used at the end"):
        store.finish("failed", "{}")
    assert said(claim(in_file(), 0, *events(100)))[2] == [str(n) for n in range(100)]
    assert in_file.letters() == []
    store.database.transact([Step("PRAGMA max_page_count = 100000")])
    store.write()
    assert len(in_file.letters()) == 900
    store.finish("failed", "{}")
    assert in_file.sql("SELECT ending FROM run WHERE number = ?", store.number) == [("failed",)]
    failure = store.database._failure(sqlite3.OperationalError("disk I/O error"))  # noqa: SLF001
    assert "the disk is full, or has a fault (disk I/O error)" in str(failure)


def test_a_full_disk_and_a_lock(in_file: Stores) -> None:
    """A full disk does not keep the run from waiting to note what the API has confirmed."""
    with contextlib.closing(sqlite3.connect(in_file.place, isolation_level=None)) as other:
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            other.execute("ROLLBACK")

        store = in_file(attempts=Attempts(sleep=sleep))
        mine = claim(store, 0, *events(3)).mine
        fill_the_disk(store)
        store.note_confirmed(0, mine, is_last=True)
        other.execute("BEGIN IMMEDIATE")
        store.release({})
        assert len(waits) == 1
    assert said(claim(in_file(), 0, *events(3)))[2] == ["0", "1", "2"]


@pytest.mark.posix
def test_the_reserve(in_file: Stores) -> None:
    """Space is reserved for what was confirmed, however many pages of a large store have its keys.

    The reserved space has no name, so nothing of it stays after a kill.
    """
    store = in_file()
    reserve = store.database._spare  # type: ignore[attr-defined]  # noqa: SLF001
    assert os.fstat(reserve.fileno()).st_blocks * 512 >= 4_000_000
    in_file.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
        " INSERT INTO event SELECT randomblob(16), 1 FROM n"
    )
    with contextlib.closing(sqlite3.connect(in_file.place)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    given = [event(str(n), expires_at=n * 366_503_875 % 2**40) for n in range(3_000)]
    store.note_confirmed(0, claim(store, 0, *given).mine, is_last=True)
    fail_next(store, at=0)
    with pytest.raises(StorageError):
        store.write()
    assert reserve.closed
    assert Path(f"{in_file.place}-wal").stat().st_size < 4_000_000
    assert in_file.sql("SELECT count(*) FROM event") == [(203_000,)]
    store.close()
    assert len(list(Path(in_file.place).parent.iterdir())) == 1


@pytest.mark.parametrize("is_open", [False, True])
def test_reading_changes_nothing(in_file: Stores, is_open: bool) -> None:
    """Also while a run has the store open; a writing statement fails."""
    store = in_file()
    store.note_rejected(rejection(), NOW)
    store.write()
    if not is_open:
        store.close()
    database = open_for_reading(in_file.settings().storage)
    assert list(database.read("SELECT count(*) FROM dead_letter")) == [(1,)]
    with pytest.raises(StorageError, match="read-only"):
        list(database.read("DELETE FROM dead_letter"))
    database.close()


def test_other_readers_disturb_nothing(in_file: Stores) -> None:
    """A program may read for long while a run writes."""
    store = in_file()
    with contextlib.closing(in_file.connection()) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM event").fetchall() == [(0,)]
        assert len(send(store, 0, *events(100))) == 100
        store.close()
    assert in_file.sql("SELECT count(*) FROM event") == [(100,)]
