"""Notes what a stream and its first records become, and describes it for people and programs."""

from target_liveintent.explain.description import (
    AbsentStream,
    Expectation,
    Explained,
    Explanation,
    describe,
    run_problems,
)

MAX_RECORDS = 10_000
"""Records that are read: enough to show what a map does, and read within seconds."""

__all__ = [
    "MAX_RECORDS",
    "AbsentStream",
    "Expectation",
    "Explained",
    "Explanation",
    "describe",
    "run_problems",
]
