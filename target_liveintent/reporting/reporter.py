"""Reports on a run while it goes on and at its end, as far as the settings ask for it."""

from __future__ import annotations

import logging
import os
from typing import IO

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery import DeliveryStatus
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.metrics import MetricsFile
from target_liveintent.reporting.progress import LiveLine, Progress
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.reporting.run_report.model import DONE, Ending, Facts
from target_liveintent.reporting.run_report.tally import Tally
from target_liveintent.reporting.waits import WaitLog
from target_liveintent.run import RunCounts
from target_liveintent.run_id import run_named
from target_liveintent.settings import Settings, report_json
from target_liveintent.storage import replace_file


class RunReporter:
    """Writes the progress, the metrics, the summary and the run report of a run.

    Args:
        settings: The settings of the run.
        program: The program's name and version.
        logger: Takes progress, the summary, and warnings about files that cannot be written.
        stream: Standard error; a terminal shows progress as one live line.
        clock: Tells the time.
        run_id: The ID of the run.

    Attributes:
        tally: Counts what is delivered for the run report; None if the settings ask for none.
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
        if settings.report_path is not None:
            self.tally = Tally(settings.events.zone, clock)

    def progress(self, counts: RunCounts, status: DeliveryStatus) -> None:
        """Report how far the run is; called about once a second."""
        if self.tally is not None:
            self.tally.timeline.update(counts)
        self._progress.update(counts, status)
        self._waits.update(status)
        if self._metrics is not None:
            self._metrics.update(counts, status)

    def end(self, counts: RunCounts, ending: Ending) -> None:
        """Report how the run ended: in the log, and in the files that the settings name.

        The last line of a run that is done ends in its ID; after others, the caller logs more.
        """
        self._progress.close()
        settings, is_done = self._settings, ending.kind == DONE
        for warning in counts.warnings(settings.timezone):
            self._logger.warning(warning)
        ledger_path = settings.ledger_path if os.path.isfile(settings.ledger_path) else ""  # noqa: PTH113 (a path with a NUL is no file)
        advice = counts.advice(settings.dead_letter_path, ledger_path, settings.timezone)
        *lines, last = *counts.lines(), *advice
        for line in lines:
            self._logger.info(line)
        name = run_named(self._run_id) if is_done else ""
        self._logger.info("%s%s", last, name if settings.report_path is None else "")
        if self._metrics is not None:
            self._metrics.end(counts, success=is_done)
        if self.tally is not None and settings.report_path is not None:
            self._write_report(counts, self.tally, ending, settings.report_path, name)

    def _write_report(
        self, counts: RunCounts, tally: Tally, ending: Ending, path: str, name: str
    ) -> None:
        """Write the report, and log where it is; this line ends in `name`."""
        now = self._clock.time()
        tally.timeline.update(counts)
        names = {"target": self._program, "run_id": self._run_id}
        try:
            facts = gather(counts, tally, self._settings, ending, **names, now=now)
            write_report(facts, path)
        except Exception as failure:  # noqa: BLE001 (events are delivered and STATE is written)
            why = getattr(failure, "strerror", None) or type(failure).__name__
            self._logger.warning("report_path '%s' cannot be written: %s%s", path, why, name)
        else:
            self._logger.info("a report to look at is in %s%s", path, name)


def write_report(facts: Facts, path: str) -> None:
    """Replace the page at a path and the JSON beside it; only their owner can read them.

    Raises:
        OSError: If a file cannot be written.
    """
    # Imported here because it imports pygal, which only runs with a report need.
    from target_liveintent.reporting.run_report.page import page  # noqa: PLC0415

    text = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    replace_file(report_json(path), without_secrets(text) + "\n")
    replace_file(path, without_secrets(page(facts)))
