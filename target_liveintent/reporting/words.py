"""Numbers and moments in words: shares, ranges, ages and days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from target_liveintent.reporting.usual import Range
from target_liveintent.run.amounts import counted

_AGE_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def percent(part: int, whole: int) -> str:
    """Return a share; "0 %" and "100 %" mean exactly that."""
    return share_words(part / whole) if whole else "0 %"


def share_words(share: float) -> str:
    """Return a share from 0 to 1 in percent; "0 %" and "100 %" mean exactly that."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "less than 1 %"
    if rounded == 100 and share < 1:  # noqa: PLR2004 (percent)
        return "more than 99 %"
    return f"{rounded} %"


def usual_words(usual: Range, words: Callable[[float], str]) -> str:
    """Return a usual range: "190 to 260"."""
    low, high = words(usual.low), words(usual.high)
    return low if low == high else f"{low} to {high}"


def age_words(seconds: float) -> str:
    """Return an age or a duration in its largest unit: "3 days"."""
    for unit, name in _AGE_UNITS:
        if seconds >= unit:
            return counted(int(seconds // unit), name)
    return "0 seconds"


def moment(at: dt.datetime, zone: dt.tzinfo | None) -> str:
    """Return a moment in a zone: "2026-11-26 05:17 CET"."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def day_words(day: dt.date) -> str:
    """Return a day: "26 November"; the year is clear, as a history has 91 days."""
    return f"{day.day} {day:%B}"
