"""The folder of the history: each run leaves a file, and finished days are folded into one each.

Runs may share the folder without a lock. No file changes once it is there: a run that folds a day
writes a new file under its own ID, with all runs of the files that it has read, and only then
deletes those. So each run is in one file at least, whatever is killed; one that is in two counts
once, as it has an ID.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.days import Account, fold
from target_liveintent.reporting.history.model import (
    FORMAT,
    DayFigures,
    DayFile,
    History,
    RunEntry,
)
from target_liveintent.storage import Folder

DAYS_READ = 91
"""Days before today that are read."""
_DAY_FILE = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f-]+\.day\.json")
_RUN_FILE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f-]+\.run\.json")
_ATTEMPTS = 5
"""How often the folder is read anew when another run folds days in the meantime."""
_Content = TypeVar("_Content", DayFile, RunEntry)


_Days = dict[dt.date, dict[Account, DayFigures]]


class _Loaded(NamedTuple):
    """What was read.

    Attributes:
        listed: The names of all files.
        day_files: The day files by name.
        entries: The entries of runs by name.
    """

    listed: list[str]
    day_files: dict[str, DayFile]
    entries: dict[str, RunEntry]

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
        warn: Takes a message about a file that cannot be read; it is left alone.
    """

    def __init__(self, folder: Folder, days_kept: int, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._days_kept = days_kept
        self._warn = warn
        self._warned: set[str] = set()

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
        """Return what is known of an account and pixel, and tidy up the folder.

        Days before today are folded into one file each, and those that are too old are deleted.

        Args:
            account: The account and the pixel.
            today: The day of the run.
            run_id: The ID of the run that tidies up.
        """
        loaded = self._load(today)
        days = _days_of(loaded)
        self._fold(loaded, days, today, run_id)
        oldest = today - dt.timedelta(days=self._days_kept)
        for name in loaded.listed:
            if _DAY_FILE.fullmatch(name) and _day_of(name) < oldest:
                self._folder.delete(name)
        return _history(loaded, days, account, today)

    def _load(self, today: dt.date) -> _Loaded:
        """Read the files of the days that count; again, if another run has folded some of them."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return self._read_all(today)
        return self._read_all(today, absent=True)

    def _read_all(self, today: dt.date, *, absent: bool = False) -> _Loaded:
        names = self._folder.names()
        entries = dict(self._decoded(filter(_RUN_FILE.fullmatch, names), RunEntry, absent=absent))
        first = today - dt.timedelta(days=min(DAYS_READ, self._days_kept))
        late = {one.day for one in entries.values()}
        wanted = [
            name
            for name in filter(_DAY_FILE.fullmatch, names)
            if _day_of(name) >= first or _day_of(name) in late
        ]
        day_files = dict(self._decoded(wanted, DayFile, absent=absent))
        return _Loaded(names, day_files, entries)

    def _decoded(
        self, names: Iterable[str], kind: type[_Content], *, absent: bool
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
            elif name not in self._warned:
                self._warned.add(name)
                msg = (
                    f"history_path has a file that this version cannot read, {name}; it is left"
                    " out. If no newer version has written it, delete it"
                )
                self._warn(msg)

    def _fold(self, loaded: _Loaded, days: _Days, today: dt.date, run_id: str) -> None:
        names = loaded.names
        for day, found in days.items():
            day_names, run_names = names[day]
            if day >= today or (len(day_names) == 1 and not run_names):
                continue
            name = f"{day}-{run_id}.day.json"
            self._folder.put(name, msgspec.json.encode(DayFile(FORMAT, list(found.values()))))
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
    found = [of_day[account] for day, of_day in days.items() if day >= first and account in of_day]
    entries = [one for one in loaded.entries.values() if (one.account, one.pixel_id) == account]
    newest = max(entries, key=lambda one: (one.run.ended_at, one.run.run_id), default=None)
    return History(found, newest)
