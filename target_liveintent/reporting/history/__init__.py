"""The history of runs: what each leaves, and what is unusual in the last 24 hours."""

from target_liveintent.reporting.history.model import (
    BACKFILL,
    CANARY,
    DRY_RUN,
    REPLAY,
    USUAL,
    DayFigures,
    History,
    RunEntry,
    RunFigures,
    StreamFigures,
    Unusual,
    ValueSum,
    sum_of,
)

__all__ = [
    "BACKFILL",
    "CANARY",
    "DRY_RUN",
    "REPLAY",
    "USUAL",
    "DayFigures",
    "History",
    "RunEntry",
    "RunFigures",
    "StreamFigures",
    "Unusual",
    "ValueSum",
    "sum_of",
]
