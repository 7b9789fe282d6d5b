"""What becomes of a stream and its first records: noted, described, and rendered as text."""

from target_liveintent.explain.description import describe
from target_liveintent.explain.explained import Explained, run_problems
from target_liveintent.explain.model import AbsentStream, Expectation, Explanation
from target_liveintent.explain.render import as_lines

MAX_RECORDS = 10_000
"""Records that are read: enough to show what a map does, and read within seconds."""

__all__ = [
    "MAX_RECORDS",
    "AbsentStream",
    "Expectation",
    "Explained",
    "Explanation",
    "as_lines",
    "describe",
    "run_problems",
]
