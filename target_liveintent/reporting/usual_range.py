"""What is usual: comparable days, the range of a figure over them, and chance."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from target_liveintent.reporting.history import Day, Range, RunRecord
from target_liveintent.run.counts import StreamCounts, add
from target_liveintent.run.coverage import HOUR

LEAST_DAYS = 14
"""The least days of history that show what is usual."""
LOW, HIGH = "low", "high"
_HOURS = 24
_FOUR_WEEKS, _EIGHT_WEEKS = 28, 56
_LEAST_WEEKDAYS = 4
"""The least Mondays that show what is usual on a Monday; with fewer, all days count."""

_WEEKS_COMPARED = (0, 4, 8)
"""The weeks that show a slow trend: the last one, and so many weeks before it."""
_LEAST_DAYS_OF_WEEK = 5
"""A pipeline may run on working days alone."""

Number = int | float | Decimal
_Of = TypeVar("_Of")
Sample = tuple[dt.date, _Of]
"""A day with usual runs, and a figure or all figures of it."""


def share(part: int, whole: int) -> float | None:
    """Return the part divided by the whole; None if the whole is 0."""
    return part / whole if whole else None


def mean_value(currency: str, figures: StreamCounts) -> Decimal | None:
    """Return the average value in a currency; None if no conversion has one."""
    return figures.values[currency].mean if currency in figures.values else None


def comparable(samples: Sequence[Sample[_Of]], day: dt.date) -> list[_Of]:
    """Return the figures of the earlier days that show what is usual on a day.

    Those are the same weekdays of eight weeks, once there are four of them; before, they are all
    days of four weeks.
    """
    weekdays = _same_weekdays(samples, day)
    if len(weekdays) >= _LEAST_WEEKDAYS:
        return weekdays
    return [figure for at, figure in samples if 0 < (day - at).days <= _FOUR_WEEKS]


def _same_weekdays(samples: Sequence[Sample[_Of]], day: dt.date) -> list[_Of]:
    days_ago = [((day - at).days, figure) for at, figure in samples]
    return [figure for days, figure in days_ago if 0 < days <= _EIGHT_WEEKS and days % 7 == 0]


def range_of(figures: Sequence[float]) -> Range | None:
    """Return the range of figures; None without figures."""
    if not figures:
        return None
    if len(figures) == 1:
        return Range(figures[0], figures[0], figures[0])
    tenths = statistics.quantiles(figures, n=10, method="inclusive")
    return Range(tenths[0], statistics.median(figures), tenths[-1])


def _numbers(
    figure: Callable[[StreamCounts], Number | None], days: Sequence[StreamCounts]
) -> list[float]:
    numbers = [figure(counts) for counts in days]
    return [float(number) for number in numbers if number is not None]


class Case(NamedTuple):
    """The last 24 hours of usual runs, and all that was before them in the history.

    `days` are groups of days that say what is usual today, and what is usual yesterday if the 24
    hours began there. Without enough history, there are no groups. `weeks` has the last seven whole
    days, by the key 0, and the seven days four and eight weeks before, if they had runs.
    """

    now: StreamCounts
    past: StreamCounts
    days: Sequence[Sequence[StreamCounts]]
    weeks: Mapping[int, StreamCounts]

    def usual(self, figure: Callable[[StreamCounts], Number | None]) -> Range | None:
        """Return the usual range of a figure, which includes the ranges of all groups of days.

        The usual range has the lowest median of these ranges.
        """
        groups = [_numbers(figure, days) for days in self.days]
        ranges = [group for numbers in groups if (group := range_of(numbers)) is not None]
        if not ranges:
            return None
        low = min(group.low for group in ranges)
        middle = min(group.middle for group in ranges)
        return Range(low, middle, max(group.high for group in ranges))


def comparable_from(days: Iterable[Day], today: dt.date) -> dt.date:
    """Return the first day that can be compared: the one after 14 days with usual runs.

    If this day is still to come, it is right on condition that each day until then has a run.
    """
    known = [day.day for day in days if day.usual_runs and day.day < today]
    if len(known) < LEAST_DAYS:
        return today + dt.timedelta(days=LEAST_DAYS - len(known))
    return known[LEAST_DAYS - 1] + dt.timedelta(days=1)


def case_of(
    history: Sequence[Day], now: dt.datetime, stream: str | None = None, *more: RunRecord
) -> Case:
    """Return the last 24 hours of a stream, or of all streams, beside what was before.

    A day without usual runs is a gap. A day whose runs had nothing of the stream is a zero, but
    only after the first day that had it. The 24 hours end `now`, in the zone of the days, and
    `more` are usual runs that are not in the history.
    """
    today, first = now.date(), (now - dt.timedelta(hours=_HOURS - 1)).date()
    yesterday = today - dt.timedelta(days=1)
    known = _since_first_seen(history, stream)
    earlier = [
        (day.day, _counts_of(day.usual, stream))
        for day in known
        if day.usual_runs and day.day < yesterday
    ]
    newest = [*(run for day in known if day.day >= yesterday for run in day.usual_runs), *more]
    inside = [_counts_of(run.streams, stream) for run in newest if is_recent(run.ended_at, now)]
    outside = [
        _counts_of(run.streams, stream) for run in newest if not is_recent(run.ended_at, now)
    ]
    days = []
    if comparable_from(known, today) <= today:
        days = [comparable(earlier, day) for day in {first, today}]
        # As long as all days are compared, a Sunday must not be judged by them alone.
        days += [_same_weekdays(earlier, day) for day in {first, today}]
    past = add(StreamCounts(), *(counts for _, counts in earlier), *outside)
    return Case(add(StreamCounts(), *inside), past, days, _weeks(known, today, stream))


def _weeks(days: Sequence[Day], today: dt.date, stream: str | None) -> dict[int, StreamCounts]:
    """Return the sum of each of the weeks to compare.

    A week is absent if it has too few days, or runs on fewer or more days than the last week.
    """
    ages = {day.day: (today - day.day).days for day in days}
    by_week: dict[int, list[StreamCounts]] = {
        back: [
            _counts_of(day.usual, stream)
            for day in days
            if day.usual_runs and 7 * back < ages[day.day] <= 7 * back + 7
        ]
        for back in _WEEKS_COMPARED
    }
    length = max(len(by_week[0]), _LEAST_DAYS_OF_WEEK)
    return {
        back: add(StreamCounts(), *week) for back, week in by_week.items() if len(week) == length
    }


def _since_first_seen(days: Sequence[Day], stream: str | None) -> Sequence[Day]:
    if stream is None:
        return days
    return list(itertools.dropwhile(lambda day: stream not in day.usual, days))


def _counts_of(streams: dict[str, StreamCounts], stream: str | None) -> StreamCounts:
    """Return the figures of one stream; None stands for all streams."""
    if stream is None:
        return add(StreamCounts(), *streams.values())
    return streams.get(stream, StreamCounts())


def is_recent(ended_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a run ended in this hour or the 23 before: daily runs are not punctual."""
    hour = now.timestamp() // HOUR
    return hour - _HOURS < ended_at.timestamp() // HOUR <= hour


def chance_of_so_few(count: float, expected: float, of: float | None = None) -> float:
    """Return an upper bound for the probability of a count that is smaller than expected.

    This is Chernoff's bound, which is exact for a count of 0. `of` is the number of things that can
    be counted, such as all conversions; None means that there is no limit.
    """
    if of is None:
        exponent = count - expected
    else:
        exponent = (of - count) * math.log((of - expected) / (of - count))
    if count > 0:
        exponent += count * math.log(expected / count)
    return math.exp(exponent)
