"""What is usual: which days can be compared with a day, and the range of a figure over them."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from target_liveintent.reporting.history import Day
from target_liveintent.run import StreamCounts

LEAST_DAYS = 14
"""Days of history from which on there is something usual."""
_FOUR_WEEKS, _EIGHT_WEEKS = 28, 56
_LEAST_WEEKDAYS = 4
"""How many Mondays say what is usual on a Monday; with fewer, all days do."""


class Range(msgspec.Struct, frozen=True):
    """What is usual of a figure: eight of ten days lie between the ends."""

    low: float
    middle: float
    high: float


Figure = TypeVar("Figure")
Sample = tuple[dt.date, Figure]
"""A day, and a figure or all figures of it."""


def comparable(samples: Sequence[Sample[Figure]], day: dt.date) -> list[Figure]:
    """Return the figures that say what is usual on a day: of days before it, with usual runs.

    Those are the same weekdays of eight weeks, once there are four of them; before, they are all
    days of four weeks.
    """
    weekdays = same_weekdays(samples, day)
    if len(weekdays) >= _LEAST_WEEKDAYS:
        return weekdays
    return [figure for at, figure in samples if 0 < (day - at).days <= _FOUR_WEEKS]


def same_weekdays(samples: Sequence[Sample[Figure]], day: dt.date) -> list[Figure]:
    """Return the figures of the same weekdays in the eight weeks before a day."""
    return [
        figure
        for at, figure in samples
        if at.weekday() == day.weekday() and 0 < (day - at).days <= _EIGHT_WEEKS
    ]


def range_of(figures: Iterable[float]) -> Range | None:
    """Return the range of figures; None if there are none."""
    found = list(figures)
    if not found:
        return None
    tenths = statistics.quantiles(found * 2 if len(found) == 1 else found, n=10, method="inclusive")
    return Range(tenths[0], statistics.median(found), tenths[-1])


def range_over(
    groups: Iterable[Sequence[Figure]], figure: Callable[[Figure], float | None]
) -> Range | None:
    """Return a range that takes in those of all groups of days; the middle is the lowest one.

    Args:
        groups: The days.
        figure: Returns the figure of a day, or None if the day does not have it.
    """
    ranges = [
        found
        for days in groups
        if (found := range_of(n for one in days if (n := figure(one)) is not None))
    ]
    if not ranges:
        return None
    return Range(
        min(one.low for one in ranges),
        min(one.middle for one in ranges),
        max(one.high for one in ranges),
    )


def stream_days(days: Iterable[Day], stream: str) -> Iterator[Sample[StreamCounts]]:
    """Yield what usual runs made of a stream, day by day, from the first day that has it.

    A day without usual runs is a gap; one whose runs had nothing of the stream is a zero.
    """
    known = False
    for one in days:
        known = known or stream in one.usual
        if known and one.usual_runs:
            yield one.day, one.usual.get(stream, StreamCounts())


def chance_of_so_few(count: float, expected: float, of: float = math.inf) -> float:
    """Return at most how probable it is to count so few where more are expected.

    It is Chernoff's bound, and exact for a count of 0.

    Args:
        count: What was counted, at most `expected`.
        expected: What is expected.
        of: Out of how many, each of which counts or not; unlimited for what comes by chance.
    """
    exponent = count - expected if of == math.inf else 0.0
    if count > 0:
        exponent += count * math.log(expected / count)
    if of != math.inf and count < of:
        if expected >= of:
            return 0.0
        exponent += (of - count) * math.log((of - expected) / (of - count))
    return math.exp(exponent)


def is_many(count: float, expected: float) -> bool:
    """Return whether there are more than chance makes of what is expected, by the same bound."""
    least = max(expected, 1.0)
    if count <= expected or count <= least:
        return False
    return math.exp(count - least + count * math.log(least / count)) <= _RARE


_RARE = 1e-3
"""How improbable so many must be, as many as usual days have at most expected."""
