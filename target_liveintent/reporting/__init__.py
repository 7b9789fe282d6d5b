"""Reports on a run: progress, metrics, the summary in the log, and the run report."""

from target_liveintent.reporting.history import CANARY, REPLAY, USUAL
from target_liveintent.reporting.history.judge import lines as unusual_lines
from target_liveintent.reporting.history.keeping import keep_run
from target_liveintent.reporting.letters import as_lines as letter_lines
from target_liveintent.reporting.letters import look_at as look_at_letters
from target_liveintent.reporting.overview import as_lines as overview_lines
from target_liveintent.reporting.overview import health_line, read_overview, write_overview
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.run_report.facts import gather
from target_liveintent.reporting.run_report.model import DONE, FAILED, STOPPED, Ending
from target_liveintent.reporting.run_report.tally import Tally

__all__ = [
    "CANARY",
    "DONE",
    "FAILED",
    "REPLAY",
    "STOPPED",
    "USUAL",
    "Ending",
    "RunReporter",
    "Tally",
    "gather",
    "health_line",
    "keep_run",
    "letter_lines",
    "look_at_letters",
    "overview_lines",
    "read_overview",
    "unusual_lines",
    "write_overview",
]
