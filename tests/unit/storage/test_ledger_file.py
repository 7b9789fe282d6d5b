"""The file of a ledger: when it is made, what it may be, and what happens if it cannot be used."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from ledger_support import (
    LATER,
    Ledgers,
    event,
    events,
    fill,
    open_ledger,
    query,
    remember,
    rows,
    unsent,
)
from unit_support import NOW

from target_liveintent.conversions import DAY
from target_liveintent.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.conversions import Conversion

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
        ledger = open_ledger(path, run_id=str(next(numbers)))
        try:
            return unsent(ledger, [event()])
        finally:
            ledger.close()

    numbers = itertools.count()

    with ThreadPoolExecutor(8) as threads:
        for number in range(40):
            path = tmp_path / f"{number}.sqlite"
            found = list(threads.map(ask, [path] * 8))
            assert [event()] in found  # Others may come while that run has a claim.
            assert all(one in ([event()], []) for one in found)


@pytest.mark.parametrize("path", ["nowhere/ledger.sqlite", "x" * 300, "file/ledger.sqlite"])
def test_a_path_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A path that was set is judged at the start, although the file is made later."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="ledger_path"):
        open_ledger(path)


def test_a_folder_that_cannot_be_written(ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found at the start as well. The question is faked, as root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match=r"cannot be used: Permission denied$"):
        ledgers()


def test_a_folder_that_goes_away(ledgers: Ledgers) -> None:
    """If the file cannot be made after all, that is the setting's fault, too."""
    ledgers.path = ledgers.path.parent / "sub" / "ledger.sqlite"
    ledgers.path.parent.mkdir()
    ledger = ledgers()
    ledgers.path.parent.rmdir()
    with pytest.raises(ConfigurationError, match=r"sub/ledger\.sqlite' cannot be used: No such"):
        unsent(ledger, [event()])


# A ledger that nobody has asked for


def test_without_a_file(ledgers: Ledgers) -> None:
    """The default ledger that cannot be used is a warning; within the run, events go once."""
    ledgers.path.mkdir()
    said: list[str] = []
    ledger = ledgers(warn=said.append)
    remember(ledger, *events(3))
    assert unsent(ledger, events(5)) == events(3, 5)
    assert not ledger.is_kept
    (line,) = said
    assert line.startswith(f"ledger_path '{ledgers.path}' cannot be used: Is a directory. The run")
    assert list(ledgers.path.iterdir()) == []


def test_without_a_file_that_can_be_made(ledgers: Ledgers) -> None:
    """The warning comes once, also where the file cannot be made when the first event is sent."""
    ledgers.path = ledgers.path.parent / "sub" / "ledger.sqlite"
    ledgers.path.parent.mkdir()
    said: list[str] = []
    ledger = ledgers(warn=said.append)
    ledgers.path.parent.rmdir()
    for n in range(3):
        remember(ledger, event(str(n)))
    assert unsent(ledger, events(4)) == events(3, 4)
    assert len(said) == 1


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
    assert (
        "another process, such as another run, keeps the file locked (database is locked)" in line
    )
    assert unsent(ledger, [event("2"), event("3")]) == [event("3")]
    assert rows(ledgers.path) == 1


def test_a_default_ledger_that_is_none(ledgers: Ledgers) -> None:
    """A file of something else is nobody's ledger: what it knows cannot just be left aside."""
    ledgers.path.write_bytes(b"no database " * 100)
    with pytest.raises(ConfigurationError, match=r"file is not a database\. Set ledger_path to"):
        ledgers(warn=print)


# Versions


def test_a_ledger_of_a_newer_version(ledgers: Ledgers) -> None:
    """It is refused and left as it is: its keys may mean something else."""
    remember(ledgers(), event())
    ledgers.close()
    query(ledgers.path, "PRAGMA user_version = 4")
    before = ledgers.path.read_bytes()
    for warn in (None, print):
        with pytest.raises(ConfigurationError, match=r"a newer version of target-liveintent"):
            ledgers(warn=warn)
    assert ledgers.path.read_bytes() == before


@pytest.mark.parametrize(
    "mark", ["CREATE TABLE accepted (key)", "PRAGMA user_version = 1", "PRAGMA application_id = 9"]
)
def test_a_database_of_another_program(ledgers: Ledgers, mark: str) -> None:
    """It is refused and left as it is."""
    query(ledgers.path, mark)
    before = ledgers.path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"another program. Set ledger_path to another"):
        ledgers()
    assert ledgers.path.read_bytes() == before


def version_1(path: Path, *rows_of: tuple[str, int]) -> None:
    """Write a ledger as the first version did: keys in hexadecimal, and when they expire."""
    query(
        path,
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE delivered (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID",
        *(f"INSERT INTO delivered VALUES (x'{key}', {until})" for key, until in rows_of),  # noqa: S608
    )


def test_a_ledger_of_version_1(ledgers: Ledgers) -> None:
    """What the first version has delivered, the next one knows, whatever has changed in it."""
    version_1(ledgers.path, ("5B108EF96CF565A53916BB80DB32854C", LATER))
    known, new = event("1007", expires_at=LATER + 7), event("1008")
    for _ in range(2):
        ledger = ledgers()
        assert unsent(ledger, [known, new]) == [new]
        remember(ledger, new)
        assert unsent(ledger, [known, new]) == []
        new = event("1009")
    other = ledgers(url="https://conversions.liveintent.com/v2/conversions/a-1b2c")
    assert unsent(other, [known]) == [known]


def test_a_ledger_of_version_2(ledgers: Ledgers) -> None:
    """The table of claims is added; what is known stays known, and opening takes no longer."""
    remember(ledgers(), *events(3))
    ledgers.close()
    query(ledgers.path, "DROP TABLE claims", "PRAGMA user_version = 2")
    assert unsent(ledgers(), events(4)) == events(3, 4)
    assert query(ledgers.path, "PRAGMA user_version") == [(3,)]


@pytest.mark.parametrize(("age", "kept"), [(30 * DAY, True), (30 * DAY + 1, False)])
def test_the_end_of_version_1(ledgers: Ledgers, age: int, kept: bool) -> None:
    """Its table goes once all of its events have expired long ago."""
    version_1(ledgers.path, ("00", int(NOW) - age), ("01", int(NOW) - 40 * DAY))
    ledgers(clock=FakeClock())
    tables = query(ledgers.path, "SELECT name FROM sqlite_master WHERE name = 'delivered'")
    assert bool(tables) == kept


# How large it may be


def test_a_large_file_is_opened_at_once(ledgers: Ledgers) -> None:
    """Opening reads the newest keys only; what a key costs does not depend on their number."""
    remember(ledgers(), event())
    ledgers.close()
    seconds = []
    for _ in range(2):
        start = time.process_time()
        ledger = ledgers()
        assert unsent(ledger, [event(), event("2")]) == [event("2")]
        ledger.close()
        seconds.append(time.process_time() - start)
        fill(ledgers.path, 500_000, LATER - 30 * DAY, 5)
    assert seconds[1] < 0.3  # about 0.03


@pytest.mark.parametrize("others", [0, 300_000])
def test_keys_of_a_run_share_pages(ledgers: Ledgers, others: int) -> None:
    """Whether the file is empty or not, the events of a batch change only a few of its pages."""
    remember(ledgers(), event())
    fill(ledgers.path, others, LATER - 30 * DAY, 9)
    ledgers.close()
    ledger = ledgers()
    remember(ledger, *events(100))
    changed = ledgers.path.with_name("ledger.sqlite-wal").stat().st_size / 4096
    assert changed < 12  # Those of the claim and of its end are among them.
    ledger.close()
