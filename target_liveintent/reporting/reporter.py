"""Reports on a run while it is running and at its end, as far as the settings ask for it."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import IO

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.errors import StorageError
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.judge import NOT_JUDGED, lines
from target_liveintent.reporting.history.recorder import HistoryRecorder
from target_liveintent.reporting.metrics import MetricsFile
from target_liveintent.reporting.overview import Overview, overview_with, write_overview
from target_liveintent.reporting.progress import LiveLine, Progress
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.reporting.run_report.model import DONE, Ending, Facts
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.reporting.waits import WaitLog
from target_liveintent.run import RunCounts
from target_liveintent.run_id import run_named
from target_liveintent.settings import Settings, report_json
from target_liveintent.storage import Places


class RunReporter:
    """Writes the progress, the metrics, the summary and the run report of a run.

    Args:
        settings: The settings of the run.
        program: The program's name and version.
        logger: Takes progress, the summary, and warnings about files that cannot be written.
        stream: Standard error; a terminal shows progress as one live line.
        clock: Tells the time.
        run_id: The ID of the run.

    Raises:
        ConfigurationError: If the bucket of the report does not exist.
        StorageError: If its store cannot be reached.

    Attributes:
        tally: Counts what is delivered for the run report and the history; None if the settings ask
            for neither.
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
    ) -> None:
        self._settings = settings
        self._program = program
        self._logger = logger
        self._clock = clock
        self._run_id = run_id
        interval = settings.flush_interval_seconds
        line = LiveLine(stream) if stream.isatty() else None
        self._progress = Progress(logger, interval, line, clock)
        self._waits = WaitLog(logger, clock)
        self._metrics: MetricsFile | None = None
        if settings.metrics_path is not None:
            self._metrics = MetricsFile(
                settings.metrics_path, interval, logger, clock, run_id=run_id
            )
        self.tally: Tally | None = None
        if settings.report_path is not None or settings.history_path is not None:
            self.tally = Tally(settings.events.zone, clock)
        self._history = HistoryRecorder(settings, logger, clock)
        self._replace = Places(settings, logger, clock).report_replacer()

    def progress(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Report how far the run is; called about once a second."""
        if self.tally is not None:
            self.tally.timeline.update(counts)
        self._progress.update(counts, status)
        self._waits.update(status)
        self._waits.update_elsewhere(counts.elsewhere)
        if self._metrics is not None:
            self._metrics.update(counts, status)

    def end(self, counts: RunCounts, ending: Ending) -> None:
        """Report how the run ended: in the log, and in the files that the settings name.

        The last line of a run that is done ends in its ID; after others, the caller logs more.
        """
        self._progress.close()
        settings, is_done, judgement = self._settings, ending.kind == DONE, NOT_JUDGED
        for warning in counts.warnings(settings.timezone):
            self._logger.warning(warning)
        forget = _how_to_forget(settings)
        advice = counts.advice(settings.dead_letter_path, forget, settings.timezone)
        closing = [(logging.INFO, line) for line in (*counts.lines(), *advice)]
        facts = None if self.tally is None else self._facts(counts, self.tally, ending)
        if self.tally is not None and facts is not None:
            judgement = self._history.end(counts, self.tally, facts)
            closing += [(logging.WARNING, line) for line in lines(judgement)]
        name = run_named(self._run_id) if is_done else ""
        has_report = facts is not None and settings.report_path is not None
        for number, (level, line) in enumerate(closing, 1):
            is_last = number == len(closing) and not has_report
            self._logger.log(level, "%s%s", line, name if is_last else "")
        if self._metrics is not None:
            self._metrics.end(counts, success=is_done, judgement=judgement)
        if facts is not None and settings.report_path is not None:
            self._write_report(facts, settings.report_path, name)

    def _facts(self, counts: RunCounts, tally: Tally, ending: Ending) -> Callable[[], Facts]:
        """Return what gathers the facts of the run, which is over, when they are first needed."""
        tally.timeline.update(counts)
        names = {"target": self._program, "run_id": self._run_id}
        now = self._clock.time()
        return functools.cache(
            lambda: gather(counts, tally, self._settings, ending, **names, now=now)
        )

    def _overview(self) -> Overview | None:
        """Return what the history says, this run included; None without a history."""
        history, entry = self._history.history, self._history.entry
        if history is None or entry is None:
            return None
        return overview_with(history, entry, self._settings.events.zone)

    def _write_report(self, facts: Callable[[], Facts], path: str, name: str) -> None:
        """Write the report, and log where it is; this line ends in `name`."""
        try:
            write_report(facts(), path, self._replace, self._overview())
        except StorageError as failure:
            self._logger.warning("%s, so there is no report of this run%s", failure, name)
        except Exception as failure:  # noqa: BLE001 (events are delivered and STATE is written)
            why = getattr(failure, "strerror", None) or type(failure).__name__
            self._logger.warning("report_path '%s' cannot be written: %s%s", path, why, name)
        else:
            self._logger.info("the report is in %s%s", path, name)


def _how_to_forget(settings: Settings) -> str:
    """Return what removes all events from the ledger; empty if there is none."""
    if settings.ledger_url is not None:
        return "delete the rows of the table liveintent_ledger_accepted"
    is_there = os.path.isfile(settings.ledger_path)  # noqa: PTH113 (a path with a NUL is no file)
    return f"delete the ledger's files, {settings.ledger_path}*" if is_there else ""


def write_report(
    facts: Facts,
    path: str,
    replace: Callable[[str, str], None],
    overview: Overview | None = None,
) -> None:
    """Replace the page at a path and the JSON beside it, by a function such as `replace_file`.

    With an overview of the history, that opens the page.

    Raises:
        OSError: If a file cannot be written.
        StorageError: If an object cannot be written.
    """
    # Imported here because it imports pygal, which only runs with a report need.
    from target_liveintent.reporting.run_report.page import page  # noqa: PLC0415

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    replace(report_json(path), without_secrets(text) + "\n")
    if overview is None:
        replace(path, without_secrets(page(facts)))
    else:
        write_overview(overview, facts, path, replace)
