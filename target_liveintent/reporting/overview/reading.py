"""Reads the history from the store, and writes its page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.files import replace_file
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history import History, RunEntry
from target_liveintent.reporting.history.reading import day_of, read_history
from target_liveintent.reporting.overview.gather import facts_of, overview_of
from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.settings import Settings
from target_liveintent.store import Database


def read_overview(
    settings: Settings,
    database: Database | None,
    max_age: dt.timedelta | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Overview, Facts | None]:
    """Return what the history says, and the report of the last run if it has one.

    Args:
        settings: The settings of the runs.
        database: The store; None if there is none yet.
        max_age: How old the last run may be.
        clock: Tells the time.

    Raises:
        StorageError: If the store cannot be read.
    """
    now = dt.datetime.fromtimestamp(clock.time(), settings.events.zone)
    found = read_history(database, settings, now.date())
    return overview_of(found, whose(settings), now, max_age), facts_of(found)


def overview_with(history: History, entry: RunEntry, settings: Settings) -> Overview:
    """Return what a history says at the end of a run.

    Args:
        history: What was there before the run.
        entry: What the run left.
        settings: The settings of the run.
    """
    days = {one.day: one for one in history.days}
    before = days[entry.day].entries if entry.day in days else []
    days[entry.day] = day_of(entry.day, [*before, entry])
    ended_at = entry.run.ended_at.astimezone(settings.events.zone)
    ordered = [one for _, one in sorted(days.items())]
    return overview_of(History(ordered, entry), whose(settings), ended_at)


def whose(settings: Settings) -> tuple[str, int | None]:
    """Return the account with its API host, and the pixel, of a history."""
    return f"{settings.customer_id} at {settings.api_host}", settings.pixel_id


def write_overview(overview: Overview, facts: Facts | None, path: str) -> None:
    """Replace the page at a path.

    Raises:
        OSError: If the file cannot be written.
    """
    # Imported here because it imports pygal, which only a page needs.
    from target_liveintent.reporting.overview.page import page  # noqa: PLC0415

    replace_file(Path(path), without_secrets(page(overview, facts)))
