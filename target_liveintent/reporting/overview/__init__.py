"""What the history says as of now: gathered, as text, and as a page."""

from target_liveintent.reporting.overview.reading import read_overview, write_overview
from target_liveintent.reporting.overview.text import as_lines, health_line

__all__ = ["as_lines", "health_line", "read_overview", "write_overview"]
