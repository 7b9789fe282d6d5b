"""The store of a ledger: when it is made, what it may be, and what is said if it fails."""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import FakeClock
from ledger_support import LATER, Ledgers, event, events, remember, unsent
from unit_support import open_files

from target_liveintent.conversions.model import Conversion
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.privacy import without_secrets

# When it is made


def test_it_is_made_when_the_first_event_is_to_be_sent(ledgers: Ledgers) -> None:
    """A ledger that nobody asks, or only about nothing, leaves no file."""
    ledger = ledgers()
    ledger.write()
    ledger.close()
    assert list(ledgers.path.parent.iterdir()) == []
    ledger = ledgers()
    assert not ledger.is_kept
    assert unsent(ledger, [event()]) == [event()]
    assert ledgers.path.exists()
    assert ledger.is_kept


def test_runs_that_make_it_at_the_same_time(tmp_path: Path) -> None:
    """None of them takes a file that another one is making for a database of another program."""

    def ask(path: Path) -> list[Conversion]:
        ledgers = Ledgers(path)
        try:
            return unsent(ledgers(run_id=str(uuid.uuid4())), [event()])
        finally:
            ledgers.close()

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            found = list(threads.map(ask, [tmp_path / f"{number}.sqlite"] * 8))
            assert [event()] in found  # Others may come while that run has a claim.
            assert all(one in ([event()], []) for one in found)


@pytest.mark.usefixtures("no_umask")
def test_only_the_owner_can_read_it(ledgers: Ledgers) -> None:
    """The file and those beside it are made with mode 0600, whatever the umask."""
    remember(ledgers(), event())
    made = {one.name: stat.S_IMODE(one.stat().st_mode) for one in ledgers.path.parent.iterdir()}
    assert made.keys() >= {"ledger.sqlite", "ledger.sqlite-wal"}
    assert set(made.values()) == {0o600}


# A path that cannot be used


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".", "cannot be used: Is a directory"),
        ("nowhere/ledger.sqlite", "cannot be used: No such file or directory"),
        ("file/ledger.sqlite", "cannot be used: Not a directory"),
        ("x" * 300, "cannot be used: File name too long"),
        ("a\0b", "is not a valid path"),
        ("\ud800", "is not a valid path"),
    ],
)
def test_a_path_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    """It is judged at the start, although the file is made later; the message is one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as raised:
        Ledgers(Path(path))()
    named = "" if "valid" in reason else f" '{path}'"
    assert str(raised.value) == f"ledger_path{named} {reason}"


def test_a_folder_that_cannot_be_written(ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found at the start as well. The question is faked, as root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match=r"cannot be used: Permission denied$"):
        ledgers()


# A ledger that nobody has asked for


@pytest.mark.parametrize("goes_away", [False, True])
def test_without_a_file(ledgers: Ledgers, goes_away: bool) -> None:
    """The default ledger that cannot be used is a warning; within the run, events go once.

    Its folder may also go away after the start. Then a ledger that was set is a wrong setting.
    """
    folder = ledgers.path.parent / "sub"
    folder.mkdir()
    ledgers.path = folder / "ledger.sqlite" if goes_away else folder
    said: list[str] = []
    ledger = ledgers(warn=said.append)
    if goes_away:
        was_set = ledgers()
        folder.rmdir()
        with pytest.raises(
            ConfigurationError, match=r"sub/ledger\.sqlite' cannot be used: No such"
        ):
            unsent(was_set, [event()])
    for n in range(3):
        remember(ledger, event(str(n)))
    assert unsent(ledger, events(5)) == events(3, 5)
    assert not ledger.is_kept
    (line,) = said
    why = "No such file or directory" if goes_away else "Is a directory"
    assert line.startswith(f"ledger_path '{ledgers.path}' cannot be used: {why}. The run continues")
    assert not ledgers.path.is_file()


def test_a_default_ledger_that_is_locked(ledgers: Ledgers) -> None:
    """A run that has waited in vain for another one goes on without the ledger."""
    remember(ledgers(), event())
    said: list[str] = []
    clock = FakeClock()

    def sleep(_: float) -> None:  # SQLite has waited for half a second by the real clock.
        clock.now += 31

    ledger = ledgers(warn=said.append, clock=clock, sleep=sleep)
    other = sqlite3.connect(ledgers.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    remember(ledger, event("2"))
    other.close()
    (line,) = said
    assert "another process, such as another run, keeps the file locked (database is" in line
    assert unsent(ledger, [event("2"), event("3")]) == [event("3")]
    assert ledgers.rows() == 1


# Files of something else


NO_DATABASE = "file is not a database. Set ledger_path to another file, or move this file away"
ANOTHER = "the file is a database of another program. Set ledger_path to another file, or move"
NEWER = "a newer version of target-liveintent wrote the file. Upgrade target-liveintent, or set"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\x00" + b"\xff" * 4096, NO_DATABASE),
        (b'{"type": "SCHEMA", "stream": "liveintent_dead_letters"}\n' * 20, NO_DATABASE),
        (["CREATE TABLE accepted (key)"], ANOTHER),
        (["CREATE TABLE delivered (id TEXT)"], ANOTHER),
        (["CREATE TABLE delivered (key BLOB PRIMARY KEY)"], ANOTHER),
        (["PRAGMA user_version = 1"], ANOTHER),
        (["PRAGMA application_id = 9"], ANOTHER),
        (["PRAGMA application_id = 0x4C494C47", "PRAGMA user_version = 4"], NEWER),
    ],
)
def test_a_file_that_is_no_ledger(ledgers: Ledgers, content: bytes | list[str], words: str) -> None:
    """It is refused, closed, and left as it is, also if it is the default."""
    if isinstance(content, bytes):
        ledgers.path.write_bytes(content)
    else:
        ledgers.query(*content)
    before, opened = ledgers.path.read_bytes(), open_files()
    for warn in (None, print):
        with pytest.raises(ConfigurationError) as raised:
            ledgers(warn=warn)
        start = f"ledger_path '{ledgers.path}' cannot be used: {words}"
        assert str(raised.value).startswith(start)
        assert not open_files() - opened
    assert ledgers.path.read_bytes() == before


# Earlier versions


def version_1(ledgers: Ledgers, *rows: tuple[str, int]) -> None:
    """Write a ledger as the first version did: keys in hexadecimal, and when they expire."""
    ledgers.query(
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE delivered (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID",
        *(f"INSERT INTO delivered VALUES (x'{key}', {until})" for key, until in rows),  # noqa: S608
    )


def test_a_ledger_of_version_1(ledgers: Ledgers) -> None:
    """What the first version has delivered, the next one knows, whatever has changed in it."""
    version_1(ledgers, ("5B108EF96CF565A53916BB80DB32854C", LATER))
    known, new = event("1007", expires_at=LATER + 7), event("1008")
    for _ in range(2):
        ledger = ledgers()
        assert unsent(ledger, [known, new]) == [new]
        remember(ledger, new)
        assert unsent(ledger, [known, new]) == []
        new = event("1009")
    other = ledgers(url="https://conversions.liveintent.com/v2/conversions/a-1b2c")
    assert unsent(other, [known]) == [known]


# A database


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql://bob-77:pa%2Fss-4711@127.0.0.1:1/x", {}),
        ("postgresql://127.0.0.1:1/x?user=bob-77&password=pa%2Fss-4711", {}),
        ("postgresql://127.0.0.1:1/x", {"PGUSER": "bob-77", "PGPASSWORD": "pa/ss-4711"}),
        ("postgresql://bob-77@127.0.0.1:1/pa%2Fss-4711", {"PGPASSWORD": "pa/ss-4711"}),
    ],
)
def test_a_message_shows_neither_user_nor_password(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str]
) -> None:
    """Wherever they come from; and the password is hidden in each log line from then on."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError) as raised:
        Ledgers(None, url)()
    said = str(raised.value)
    assert said.startswith("the database named in ledger_url cannot be used: ")
    assert "\n" not in said
    for secret in ("bob-77", "pa/ss-4711", "pa%2Fss-4711", url):
        assert secret not in said
    line = without_secrets("a library says pa/ss-4711 and pa%2Fss-4711")
    assert line == "a library says *** and ***"


@pytest.mark.parametrize("url", ["postgresql://%%", "postgresql://h/d?secret-4711=1", "nonsense"])
def test_a_url_that_is_none(url: str) -> None:
    """It is a wrong setting, and the message does not repeat it."""
    with pytest.raises(ConfigurationError) as raised:
        Ledgers(None, url)()
    assert str(raised.value) == (
        "setting 'ledger_url' must be a URL such as postgresql://user@host/database"
    )
