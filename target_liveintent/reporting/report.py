"""Reads what the history says, and writes its page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.files import replace_file
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.advice import advise
from target_liveintent.reporting.health import causes_of
from target_liveintent.reporting.history import USUAL, History, read_history, total_of
from target_liveintent.reporting.overview import Overview, overview_of
from target_liveintent.settings import Settings
from target_liveintent.store import Database

_ADVISED = dt.timedelta(days=29)
"""Days before today that advice is about."""


def assess(
    history: History,
    settings: Settings,
    at: float,
    max_age: dt.timedelta | None = None,
) -> Overview:
    """Return what a history says.

    Args:
        history: The history of the account and pixel.
        settings: The settings of the runs.
        at: The moment, in Unix seconds.
        max_age: How old the last run may be; None if that is not judged.
    """
    now = dt.datetime.fromtimestamp(at, settings.events.zone)
    account = f"{settings.customer_id} at {settings.api_host}"
    overview = overview_of(history, (account, settings.pixel_id), now)
    overview.causes = list(causes_of(overview, history, max_age))
    first = now.date() - _ADVISED
    recent = [run for run in history.runs if run.kind == USUAL and run.day >= first]
    overview.advice = advise(total_of(recent))
    return overview


def read_overview(
    settings: Settings,
    database: Database,
    max_age: dt.timedelta | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Overview:
    """Return what the history in the store says.

    Args:
        settings: The settings of the runs.
        database: The store.
        max_age: How old the last run may be.
        clock: Tells the time.

    Raises:
        StorageError: If the store cannot be read.
    """
    now = clock.time()
    today = dt.datetime.fromtimestamp(now, settings.events.zone).date()
    return assess(read_history(database, settings, today), settings, now, max_age)


def write_page(overview: Overview, path: str) -> None:
    """Replace the page at a path.

    Raises:
        OSError: If the file cannot be written.
    """
    # Imported here because it imports Jinja2, which only a page needs.
    from target_liveintent.reporting.page import page  # noqa: PLC0415

    replace_file(Path(path), without_secrets(page(overview)))
