"""Reports on a run: progress, metrics, the summary in the log, the history, and its page."""

from target_liveintent.reporting.history import (
    CANARY,
    DONE,
    FAILED,
    REPLAY,
    STOPPED,
    USUAL,
    Ending,
    record_of,
)
from target_liveintent.reporting.letters import as_lines as letter_lines
from target_liveintent.reporting.letters import look_at as look_at_letters
from target_liveintent.reporting.report import read_overview, write_page
from target_liveintent.reporting.reporter import RunReporter, keep_failure, keep_run
from target_liveintent.reporting.summary import advice as summary_advice
from target_liveintent.reporting.summary import lines as summary_lines
from target_liveintent.reporting.summary import warnings as summary_warnings
from target_liveintent.reporting.text import as_lines as overview_lines
from target_liveintent.reporting.text import health_line
from target_liveintent.reporting.unusual import lines as unusual_lines

__all__ = [
    "CANARY",
    "DONE",
    "FAILED",
    "REPLAY",
    "STOPPED",
    "USUAL",
    "Ending",
    "RunReporter",
    "health_line",
    "keep_failure",
    "keep_run",
    "letter_lines",
    "look_at_letters",
    "overview_lines",
    "read_overview",
    "record_of",
    "summary_advice",
    "summary_lines",
    "summary_warnings",
    "unusual_lines",
    "write_page",
]
