"""What is usual: which days can be compared with a day, and the range of a figure over them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from target_liveintent.reporting.history.model import DayFigures, StreamFigures

_FOUR_WEEKS, _EIGHT_WEEKS = 28, 56
_LEAST_WEEKDAYS = 4
"""How many Mondays say what is usual on a Monday; with fewer, all days do."""
_TENTH = 0.1


class Range(NamedTuple):
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
    ordered = sorted(figures)
    if not ordered:
        return None
    return Range(*(_quantile(ordered, share) for share in (_TENTH, 0.5, 1 - _TENTH)))


def stream_days(days: Iterable[DayFigures], stream: str) -> Iterator[Sample[StreamFigures]]:
    """Yield what usual runs made of a stream, day by day, from the first day that has it.

    A day without usual runs is a gap; one whose runs had nothing of the stream is a zero.
    """
    known = False
    for one in days:
        known = known or stream in one.usual
        if known and one.has_usual_runs:
            yield one.day, one.usual.get(stream, StreamFigures())


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


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
