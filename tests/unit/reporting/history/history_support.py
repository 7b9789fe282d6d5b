"""Made-up runs and days of a history."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from target_liveintent.reporting.history.model import (
    FORMAT,
    USUAL,
    DayFigures,
    RunEntry,
    RunFigures,
    StreamFigures,
)
from target_liveintent.reporting.history.reading import day_of

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
    """Return the figures of a run."""
    return RunFigures(name, ended_at, kind, "done", None, "target-liveintent 1", "abc", streams)


def figures(delivered: int = 100, **others: Any) -> StreamFigures:
    """Return the figures of a stream."""
    return StreamFigures(delivered, delivered, **others)


def entry(of_run: RunFigures, day: dt.date | None = None) -> RunEntry:
    """Return what a run leaves, on the day in UTC unless another one is given."""
    day = day or of_run.ended_at.date()
    return RunEntry(FORMAT, day, {"timezone": "UTC"}, of_run, msgspec.Raw(b"{}"))


def day(of: dt.date, *runs: RunFigures) -> DayFigures:
    """Return a day with runs."""
    return day_of(of, [entry(one, of) for one in runs])


def usual_days(count: int, usual: StreamFigures | None = None) -> list[DayFigures]:
    """Return days before today that have a run each."""
    dates = [days_before(back) for back in range(count, 0, -1)]
    orders = usual or figures()
    return [day(one, run(f"{one}", at(one), orders=orders)) for one in dates]
