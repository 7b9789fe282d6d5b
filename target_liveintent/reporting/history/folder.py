"""The folder of the history: each run leaves a file, and finished days are folded into one each.

Runs may share the folder without a lock. No file changes once it is there: a run that folds a day
writes a new file under its own ID, with all runs of the files that it has read, unless one of them
has all of these already. Only then does it delete the others. So each run is in one file at least,
whatever is killed; one that is in two counts once, as it has an ID.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from target_liveintent.errors import StorageError
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.days import Account, fold
from target_liveintent.reporting.history.model import (
    FORMAT,
    DayFigures,
    DayFile,
    History,
    RunEntry,
)
from target_liveintent.run import counted
from target_liveintent.storage import Folder

DAYS_READ = 91
"""Days before today that are read."""
_DAY_FILE = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f-]+\.day\.json")
_RUN_FILE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f-]+\.run\.json")
_ATTEMPTS = 5
"""How often the folder is read anew when another run folds days in the meantime."""
_MOST_NAMED = 3
"""Files that a message names."""
_Content = TypeVar("_Content", DayFile, RunEntry)


_Days = dict[dt.date, dict[Account, DayFigures]]


class _Loaded(NamedTuple):
    """What was read.

    Attributes:
        listed: The names of all files.
        day_files: The day files by name.
        entries: The entries of runs by name.
        unreadable: The names of files that this version cannot read.
    """

    listed: list[str]
    day_files: dict[str, DayFile]
    entries: dict[str, RunEntry]
    unreadable: list[str]

    @property
    def names(self) -> dict[dt.date, tuple[list[str], list[str]]]:
        """The names of the day files and of the entries, by day."""
        names: dict[dt.date, tuple[list[str], list[str]]] = {}
        for name in self.day_files:
            names.setdefault(_day_of(name), ([], []))[0].append(name)
        for name, entry in self.entries.items():
            names.setdefault(entry.day, ([], []))[1].append(name)
        return names


class HistoryFolder:
    """The folder of the history. Methods raise `StorageError` if it cannot be read or written.

    Args:
        folder: The folder.
        days_kept: The setting `history_days`.
        warn: Takes a message about files that cannot be read, which are left alone, or deleted.
    """

    def __init__(self, folder: Folder, days_kept: int, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._days_kept = days_kept
        self._warn = warn

    def add(self, entry: RunEntry) -> None:
        """Write what a run leaves.

        Raises:
            ConfigurationError: If there is no such bucket.
        """
        self._folder.check()
        name = f"{entry.run.ended_at:%Y%m%dT%H%M%SZ}-{entry.run.run_id}.run.json"
        text = without_secrets(msgspec.json.encode(entry).decode())
        self._folder.put(name, text.encode())

    def read(self, account: Account, today: dt.date) -> History:
        """Return what is known of an account and pixel; it changes nothing in the folder."""
        loaded = self._load(today)
        return _history(loaded, _days_of(loaded), account, today)

    def read_and_fold(self, account: Account, today: dt.date, run_id: str) -> History:
        """Return what is known of an account and pixel, and tidy up the folder if that is allowed.

        Days before today are folded into one file each, and those that are too old are deleted.

        Args:
            account: The account and the pixel.
            today: The day of the run.
            run_id: The ID of the run that tidies up.
        """
        loaded = self._load(today)
        days = _days_of(loaded)
        try:
            self._tidy_up(loaded, days, today, run_id)
        except StorageError as failure:
            msg = (
                f"{failure}, so old files stay in the history, and the history keeps"
                " growing. Give the run the permission to delete these files"
            )
            self._warn(msg)
        return _history(loaded, days, account, today)

    def _load(self, today: dt.date) -> _Loaded:
        """Read the files of the days that count, and warn of those that cannot be read."""
        loaded = self._read_patiently(today)
        self._warn_of(loaded.unreadable)
        return loaded

    def _read_patiently(self, today: dt.date) -> _Loaded:
        """Read the files; again, if another run has folded some of them in the meantime."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return self._read_all(today)
        return self._read_all(today, absent=True)

    def _read_all(self, today: dt.date, *, absent: bool = False) -> _Loaded:
        loaded = _Loaded(self._folder.names(), {}, {}, [])
        run_names = filter(_RUN_FILE.fullmatch, loaded.listed)
        loaded.entries.update(self._decoded(run_names, RunEntry, loaded.unreadable, absent=absent))
        first = today - dt.timedelta(days=min(DAYS_READ, self._days_kept))
        late = {one.day for one in loaded.entries.values()}
        day_names = [
            name
            for name in filter(_DAY_FILE.fullmatch, loaded.listed)
            if _day_of(name) >= first or _day_of(name) in late
        ]
        loaded.day_files.update(self._decoded(day_names, DayFile, loaded.unreadable, absent=absent))
        return loaded

    def _decoded(
        self, names: Iterable[str], kind: type[_Content], unreadable: list[str], *, absent: bool
    ) -> Iterator[tuple[str, _Content]]:
        decoder = msgspec.json.Decoder(kind)
        for name in names:
            try:
                content = decoder.decode(self._folder.read(name))
            except FileNotFoundError:
                if not absent:
                    raise
                continue
            except msgspec.DecodeError:
                content = None
            if content is not None and content.format == FORMAT:
                yield name, content
            else:
                unreadable.append(name)

    def _warn_of(self, unreadable: Sequence[str]) -> None:
        if unreadable:
            files = counted(len(unreadable), "file")
            named = ", ".join(unreadable[:_MOST_NAMED])
            msg = (
                f"history_path contains {files} that this version cannot read and therefore"
                f" ignores, for example {named}. Keep such a file if a newer version"
                " wrote it. Otherwise, delete it"
            )
            self._warn(msg)

    def _tidy_up(self, loaded: _Loaded, days: _Days, today: dt.date, run_id: str) -> None:
        self._fold(loaded, days, today, run_id)
        oldest = today - dt.timedelta(days=self._days_kept)
        for name in loaded.listed:
            if _DAY_FILE.fullmatch(name) and _day_of(name) < oldest:
                self._folder.delete(name)

    def _fold(self, loaded: _Loaded, days: _Days, today: dt.date, run_id: str) -> None:
        names = loaded.names
        for day, found in days.items():
            day_names, run_names = names[day]
            if day >= today or (len(day_names) == 1 and not run_names):
                continue
            content = DayFile(FORMAT, list(found.values()))
            name = next((one for one in day_names if loaded.day_files[one] == content), "")
            if not name:  # None of them has all runs.
                name = f"{day}-{run_id}.day.json"
                self._folder.put(name, msgspec.json.encode(content))
            for old in {*day_names, *run_names} - {name}:
                self._folder.delete(old)


def _day_of(name: str) -> dt.date:
    return dt.date.fromisoformat(name[: len("2026-11-26")])


def _days_of(loaded: _Loaded) -> _Days:
    """Return the days, the oldest first."""
    return {
        day: fold(
            day,
            [one for name in day_names for one in loaded.day_files[name].days],
            [loaded.entries[name] for name in run_names],
        )
        for day, (day_names, run_names) in sorted(loaded.names.items())
    }


def _history(loaded: _Loaded, days: _Days, account: Account, today: dt.date) -> History:
    first = today - dt.timedelta(days=DAYS_READ)
    last = today + dt.timedelta(days=1)  # As it is in other time zones; later, a clock was wrong.
    found = [
        of_day[account]
        for day, of_day in days.items()
        if first <= day <= last and account in of_day
    ]
    entries = [
        one
        for one in loaded.entries.values()
        if (one.account, one.pixel_id) == account and one.day <= last
    ]
    newest = max(entries, key=lambda one: (one.run.ended_at, one.run.run_id), default=None)
    return History(found, newest)
