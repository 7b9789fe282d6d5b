"""Reports on a run: progress, metrics, the summary in the log, the history, and its page."""

from target_liveintent.reporting.history import (
    CANARY,
    DONE,
    FAILED,
    REPLAY,
    STOPPED,
    USUAL,
    Ending,
    warnings_at_start,
)
from target_liveintent.reporting.letters import look_at as look_at_letters
from target_liveintent.reporting.page import as_lines as overview_lines
from target_liveintent.reporting.page import write_page
from target_liveintent.reporting.reporter import RunReporter, keep_failure, read_overview
from target_liveintent.reporting.verdict import health_line

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
    "look_at_letters",
    "overview_lines",
    "read_overview",
    "warnings_at_start",
    "write_page",
]
