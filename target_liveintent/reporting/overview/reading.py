"""Reads the history that the settings name, and writes its page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from target_liveintent.clock import Clock
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.entry import account_of
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.overview.gather import facts_of, overview_of
from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.settings import Settings
from target_liveintent.storage import LocalFolder, replace_file


def read_overview(
    settings: Settings, max_age: dt.timedelta | None, warn: Callable[[str], None], clock: Clock
) -> tuple[Overview, Facts | None]:
    """Return what the history says, and the report of the last run if the history has it.

    Args:
        settings: The settings of the runs.
        max_age: How old the last run may be.
        warn: Takes a message about a file that cannot be read.
        clock: Tells the time.

    Raises:
        ConfigurationError: If there is no history.
        StorageError: If it cannot be read.
    """
    if settings.history_path is None:
        msg = (
            "setting 'history_path' is not set, so runs leave no history: set it, and what they"
            " leave from then on is shown"
        )
        raise ConfigurationError(msg)
    now = dt.datetime.fromtimestamp(clock.time(), settings.events.zone)
    account = account_of(settings)
    folder = LocalFolder("history_path", settings.history_path)
    history = HistoryFolder(folder, settings.history_days, warn).read(account, now.date())
    return overview_of(history, account, now, max_age), facts_of(history)


def write_overview(overview: Overview, facts: Facts | None, path: str) -> None:
    """Replace the page at a path; only its owner can read it.

    Raises:
        OSError: If it cannot be written.
    """
    # Imported here because it imports pygal, which only a page needs.
    from target_liveintent.reporting.overview.page import page  # noqa: PLC0415

    replace_file(path, without_secrets(page(overview, facts)))
