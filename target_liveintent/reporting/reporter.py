"""Reports on a run while it is running and at its end, as far as the settings ask for it."""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Sequence
from typing import IO, NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery.batch import DeliveryStatus
from target_liveintent.errors import RunError
from target_liveintent.reporting import history
from target_liveintent.reporting.history import DONE, Ending, History, Unusual
from target_liveintent.reporting.metrics import MetricsFile
from target_liveintent.reporting.page_owner import check_owner
from target_liveintent.reporting.rules import unusual_in
from target_liveintent.reporting.words import unusual_lines
from target_liveintent.run import summary
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.progress import Progress
from target_liveintent.run_id import run_named
from target_liveintent.settings import Settings
from target_liveintent.store.database import Database
from target_liveintent.store.ledger import Ledger, ledger_of, of_24_hours
from target_liveintent.store.places import PlaceRow
from target_liveintent.store.run_store import RunStore


class _Kept(NamedTuple):
    """The history with the run that has just ended, and what follows from it.

    Attributes:
        rows: Where the events of the history are now; without a page, those of the last days.
        ledger: The ledger of the last 24 hours.
        unusual: What is unusual; None if the rules do not judge the run.
        has_new_settings: Whether no earlier usual run had the settings of this one.
    """

    history: History
    rows: Sequence[PlaceRow]
    ledger: Ledger
    unusual: list[Unusual] | None
    has_new_settings: bool


class RunReporter:
    """Writes the progress, the metrics, the summary and the report of a run.

    If `stream` is a terminal, it shows progress as one live line. `place` says where the dead
    letters are; with None, the summary does not name a place.

    Raises:
        ConfigurationError: If `report_path` is the page of another account or pixel.
    """

    def __init__(  # noqa: PLR0913 (an argument for each thing that it reports on or to)
        self,
        settings: Settings,
        program: str,
        logger: logging.Logger,
        stream: IO[str],
        clock: Clock = SYSTEM_CLOCK,
        *,
        run_id: str,
        place: str | None = "the store",
    ) -> None:
        self._place = place
        self._settings = settings
        self._program = program
        self._logger = logger
        self._clock = clock
        self._run_id = run_id
        interval, path = settings.flush_interval_seconds, settings.metrics_path
        self._progress = Progress(logger, interval, stream if stream.isatty() else None, clock)
        if settings.report_path is not None and not settings.dry_run:
            check_owner(settings.report_path, settings.account, settings.pixel_id)
        self._metrics = path and MetricsFile(path, interval, logger, clock, run_id=run_id)

    def progress(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Report how far the run is; called about once a second."""
        self._progress.update(counts, status)
        if self._metrics:
            self._metrics.update(counts, status)

    def end(self, counts: RunCounts, ending: Ending, store: RunStore | None) -> None:
        """Report how the run ended: in the log, in the store, and in the files of the settings.

        If the run is done, the last line ends with its ID; otherwise, the caller logs more lines.
        A dry run, or a run without a store, adds nothing to the history, and writes no page.
        """
        self._progress.close()
        is_done = ending.kind == DONE
        kept = self._keep(counts, ending, store)
        self._warn(counts, kept)
        unusual, ledger = (kept.unusual, kept.ledger) if kept else (None, None)
        closing = [(logging.INFO, line) for line in summary.summary_lines(counts)]
        if ledger is not None:
            closing.append((logging.INFO, f"in the last 24 hours: {ledger.words}"))
        closing += [(logging.INFO, line) for line in summary.advice(counts, self._place)]
        closing += [(logging.WARNING, line) for line in unusual_lines(unusual or ())]
        if self._metrics:
            self._metrics.end(counts, success=is_done, unusual=unusual, ledger=ledger)
        if kept is not None and store is not None and self._settings.report_path is not None:
            closing.append(self._write_page(kept, store.database, self._settings.report_path))
        for level, line in closing[:-1]:
            self._logger.log(level, "%s", line)
        level, line = closing[-1]
        self._logger.log(level, "%s%s", line, run_named(self._run_id) if is_done else "")

    def _warn(self, counts: RunCounts, kept: _Kept | None) -> None:
        """Log what may be wrong with the run."""
        has_new_settings = kept is None or kept.has_new_settings
        timezone = self._settings.timezone if has_new_settings else None
        for warning in summary.warnings(counts, timezone, self._settings.partial_answer):
            self._logger.warning(warning)

    def _keep(self, counts: RunCounts, ending: Ending, store: RunStore | None) -> _Kept | None:
        """Add the run to the history; return None if this is not wanted, or fails."""
        if store is None or self._settings.dry_run:
            return None
        settings, now = self._settings, self._clock.time()
        try:
            record = history.record_of(
                counts, settings, ending, store, run_id=self._run_id, version=self._program, now=now
            )
            earlier = history.read_history(store.database, settings.account, settings.events, now)
            days = history.DAYS_READ if settings.report_path else 2
            rows = history.recent_places(store.database, settings.storage, now, days)
            unusual = unusual_in(earlier, record, settings.events.zone, rows)
            record.unusual = unusual or []
            store.finish(record.ending.kind, history.stored_text(record))
        except Exception as failure:  # noqa: BLE001 (a report never fails a run)
            why = str(failure) if isinstance(failure, RunError) else type(failure).__name__
            self._logger.warning("%s, so the history does not have the figures of this run", why)
            return None
        is_new = all(run.settings != record.settings for run in earlier.usual_runs)
        runs = history.history_of([*earlier.runs, record], record.day)
        return _Kept(runs, rows, ledger_of(of_24_hours(rows, now)), unusual, is_new)

    def _write_page(self, kept: _Kept, database: Database, path: str) -> tuple[int, str]:
        """Write the page, and return a line for the log that says where it is."""
        try:
            from target_liveintent.reporting import overview, page  # noqa: PLC0415 (few runs)

            settings = self._settings
            now = dt.datetime.fromtimestamp(self._clock.time(), settings.events.zone)
            shown = overview.overview_of(kept.history, kept.rows, settings.storage, now)
            example_of = functools.partial(
                history.example_of, database, settings.storage, now.timestamp()
            )
            page.write_page(overview.with_examples(shown, example_of), path)
        except Exception as failure:  # noqa: BLE001 (a report never fails a run)
            why = getattr(failure, "strerror", None) or type(failure).__name__
            return logging.WARNING, f"report_path '{path}' cannot be written: {why}"
        return logging.INFO, f"the report is in {path}"
