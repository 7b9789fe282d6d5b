"""Puts a run into the history at its end, and says what is unusual."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import RunError
from target_liveintent.reporting.history.entry import entry_of
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.judge import NOT_JUDGED, Judgement, judge
from target_liveintent.reporting.history.model import History, RunEntry
from target_liveintent.reporting.run_report.model import STOPPED, Facts
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.run import RunCounts
from target_liveintent.settings import Settings
from target_liveintent.storage import Places

_NOT_KEPT = "so this run is not in the history"
_NOT_COMPARED = "so this run is not compared with usual days"


class HistoryRecorder:
    """Keeps the history of runs. What it cannot do is a warning, and never ends a run.

    Args:
        settings: The settings of the run.
        logger: Takes the warnings.
        clock: Tells the time.

    Attributes:
        history: What was there before this run; None if it is not known.
        entry: What this run leaves; None before its end.
    """

    def __init__(
        self, settings: Settings, logger: logging.Logger, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._logger = logger
        self.history: History | None = None
        self.entry: RunEntry | None = None
        self._folder: HistoryFolder | None = None
        with self._tolerated(_NOT_KEPT):
            folder = Places(settings, logger, clock).history()
            if folder is not None:
                self._folder = HistoryFolder(folder, settings.history_days, logger.warning)

    def end(self, counts: RunCounts, tally: Tally, facts: Callable[[], Facts]) -> Judgement:
        """Write the entry of a run that is over, and return what is unusual at its end."""
        folder, judgement = self._folder, NOT_JUDGED
        if folder is None:
            return judgement
        with self._tolerated(_NOT_KEPT):
            entry = entry_of(counts, tally, self._settings, facts())
            if entry.run.ending != STOPPED:  # Whoever stops a run does not wait for that.
                with self._tolerated(_NOT_COMPARED):
                    judgement = self._judge(folder, entry)
            entry.run.unusual = [one for found in judgement.values() for one in found]
            self.entry = entry
            folder.add(entry)
        return judgement

    def _judge(self, folder: HistoryFolder, entry: RunEntry) -> Judgement:
        account = entry.account, entry.pixel_id
        self.history = folder.read_and_fold(account, entry.day, entry.run.run_id)
        return judge(self.history, entry.run, self._settings.events.zone)

    @contextlib.contextmanager
    def _tolerated(self, consequence: str) -> Iterator[None]:
        """Turn a failure into a warning: events are delivered, and STATE is written."""
        try:
            yield
        except RunError as failure:
            self._logger.warning("%s, %s", failure, consequence)
        except Exception as failure:  # noqa: BLE001 (above)
            why = type(failure).__name__
            self._logger.warning("history_path cannot be used (%s), %s", why, consequence)
