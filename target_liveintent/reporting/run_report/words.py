"""Numbers in words: shares, ages and durations."""

from __future__ import annotations

from target_liveintent.run import counted

_AGE_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_SHORT_AGE_UNITS = ((86_400, "d"), (3_600, "h"))
_NUMBER_UNITS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""The least number that is shown in a unit, the unit itself, and its name."""


def percent(part: int, whole: int) -> str:
    """Return a share; "0 %" and "100 %" mean exactly that."""
    if not whole:
        return "0 %"
    share = round(100 * part / whole)
    if 0 < part < whole and share in {0, 100}:
        return "less than 1 %" if share == 0 else "more than 99 %"
    return f"{share} %"


def of_them(part: int, whole: int) -> str:
    """Return how many of some things that have just been counted: "203 of them"."""
    return "all of them" if part == whole else f"{part:,} of them"


def age_words(seconds: float) -> str:
    """Return an age in its largest unit: "3 days"."""
    for unit, name in _AGE_UNITS:
        if seconds >= unit:
            return counted(int(seconds // unit), name)
    return "less than a second"


def short_age(seconds: float) -> str:
    """Return an age for the axis of a chart: "3d"."""
    for unit, name in _SHORT_AGE_UNITS:
        if seconds >= unit:
            return f"{seconds / unit:g}{name}"
    return f"{seconds / 60:g}m"


def short_number(number: float) -> str:
    """Return a number in a few characters: "1.2 M"."""
    for least, unit, name in _NUMBER_UNITS:
        if abs(number) >= least:
            return f"{number / unit:,.3g} {name}"
    return f"{number:,.4g}"


def clock(seconds: float) -> str:
    """Return the time since the start of a run: "1:30" or "2:00:00"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Return how long something took: "35 ms", "1.5 s" or "2:30"."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 2 * 60 else clock(seconds)


def period(start: str, end: str) -> str:
    """Return two moments in UTC as a period; the date is repeated only if it differs."""
    (day, began), (last, ended) = (moment.removesuffix("Z").split("T") for moment in (start, end))
    return f"{day} {began} to {'' if last == day else f'{last} '}{ended} UTC"
