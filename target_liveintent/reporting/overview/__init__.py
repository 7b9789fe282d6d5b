"""What the history says as of now: gathered, and as text; `page` renders it for browsers."""

from target_liveintent.reporting.overview.gather import overview_of
from target_liveintent.reporting.overview.model import Overview
from target_liveintent.reporting.overview.text import as_lines, health_line

__all__ = ["Overview", "as_lines", "health_line", "overview_of"]
