"""Reports on a run: progress, metrics, the summary in the log, and the run report."""

from target_liveintent.reporting.history.judge import lines as unusual_lines
from target_liveintent.reporting.history.recorder import HistoryRecorder
from target_liveintent.reporting.overview import as_lines as overview_lines
from target_liveintent.reporting.overview import health_line, read_overview, write_overview
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.reporting.run_report.model import DONE, FAILED, STOPPED, Ending
from target_liveintent.reporting.run_report.tally import Tally

__all__ = [
    "DONE",
    "FAILED",
    "STOPPED",
    "Ending",
    "HistoryRecorder",
    "RunReporter",
    "Tally",
    "gather",
    "health_line",
    "overview_lines",
    "read_overview",
    "unusual_lines",
    "write_overview",
]
