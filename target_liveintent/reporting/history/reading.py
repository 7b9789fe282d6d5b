"""Reads the history of an account and pixel from the store."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

import msgspec

from target_liveintent.conversions import DAY
from target_liveintent.reporting.history.model import (
    FORMAT,
    USUAL,
    DayFigures,
    History,
    RunEntry,
    RunFigures,
    StreamFigures,
    Unusual,
    sum_of,
)
from target_liveintent.reporting.run_report.model import FAILED
from target_liveintent.settings import Settings
from target_liveintent.store import Database, StoredRun, account_of, runs_in

DAYS_READ = 91
"""Days before today that are read."""
_decode = msgspec.json.Decoder(RunEntry).decode


def read_history(database: Database | None, settings: Settings, today: dt.date) -> History:
    """Return what is known of the account and the pixel of the settings.

    Args:
        database: The store; None if there is none yet.
        settings: The settings.
        today: The last day, in the zone of the settings.

    Raises:
        StorageError: If the store cannot be read.
    """
    if database is None:
        return History([])
    midnight = dt.datetime.combine(today, dt.time(), settings.events.zone)
    # (A run may begin on the day before that on which it ends.)
    since = midnight.timestamp() - (DAYS_READ + 2) * DAY
    runs = runs_in(database, account_of(settings), settings.pixel_id, since)
    return history_of([entry for one in runs if (entry := _entry_of(one, settings))], today)


def history_of(entries: Iterable[RunEntry], today: dt.date) -> History:
    """Return the history that runs make."""
    first = today - dt.timedelta(days=DAYS_READ)
    last = today + dt.timedelta(days=1)  # As it is in other time zones; later, a clock was wrong.
    by_day: dict[dt.date, list[RunEntry]] = {}
    for entry in entries:
        if first <= entry.day <= last:
            by_day.setdefault(entry.day, []).append(entry)
    days = [day_of(day, found) for day, found in sorted(by_day.items())]
    newest = max(
        (one for found in by_day.values() for one in found),
        key=lambda one: (one.run.ended_at, one.run.run_id),
        default=None,
    )
    return History(days, newest)


def day_of(day: dt.date, entries: Iterable[RunEntry]) -> DayFigures:
    """Return the figures of a day from its runs; of two entries of a run, the last counts."""
    latest = {one.run.run_id: one for one in entries}.values()
    entries = sorted(latest, key=lambda one: (one.run.ended_at, one.run.run_id))
    ordered = [one.run for one in entries]
    unusual: dict[tuple[str, str, str], Unusual] = {}
    for run in ordered:
        unusual |= {one.key: one for one in run.unusual}
    return DayFigures(
        day=day,
        usual=_by_stream(run for run in ordered if run.kind == USUAL),
        others=_by_stream(run for run in ordered if run.kind != USUAL and run.delivers),
        kinds=dict(Counter(run.kind for run in ordered)),
        endings=dict(Counter(run.ending for run in ordered)),
        versions=list(dict.fromkeys(run.version for run in ordered)),
        settings={one.run.settings: one.settings for one in entries},
        unusual=list(unusual.values()),
        entries=entries,
    )


def _by_stream(runs: Iterable[RunFigures]) -> dict[str, StreamFigures]:
    groups: dict[str, list[StreamFigures]] = {}
    for run in runs:
        for stream, figures in run.streams.items():
            groups.setdefault(stream, []).append(figures)
    return {stream: sum_of(group) for stream, group in groups.items()}


def _entry_of(stored: StoredRun, settings: Settings) -> RunEntry | None:
    """Return what a run left; None if another version wrote it. A run without figures failed."""
    if stored.figures is None:
        ended_at = dt.datetime.fromtimestamp(stored.last_seen, dt.timezone.utc)
        run = RunFigures(
            run_id=stored.id,
            ended_at=ended_at,
            kind=stored.kind,
            ending=FAILED,
            message="the run was killed, or the machine was switched off",
            version="",
            settings="",
            streams={},
        )
        day = ended_at.astimezone(settings.events.zone).date()
        return RunEntry(FORMAT, day, {}, run, msgspec.Raw(b"null"))
    try:
        entry = _decode(stored.figures)
    except msgspec.DecodeError:
        return None
    return entry if entry.format == FORMAT else None
