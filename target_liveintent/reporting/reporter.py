"""Reports on a run while it is running and at its end, as far as the settings ask for it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.errors import RunError
from target_liveintent.files import replace_file
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.judge import NOT_JUDGED, Judgement, lines
from target_liveintent.reporting.history.keeping import keep_run
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
from target_liveintent.store import RunStore


class RunReporter:
    """Writes the progress, the metrics, the summary and the run report of a run.

    Args:
        settings: The settings of the run.
        program: The program's name and version.
        logger: Takes progress, the summary, and warnings about files that cannot be written.
        stream: Standard error; a terminal shows progress as one live line.
        clock: Tells the time.
        run_id: The ID of the run.
        place: Where dead letters are, for the summary; None to say nothing of it.

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
        place: str | None = "the store",
    ) -> None:
        self._settings = settings
        self._place = place
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
        if settings.report_path is not None or not settings.dry_run:
            self.tally = Tally(settings.events.zone, clock)
        self._overview: Overview | None = None

    def progress(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Report how far the run is; called about once a second."""
        if self.tally is not None:
            self.tally.timeline.update(counts)
        self._progress.update(counts, status)
        self._waits.update(status)
        self._waits.update_elsewhere(counts.elsewhere)
        if self._metrics is not None:
            self._metrics.update(counts, status)

    def end(self, counts: RunCounts, ending: Ending, store: RunStore | None) -> None:
        """Report how the run ended: in the log, in the store, and in the files of the settings.

        The last line of a run that is done ends in its ID; after others, the caller logs more.

        Args:
            counts: The counts of the run.
            ending: How it ended.
            store: The store; None in a dry run, of which it keeps nothing.
        """
        self._progress.close()
        settings, is_done, judgement = self._settings, ending.kind == DONE, NOT_JUDGED
        for warning in counts.warnings(settings.timezone):
            self._logger.warning(warning)
        advice = counts.advice(self._place, settings.timezone)
        closing = [(logging.INFO, line) for line in (*counts.lines(), *advice)]
        facts = None if self.tally is None else self._facts(counts, self.tally, ending)
        if self.tally is not None and facts is not None:
            if store is not None:
                judgement = self._keep(counts, self.tally, facts, store)
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

    def _keep(
        self, counts: RunCounts, tally: Tally, facts: Callable[[], Facts], store: RunStore
    ) -> Judgement:
        """Keep the run in the store; return what is unusual at its end."""
        try:
            kept = keep_run(counts, tally, self._settings, facts(), store)
        except RunError as failure:
            self._logger.warning(
                "%s, so the history does not have the figures of this run", failure
            )
            return NOT_JUDGED
        except Exception as failure:  # noqa: BLE001 (events are delivered, and STATE is written)
            why = type(failure).__name__
            self._logger.warning("the history lacks the figures of this run (%s)", why)
            return NOT_JUDGED
        if kept.history is not None and self._settings.report_path is not None:
            self._overview = overview_with(kept.history, kept.entry, self._settings)
        return kept.judgement

    def _write_report(self, facts: Callable[[], Facts], path: str, name: str) -> None:
        """Write the report, and log where it is; this line ends in `name`."""
        try:
            write_report(facts(), path, self._overview)
        except Exception as failure:  # noqa: BLE001 (events are delivered and STATE is written)
            why = getattr(failure, "strerror", None) or type(failure).__name__
            self._logger.warning("report_path '%s' cannot be written: %s%s", path, why, name)
        else:
            self._logger.info("the report is in %s%s", path, name)


def write_report(facts: Facts, path: str, overview: Overview | None = None) -> None:
    """Replace the page at a path and the JSON beside it.

    With an overview of the history, that opens the page.

    Raises:
        OSError: If a file cannot be written.
    """
    # Imported here because it imports pygal, which only a run with a report needs.
    from target_liveintent.reporting.run_report.page import page  # noqa: PLC0415

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    replace_file(Path(report_json(path)), without_secrets(text) + "\n")
    if overview is None:
        replace_file(Path(path), without_secrets(page(facts)))
    else:
        write_overview(overview, facts, path)
