"""The folder of the history: what is read, folded and deleted, and by whom."""

from __future__ import annotations

import datetime as dt
import random
import re

import msgspec
import pytest
from history_support import (
    ACCOUNT,
    TODAY,
    MemoryFolder,
    at,
    days_before,
    endings,
    entry,
    figures,
)

from target_liveintent.errors import StorageError
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.model import History

OTHER = ("b-1b2c at api.example.com", 4711)


@pytest.fixture
def memory() -> MemoryFolder:
    return MemoryFolder()


@pytest.fixture
def folder(memory: MemoryFolder) -> HistoryFolder:
    return HistoryFolder(memory, 400, pytest.fail)


def add(folder: HistoryFolder, back: int, names: str) -> None:
    """Add a run for each letter of the names, one an hour, of a day before today."""
    for hour, name in enumerate(names):
        folder.add(entry(name, at(days_before(back), hour)))


def delivered(history: History) -> dict[dt.date, int]:
    return {one.day: one.usual["orders"].delivered for one in history.days}


def test_today_is_read_from_the_entries_of_its_runs(
    memory: MemoryFolder, folder: HistoryFolder
) -> None:
    """They are not folded, and the newest one is there as a whole; on a first day, none is."""
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert (history.days, history.entry, history.last, memory.files) == ([], None, None, {})
    folder.add(entry("a", at(TODAY, 1)))
    folder.add(entry("b", at(TODAY, 2), orders=figures(7)))
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert delivered(history) == {TODAY: 107}
    assert endings(memory.names()) == ["run", "run"]
    assert history.entry is not None
    assert history.entry.run == history.last
    assert history.entry.run.run_id == "b"


def test_finished_days_are_folded_into_one_file_each(
    memory: MemoryFolder, folder: HistoryFolder
) -> None:
    """The file keeps the runs and their sums, of all accounts."""
    add(folder, 1, "abc")
    folder.add(entry("d", at(days_before(1)), OTHER))
    folder.add(entry("e", at(days_before(2))))
    before = folder.read(ACCOUNT, TODAY)
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert history == before
    assert memory.names() == [f"{days_before(n)}-f.day.json" for n in (2, 1)]
    assert delivered(history) == {days_before(2): 100, days_before(1): 300}
    again = folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert again.days == history.days
    assert again.last == history.last
    assert again.entry is None
    assert [one.run_id for one in again.days[1].runs] == ["a", "b", "c"]
    assert delivered(folder.read(OTHER, TODAY)) == {days_before(1): 100}


def test_a_run_that_comes_late_joins_its_day(memory: MemoryFolder, folder: HistoryFolder) -> None:
    """A day that is folded takes another run, also one so old that it is not read otherwise."""
    for back in (1, 120):
        folder.add(entry("a", at(days_before(back))))
        folder.read_and_fold(ACCOUNT, TODAY, "f")
        folder.add(entry("b", at(days_before(back), 23)))
        folder.read_and_fold(ACCOUNT, TODAY, "0")
        name = f"{days_before(back)}-0.day.json"
        (kept,) = msgspec.json.decode(memory.files[name])["days"]
        assert [one["run_id"] for one in kept["raw_runs"]] == ["a", "b"]
    assert len(memory.files) == 2


def test_the_folder_is_read_anew_when_another_run_folds_it(
    memory: MemoryFolder, folder: HistoryFolder
) -> None:
    """A file that is gone while it is read is in a day file by then."""
    folder.add(entry("a", at(days_before(1))))

    def fold_first(_: str) -> None:
        memory.before_read = lambda _: None
        folder.read_and_fold(ACCOUNT, TODAY, "f")

    memory.before_read = fold_first
    assert delivered(folder.read(ACCOUNT, TODAY)) == {days_before(1): 100}


def test_a_file_that_stays_away_is_given_up(memory: MemoryFolder, folder: HistoryFolder) -> None:
    """A file that is listed again and again and cannot be found does not end the run."""
    add(folder, 0, "ab")
    listed = memory.names()
    memory.names = lambda: listed  # type: ignore[method-assign]
    del memory.files[listed[0]]
    assert delivered(folder.read(ACCOUNT, TODAY)) == {TODAY: 100}


def test_days_are_deleted_after_history_days(memory: MemoryFolder) -> None:
    """Only files of the history are deleted, and only days that are older."""
    folder = HistoryFolder(memory, 10, pytest.fail)
    memory.put("2020-01-01-notes.txt", b"mine")
    for back in (12, 11, 10, 9):
        folder.add(entry("a", at(days_before(back))))
        folder.read_and_fold(ACCOUNT, days_before(back - 1), "f")
    folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert memory.names() == [
        "2020-01-01-notes.txt",
        f"{days_before(10)}-f.day.json",
        f"{days_before(9)}-f.day.json",
    ]


def test_at_most_91_days_and_the_files_of_today_are_read(
    memory: MemoryFolder, folder: HistoryFolder
) -> None:
    """Whatever is in the folder."""
    for back in range(120, 0, -1):
        folder.add(entry("a", at(days_before(back))))
        folder.read_and_fold(ACCOUNT, days_before(back - 1), "f")
    folder.add(entry("b", at(TODAY)))
    memory.read_names.clear()
    history = folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert endings(memory.read_names) == ["run", *["day"] * 91]
    assert [one.day for one in history.days] == [days_before(n) for n in range(91, -1, -1)]


def test_a_store_that_lets_nobody_delete(
    memory: MemoryFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days are compared all the same, and no run adds another file of the same content."""
    warnings: list[str] = []
    folder = HistoryFolder(memory, 400, warnings.append)
    add(folder, 1, "ab")

    def refuse(_: str) -> None:
        raise StorageError("denied")

    monkeypatch.setattr(memory, "delete", refuse)
    for name in "cdef":
        history = folder.read_and_fold(ACCOUNT, TODAY, name)
        assert delivered(history) == {days_before(1): 200}
    assert endings(memory.names()) == ["day", "run", "run"]
    warning = (
        "denied, so old files stay in the history, and the history keeps growing. Give the run the"
        " permission to delete these files"
    )
    assert warnings == [warning] * 4
    monkeypatch.undo()
    folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert memory.names() == [f"{days_before(1)}-c.day.json"]


def test_a_clock_that_was_wrong(folder: HistoryFolder) -> None:
    """A run of a day that is still to come is left out; tomorrow it already is somewhere."""
    for back, name in ((1, "a"), (0, "b"), (-1, "c"), (-2, "d"), (-300, "e")):
        folder.add(entry(name, at(days_before(back))))
    for history in (folder.read(ACCOUNT, TODAY), folder.read_and_fold(ACCOUNT, TODAY, "f")):
        assert [one.day for one in history.days] == [days_before(n) for n in (1, 0, -1)]
        assert history.entry is not None
        assert history.entry.run.run_id == "c"


def test_the_sums_are_those_of_the_runs(folder: HistoryFolder) -> None:
    """Dry runs count nowhere; canaries, replays and backfills are sums of their own."""
    kinds = ("usual", "dry_run", "canary", "replay", "backfill", "usual")
    for number, kind in enumerate(kinds):
        left = entry(f"{number}", at(TODAY, number), orders=figures(10**number))
        left.run.kind = kind
        folder.add(left)
    (today,) = folder.read(ACCOUNT, TODAY).days
    sums = today.usual["orders"].delivered, today.others["orders"].delivered, today.delivered
    assert sums == (100_001, 11_100, 111_101)
    assert today.kinds == {"usual": 2, "dry_run": 1, "canary": 1, "replay": 1, "backfill": 1}
    assert today.has_usual_runs


def test_runs_fold_in_any_order(memory: MemoryFolder, folder: HistoryFolder) -> None:
    """Whatever parts of a day come together in whatever order, and at the same time.

    A run that is in several files counts once, and the next run leaves one file.
    """
    chance = random.Random(1)  # noqa: S311 (no secrets)
    add(folder, 1, "0123456789abcdef")
    whole, entries = folder.read(ACCOUNT, TODAY), dict(memory.files)
    for _ in range(50):
        folded: dict[str, bytes] = {}
        for _ in range(3):
            memory.files = dict(chance.sample(sorted(entries.items()), 6))
            memory.files |= folded if chance.random() < 0.5 else {}
            folder.read_and_fold(ACCOUNT, TODAY, f"{chance.getrandbits(32):08x}")
            folded |= memory.files
        memory.files = folded | entries
        assert folder.read(ACCOUNT, TODAY).days == whole.days
        folder.read_and_fold(ACCOUNT, TODAY, "f")
        assert endings(memory.names()) == ["day"]
        assert folder.read(ACCOUNT, TODAY).days == whole.days


def test_files_that_cannot_be_read_are_left_alone(memory: MemoryFolder) -> None:
    """One warning names some of them, however many there are, and the others count."""
    warnings: list[str] = []
    folder = HistoryFolder(memory, 400, warnings.append)
    folder.add(entry("a", at(days_before(1))))
    (name,) = memory.names()
    newer = msgspec.json.decode(memory.files[name]) | {"format": 2}
    unreadable = {
        "20260301T000000Z-bb.run.json": msgspec.json.encode(newer),
        "2026-02-01-cc.day.json": b'{"format": 1, "days": [',
        **{f"{days_before(back)}-cc.day.json": b'{"format": 2, "days": []}' for back in range(9)},
    }
    memory.files |= unreadable
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert delivered(history) == {days_before(1): 100}
    (warning,) = warnings
    assert warning.startswith("history_path contains 11 files that this version cannot read")
    assert re.findall(r"\S+\.json", warning) == [
        "20260301T000000Z-bb.run.json",
        *sorted(unreadable)[:2],
    ]
    assert {name: memory.files.get(name) for name in unreadable} == unreadable
