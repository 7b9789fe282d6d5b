"""Reports on a run while it goes on and at its end, as far as the settings ask for it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from target_liveintent.reporting import run_report
from target_liveintent.reporting.metrics import MetricsFile
from target_liveintent.reporting.progress import Progress
from target_liveintent.reporting.run_report.facts import DONE

if TYPE_CHECKING:
    import logging

    from target_liveintent.reporting.run_report.facts import Ending
    from target_liveintent.run.counts import RunCounts
    from target_liveintent.run.run import Run
    from target_liveintent.settings import Settings


class RunReporter:
    """Writes the progress, metrics, summary and run report of a run.

    Args:
        settings: The settings of the run.
        program: The program's name and version.
        logger: Takes progress, the summary, and warnings about files that cannot be written.
        stream: Standard error; a terminal shows progress as one live line.
    """

    def __init__(
        self, settings: Settings, program: str, logger: logging.Logger, stream: IO[str]
    ) -> None:
        """Write nothing yet."""
        self._settings = settings
        self._program = program
        self._logger = logger
        interval = settings.flush_interval_seconds
        self._progress = Progress(logger, stream, interval)
        self._metrics: MetricsFile | None = None
        if settings.metrics_path is not None:
            self._metrics = MetricsFile(settings.metrics_path, interval, logger)

    def progress(self, counts: RunCounts, in_flight: int, waiting: int) -> None:
        """Report how far the run is; called about once a second.

        Args:
            counts: The counts.
            in_flight: Batches that are being delivered.
            waiting: How many of them wait for a retry.
        """
        self._progress.show(counts, in_flight, waiting)
        if self._metrics is not None:
            self._metrics.show(counts, in_flight)

    def end(self, run: Run, ending: Ending) -> None:
        """Report how the run ended: in the log, and in the files that the settings name."""
        self._progress.close()
        counts = run.counts
        for line in (*counts.lines(), *counts.advice(self._settings.dead_letter_path)):
            self._logger.info(line)
        if self._metrics is not None:
            self._metrics.end(counts, success=ending.kind == DONE)
        run_report.tell(run, self._settings, ending, self._program, self._logger)
