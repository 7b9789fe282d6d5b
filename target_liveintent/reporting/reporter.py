"""Reports on a run while it is running and at its end, as far as the settings ask for it."""

from __future__ import annotations

import contextlib
import logging
from typing import IO, NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.errors import RunError
from target_liveintent.reporting import summary
from target_liveintent.reporting.history import (
    DONE,
    FAILED,
    STOPPED,
    TEST,
    Ending,
    History,
    RunRecord,
    read_history,
    record_of,
    stored_text,
)
from target_liveintent.reporting.metrics import MetricsFile
from target_liveintent.reporting.progress import LiveLine, Progress
from target_liveintent.reporting.report import assess, write_page
from target_liveintent.reporting.unusual import NOT_JUDGED, Judgement, judge, lines
from target_liveintent.run import RunCounts
from target_liveintent.run_id import run_named
from target_liveintent.settings import Settings
from target_liveintent.store import RunStore, open_for_reading, open_store


class KeptRun(NamedTuple):
    """A run that is kept in the store.

    Attributes:
        history: What was there before it, with the run.
        judgement: What is unusual at its end.
    """

    history: History
    judgement: Judgement


def keep_run(record: RunRecord, settings: Settings, store: RunStore) -> KeptRun:
    """Keep the figures of a run, and return what is unusual.

    Raises:
        StorageError: If the store cannot be used.
    """
    history, judgement = History([]), NOT_JUDGED
    is_stopped = record.ending == STOPPED  # Whoever stops a run does not wait for more than a page.
    if not is_stopped or settings.report_path is not None:
        history = read_history(store.database, settings, record.day)
    if not is_stopped:
        judgement = judge(history, record, settings.events.zone)
    record.unusual = [one for found in judgement.values() for one in found]
    store.finish(record.ending, stored_text(record))
    return KeptRun(history, judgement)


def keep_failure(message: str, settings: Settings, run_id: str, program: str) -> None:
    """Keep a run that failed before it could begin, if there is a store already.

    Otherwise, nobody who asks for the health of the runs would learn of it.
    """
    with contextlib.suppress(RunError):
        database = open_for_reading(settings)
        database.close()
        if settings.dry_run or database.is_new:
            return
        now, ending = SYSTEM_CLOCK.time(), Ending(FAILED, message)
        record = record_of(RunCounts(), settings, ending, run_id=run_id, version=program, now=now)
        with contextlib.closing(open_store(settings, run_id)) as store:
            store.finish(FAILED, stored_text(record))


class RunReporter:
    """Writes the progress, the metrics, the summary and the report of a run.

    Args:
        settings: The settings of the run.
        program: The program's name and version.
        logger: Takes progress, the summary, and warnings about files that cannot be written.
        stream: Standard error; a terminal shows progress as one live line.
        clock: Tells the time.
        run_id: The ID of the run.
        place: Where dead letters are, for the summary; None to say nothing of it.
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
        interval = settings.flush_interval_seconds
        line = LiveLine(stream) if stream.isatty() else None
        self._progress = Progress(logger, interval, line, clock)
        self._metrics: MetricsFile | None = None
        if settings.metrics_path is not None:
            self._metrics = MetricsFile(
                settings.metrics_path, interval, logger, clock, run_id=run_id
            )

    def progress(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Report how far the run is; called about once a second."""
        self._progress.update(counts, status)
        if self._metrics is not None:
            self._metrics.update(counts, status)

    def end(self, counts: RunCounts, ending: Ending, store: RunStore | None) -> None:
        """Report how the run ended: in the log, in the store, and in the files of the settings.

        The last line of a run that is done ends in its ID; after others, the caller logs more.

        Args:
            counts: The counts of the run.
            ending: How it ended.
            store: The store; None in a dry run, of which it keeps nothing, and which writes no
                page, so that the page of the last real run stays.
        """
        self._progress.close()
        settings, is_done = self._settings, ending.kind == DONE
        for warning in summary.warnings(counts, settings.timezone):
            self._logger.warning(warning)
        advice = summary.advice(counts, self._place, settings.timezone)
        closing = [(logging.INFO, line) for line in (*summary.lines(counts), *advice)]
        kept = None if store is None else self._keep(counts, ending, store)
        judgement = NOT_JUDGED if kept is None else kept.judgement
        closing += [(logging.WARNING, line) for line in lines(judgement)]
        name = run_named(self._run_id) if is_done else ""
        has_page = kept is not None and settings.report_path is not None
        for number, (level, line) in enumerate(closing, 1):
            is_last = number == len(closing) and not has_page
            self._logger.log(level, "%s%s", line, name if is_last else "")
        if self._metrics is not None:
            self._metrics.end(counts, success=is_done, judgement=judgement)
        if kept is not None and settings.report_path is not None:
            self._write_page(kept.history, settings.report_path, name)

    def _keep(self, counts: RunCounts, ending: Ending, store: RunStore) -> KeptRun | None:
        """Keep the run in the store; return None if there is no history to show."""
        try:
            record = record_of(
                counts,
                self._settings,
                ending,
                run_id=self._run_id,
                version=self._program,
                now=self._clock.time(),
                repeated=store.repeated_letters,
            )
            kept = keep_run(record, self._settings, store)
        except RunError as failure:
            self._logger.warning(
                "%s, so the history does not have the figures of this run", failure
            )
            return None
        except Exception as failure:  # noqa: BLE001 (events are delivered, and STATE is written)
            why = type(failure).__name__
            self._logger.warning("the history lacks the figures of this run (%s)", why)
            return None
        if record.kind == TEST:  # It sent nothing, and the page of the last real run stays.
            return None
        return kept._replace(history=kept.history.plus(record))

    def _write_page(self, history: History, path: str, name: str) -> None:
        """Write the page, and log where it is; this line ends in `name`."""
        try:
            write_page(assess(history, self._settings, self._clock.time()), path)
        except Exception as failure:  # noqa: BLE001 (events are delivered and STATE is written)
            why = getattr(failure, "strerror", None) or type(failure).__name__
            self._logger.warning("report_path '%s' cannot be written: %s%s", path, why, name)
        else:
            self._logger.info("the report is in %s%s", path, name)
