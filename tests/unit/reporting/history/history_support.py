"""Made-up runs and days of a history."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.reporting.history.days import Account, day_of
from target_liveintent.reporting.history.model import (
    FORMAT,
    USUAL,
    DayFigures,
    RunEntry,
    RunFigures,
    StreamFigures,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_liveintent.storage.folders import Folder

ACCOUNT: Account = ("a-1b2c at api.example.com", 4711)
TODAY = dt.date(2026, 3, 2)
"""A Monday."""


def at(day: dt.date, hour: int = 12, minute: int = 0) -> dt.datetime:
    """Return a moment of a day in UTC."""
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.timezone.utc)


def days_before(count: int, day: dt.date = TODAY) -> dt.date:
    """Return the day so many days before a day."""
    return day - dt.timedelta(days=count)


def run(
    name: str, ended_at: dt.datetime, kind: str = USUAL, **streams: StreamFigures
) -> RunFigures:
    """Return what a day keeps of a run."""
    return RunFigures(name, ended_at, kind, "done", None, "target-liveintent 1", "abc", streams)


def figures(delivered: int = 100, **others: Any) -> StreamFigures:
    """Return the figures of a stream."""
    return StreamFigures(delivered, delivered, **others)


def entry(name: str, ended_at: dt.datetime, account: Account = ACCOUNT, **streams: Any) -> RunEntry:
    """Return what a run leaves; its ID is made of a hexadecimal name."""
    streams = streams or {"orders": figures()}
    of_run = run(name, ended_at, **streams)
    settings = {"timezone": "UTC"}
    return RunEntry(FORMAT, *account, ended_at.date(), settings, of_run, msgspec.Raw(b"{}"))


def day(of: dt.date, *runs: RunFigures, account: Account = ACCOUNT) -> DayFigures:
    """Return a day with runs."""
    return day_of(account, of, runs, {"abc": {"timezone": "UTC"}})


def usual_days(count: int, usual: StreamFigures | None = None) -> list[DayFigures]:
    """Return days before today that have a run each."""
    dates = [days_before(back) for back in range(count, 0, -1)]
    orders = usual or figures()
    return [day(one, run(f"{one}", at(one), orders=orders)) for one in dates]


class MemoryFolder:
    """A `Folder` in memory.

    Attributes:
        files: The content by name.
        read_names: The names that were read.
        before_read: Called with a name before it is read.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.read_names: list[str] = []
        self.before_read = lambda _name: None

    def check(self) -> None:
        pass

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        self.before_read(name)
        self.read_names.append(name)
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def delete(self, name: str) -> None:
        self.files.pop(name, None)


def endings(names: Sequence[str]) -> list[str]:
    """Return what kinds of files there are: `run` and `day`."""
    return [name.split(".")[1] for name in names]


_: type[Folder] = MemoryFolder
