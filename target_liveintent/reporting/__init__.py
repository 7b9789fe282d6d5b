"""Reports on a run: progress, metrics, the summary in the log, and the run report."""

from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.run_report.model import DONE, FAILED, STOPPED, Ending

__all__ = [
    "DONE",
    "FAILED",
    "STOPPED",
    "Ending",
    "RunReporter",
]
