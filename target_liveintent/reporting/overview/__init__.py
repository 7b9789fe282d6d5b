"""What the history says as of now: gathered, as text, and as a page."""

from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.overview.reading import (
    overview_with,
    read_overview,
    write_overview,
)
from target_liveintent.reporting.overview.text import as_lines, health_line

__all__ = [
    "Overview",
    "as_lines",
    "health_line",
    "overview_with",
    "read_overview",
    "write_overview",
]
