"""The folder of the history: what is read, folded and deleted, and by whom."""

from __future__ import annotations

import datetime as dt
import random
import re
import time

import msgspec
import pytest
from history_support import (
    ACCOUNT,
    TODAY,
    MemoryFolder,
    at,
    day,
    days_before,
    endings,
    entry,
    figures,
    run,
)

from target_liveintent.errors import StorageError
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.model import FORMAT, DayFigures, DayFile, History

OTHER = ("b-1b2c at api.example.com", 4711)


@pytest.fixture
def memory() -> MemoryFolder:
    return MemoryFolder()


def folder_of(memory: MemoryFolder, days: int = 400) -> HistoryFolder:
    return HistoryFolder(memory, days, pytest.fail)


def delivered(history: History) -> dict[dt.date, int]:
    return {one.day: one.usual["orders"].delivered for one in history.days}


def test_a_first_day_has_no_history(memory: MemoryFolder) -> None:
    """An empty folder gives no days, no last run and no file."""
    history = folder_of(memory).read_and_fold(ACCOUNT, TODAY, "f")
    assert (history.days, history.entry, history.last) == ([], None, None)
    assert not memory.files


def test_today_is_read_from_the_entries_of_its_runs(memory: MemoryFolder) -> None:
    """They are not folded, and the newest one is there as a whole."""
    folder = folder_of(memory)
    folder.add(entry("a", at(TODAY, 1)))
    folder.add(entry("b", at(TODAY, 2), orders=figures(7)))
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert delivered(history) == {TODAY: 107}
    assert endings(memory.names()) == ["run", "run"]
    assert history.entry is not None
    assert history.entry.run == history.last
    assert history.entry.run.run_id == "b"


def test_finished_days_are_folded_into_one_file_each(memory: MemoryFolder) -> None:
    """The file keeps the runs and their sums, of all accounts."""
    folder = folder_of(memory)
    for hour, name in enumerate("abc"):
        folder.add(entry(name, at(days_before(1), hour)))
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


def test_a_run_that_comes_late_joins_its_day(memory: MemoryFolder) -> None:
    """A day that is folded takes another run, also one so old that it is not read otherwise."""
    folder = folder_of(memory)
    for back in (1, 120):
        folder.add(entry("a", at(days_before(back))))
        folder.read_and_fold(ACCOUNT, TODAY, "f")
        folder.add(entry("b", at(days_before(back), 23)))
        folder.read_and_fold(ACCOUNT, TODAY, "0")
        name = f"{days_before(back)}-0.day.json"
        (kept,) = msgspec.json.decode(memory.files[name])["days"]
        assert [one["run_id"] for one in kept["raw_runs"]] == ["a", "b"]
    assert len(memory.files) == 2


def test_two_runs_that_fold_at_the_same_time_lose_nothing(memory: MemoryFolder) -> None:
    """Each writes a file of its own; a run in both counts once, and the next run keeps one."""
    first, second = folder_of(memory), folder_of(memory)
    first.add(entry("a", at(days_before(1), 1)))
    first.add(entry("b", at(days_before(1), 2)))
    started = dict(memory.files)
    first.read_and_fold(ACCOUNT, TODAY, "f")
    folded = dict(memory.files)
    memory.files = started
    second.add(entry("c", at(days_before(1), 3)))
    second.read_and_fold(ACCOUNT, TODAY, "0")
    memory.files |= folded
    assert len(memory.files) == 2
    assert delivered(first.read(ACCOUNT, TODAY)) == {days_before(1): 300}
    first.read_and_fold(ACCOUNT, TODAY, "9")
    assert memory.names() == [f"{days_before(1)}-0.day.json"]
    assert delivered(first.read(ACCOUNT, TODAY)) == {days_before(1): 300}


def test_the_folder_is_read_anew_when_another_run_folds_it(memory: MemoryFolder) -> None:
    """A file that is gone while it is read is in a day file by then."""
    folder = folder_of(memory)
    folder.add(entry("a", at(days_before(1))))

    def fold_first(_: str) -> None:
        memory.before_read = lambda _: None
        folder.read_and_fold(ACCOUNT, TODAY, "f")

    memory.before_read = fold_first
    assert delivered(folder.read(ACCOUNT, TODAY)) == {days_before(1): 100}


def test_a_file_that_stays_away_is_given_up(memory: MemoryFolder) -> None:
    """A file that is listed again and again and cannot be found does not end the run."""
    folder = folder_of(memory)
    folder.add(entry("a", at(TODAY, 1)))
    folder.add(entry("b", at(TODAY, 2)))
    listed = memory.names()
    memory.names = lambda: listed  # type: ignore[method-assign]
    del memory.files[listed[0]]
    assert delivered(folder.read(ACCOUNT, TODAY)) == {TODAY: 100}


@pytest.mark.parametrize("crash_after", range(4))
def test_a_killed_run_leaves_nothing_that_counts_twice(
    memory: MemoryFolder, crash_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before, between and after the deletions, it leaves each run once."""
    folder = folder_of(memory)
    for hour, name in enumerate("abc"):
        folder.add(entry(name, at(days_before(1), hour)))
    delete, deleted = memory.delete, []

    def die(name: str) -> None:
        if len(deleted) == crash_after:
            raise KeyboardInterrupt
        deleted.append(name)
        delete(name)

    monkeypatch.setattr(memory, "delete", die)
    try:
        folder.read_and_fold(ACCOUNT, TODAY, "f")
    except KeyboardInterrupt:
        assert crash_after < 3
    monkeypatch.undo()
    assert delivered(folder.read(ACCOUNT, TODAY)) == {days_before(1): 300}
    folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert len(memory.files) == 1
    assert delivered(folder.read(ACCOUNT, TODAY)) == {days_before(1): 300}


def test_runs_fold_in_any_order(memory: MemoryFolder) -> None:
    """Whatever parts of a day come together in whatever order, the day is the same."""
    chance = random.Random(1)  # noqa: S311 (no secrets)
    names = "0123456789abcdef"
    folder = folder_of(memory)
    for hour, name in enumerate(names):
        folder.add(entry(name, at(days_before(1), hour)))
    whole, entries = folder.read(ACCOUNT, TODAY), dict(memory.files)
    for _ in range(50):
        memory.files = {}
        for _ in range(3):
            memory.files |= dict(chance.sample(sorted(entries.items()), 6))
            folder.read_and_fold(ACCOUNT, TODAY, f"{chance.getrandbits(32):08x}")
        memory.files |= entries
        assert folder.read(ACCOUNT, TODAY).days == whole.days


def test_days_are_deleted_after_history_days(memory: MemoryFolder) -> None:
    """Only files of the history are deleted, and only days that are older."""
    folder = folder_of(memory, days=10)
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


def test_at_most_91_days_and_the_files_of_today_are_read(memory: MemoryFolder) -> None:
    """Whatever is in the folder."""
    folder = folder_of(memory)
    for back in range(120, 0, -1):
        folder.add(entry("a", at(days_before(back))))
        folder.read_and_fold(ACCOUNT, days_before(back - 1), "f")
    folder.add(entry("b", at(TODAY)))
    memory.read_names.clear()
    history = folder.read_and_fold(ACCOUNT, TODAY, "0")
    assert endings(memory.read_names) == ["run", *["day"] * 91]
    assert [one.day for one in history.days] == [days_before(n) for n in range(91, -1, -1)]


def test_a_file_that_cannot_be_read_is_left_alone(memory: MemoryFolder) -> None:
    """It is named in a warning, and the others count."""
    warnings: list[str] = []
    folder = HistoryFolder(memory, 400, warnings.append)
    folder.add(entry("a", at(days_before(1))))
    (name,) = memory.names()
    newer = msgspec.json.decode(memory.files[name]) | {"format": 2}
    memory.put("20260301T000000Z-bb.run.json", msgspec.json.encode(newer))
    memory.put("2026-02-01-cc.day.json", b'{"format": 1, "days": [')
    history = folder.read_and_fold(ACCOUNT, TODAY, "f")
    assert delivered(history) == {days_before(1): 100}
    (warning,) = warnings
    assert re.findall(r"\d+ files|\S+\.json", warning) == [
        "2 files",
        "20260301T000000Z-bb.run.json",
        "2026-02-01-cc.day.json",
    ]
    assert memory.names()[-1] == "20260301T000000Z-bb.run.json"
    assert "2026-02-01-cc.day.json" in memory.files


def test_a_folder_of_a_newer_version_is_one_warning(memory: MemoryFolder) -> None:
    """However many files there are."""
    warnings: list[str] = []
    for back in range(90):
        memory.put(f"{days_before(back)}-cc.day.json", b'{"format": 2, "days": []}')
    assert HistoryFolder(memory, 400, warnings.append).read(ACCOUNT, TODAY).days == []
    assert len(warnings) == 1
    assert warnings[0].startswith("history_path contains 90 files that this version cannot read")
    assert len(warnings[0]) < 250


def test_a_store_that_lets_nobody_delete(
    memory: MemoryFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days are compared all the same, and no run adds another file of the same content."""
    warnings: list[str] = []
    folder = HistoryFolder(memory, 400, warnings.append)
    folder.add(entry("a", at(days_before(1), 1)))
    folder.add(entry("b", at(days_before(1), 2)))

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


def test_a_clock_that_was_wrong(memory: MemoryFolder) -> None:
    """A run of a day that is still to come is left out; tomorrow it already is somewhere."""
    folder = folder_of(memory)
    for back, name in ((1, "a"), (0, "b"), (-1, "c"), (-2, "d"), (-300, "e")):
        folder.add(entry(name, at(days_before(back))))
    for history in (folder.read(ACCOUNT, TODAY), folder.read_and_fold(ACCOUNT, TODAY, "f")):
        assert [one.day for one in history.days] == [days_before(n) for n in (1, 0, -1)]
        assert history.entry is not None
        assert history.entry.run.run_id == "c"


def test_the_sums_are_those_of_the_runs(memory: MemoryFolder) -> None:
    """Dry runs count nowhere; canaries, replays and backfills are sums of their own."""
    folder = folder_of(memory)
    kinds = ("usual", "dry_run", "canary", "replay", "backfill", "usual")
    for number, kind in enumerate(kinds):
        left = entry(f"{number}", at(TODAY, number), orders=figures(10**number))
        left.run.kind = kind
        folder.add(left)
    (today,) = folder.read(ACCOUNT, TODAY).days
    assert isinstance(today, DayFigures)
    assert today.usual["orders"].delivered == 100_001
    assert today.others["orders"].delivered == 11_100
    assert today.delivered == 111_101
    assert today.kinds == {"usual": 2, "dry_run": 1, "canary": 1, "replay": 1, "backfill": 1}
    assert today.has_usual_runs


def test_a_year_of_hourly_runs_is_read_at_once(memory: MemoryFolder) -> None:
    """8,760 runs, folded into their days, take a small part of two seconds."""
    for back in range(365, 0, -1):
        runs = [run(f"{n:x}", at(days_before(back), n), orders=figures()) for n in range(24)]
        content = DayFile(FORMAT, [day(days_before(back), *runs)])
        memory.put(f"{days_before(back)}-f.day.json", msgspec.json.encode(content))
    started = time.process_time()
    history = folder_of(memory).read_and_fold(ACCOUNT, TODAY, "0")
    assert time.process_time() - started < 0.5
    assert len(memory.files) == 365
    assert set(delivered(history).values()) == {2_400}


def test_what_is_written_is_redacted(memory: MemoryFolder) -> None:
    """Whatever part of an entry has an address, the file has its hash."""
    left = entry("a", at(TODAY))
    left.run.message = "what buyer@example.com did"
    folder_of(memory).add(left)
    (content,) = memory.files.values()
    assert b"buyer" not in content
    assert b"what " in content
