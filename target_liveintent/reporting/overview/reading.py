"""Reads the history that the settings name, and writes its page."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history import History, RunEntry
from target_liveintent.reporting.history.days import fold
from target_liveintent.reporting.history.entry import account_of
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.overview.gather import facts_of, overview_of
from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.settings import Settings, is_url
from target_liveintent.storage import Places


def read_overview(
    settings: Settings,
    logger: logging.Logger,
    max_age: dt.timedelta | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Overview, Facts | None]:
    """Return what the history says, and the report of the last run if the history has it.

    Args:
        settings: The settings of the runs.
        logger: Takes a warning about a file that cannot be read.
        max_age: How old the last run may be.
        clock: Tells the time.

    Raises:
        ConfigurationError: If there is no history, or no such bucket.
        StorageError: If it cannot be read.
    """
    folder = Places(settings, logger, clock).history()
    if folder is None:
        msg = (
            "setting 'history_path' is not set, so there is no history to show: set history_path,"
            " and the history shows all runs from then on"
        )
        raise ConfigurationError(msg)
    now = dt.datetime.fromtimestamp(clock.time(), settings.events.zone)
    account = account_of(settings)
    found = HistoryFolder(folder, settings.history_days, logger.warning).read(account, now.date())
    if not found.days and is_url(settings.history_path or ""):
        folder.check()  # A bucket that is not there lists like an empty one.
    return overview_of(found, account, now, max_age), facts_of(found)


def overview_with(history: History, entry: RunEntry, zone: dt.tzinfo) -> Overview:
    """Return what a history says at the end of a run.

    Args:
        history: What was there before the run.
        entry: What the run left.
        zone: The zone of the setting `timezone`.
    """
    account = entry.account, entry.pixel_id
    today = [one for one in history.days if one.day == entry.day]
    earlier = [one for one in history.days if one.day != entry.day]
    folded = fold(entry.day, today, [entry])[account]
    days = sorted([*earlier, folded], key=lambda one: one.day)
    return overview_of(History(days, entry), account, entry.run.ended_at.astimezone(zone))


def write_overview(
    overview: Overview, facts: Facts | None, path: str, replace: Callable[[str, str], None]
) -> None:
    """Replace the page at a path, by a function such as `replace_file`.

    Raises:
        OSError: If a file cannot be written.
        StorageError: If an object cannot be written.
    """
    # Imported here because it imports pygal, which only a page needs.
    from target_liveintent.reporting.overview.page import page  # noqa: PLC0415

    replace(path, without_secrets(page(overview, facts)))
