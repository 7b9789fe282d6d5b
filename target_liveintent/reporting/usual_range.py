"""What is usual: days to compare with, the usual range of a figure, and probabilities."""

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
"""With fewer days of history, it is not known what is usual."""
_HOURS = 24
_FOUR_WEEKS, _EIGHT_WEEKS = 28, 56
_LEAST_WEEKDAYS = 4
"""With fewer Mondays, a Monday is compared with all days."""

_WEEKS_COMPARED = (0, 4, 8)
"""The weeks that are compared to find a slow decline: the last one, and those that were this many
weeks earlier."""
_LEAST_DAYS_OF_WEEK = 5
"""A week with runs on fewer days is not compared. (A pipeline may run only on working days.)"""

Number = int | float | Decimal
_Of = TypeVar("_Of")
Sample = tuple[dt.date, _Of]
"""A day with usual runs, and one figure or all figures of the day."""


def share(part: int, whole: int) -> float | None:
    """Return the part divided by the whole; None if the whole is 0."""
    return part / whole if whole else None


def mean_value(currency: str, figures: StreamCounts) -> Decimal | None:
    """Return the average value in a currency; None if no conversion has one."""
    return figures.values[currency].mean if currency in figures.values else None


def comparable(samples: Sequence[Sample[_Of]], day: dt.date) -> list[_Of]:
    """Return the figures of the earlier days that show what is usual on a day.

    These are the days of the same weekday in the eight weeks before; if there are fewer than four,
    all days in the four weeks before.
    """
    weekdays = _same_weekdays(samples, day)
    if len(weekdays) >= _LEAST_WEEKDAYS:
        return weekdays
    return [figure for at, figure in samples if 0 < (day - at).days <= _FOUR_WEEKS]


def _same_weekdays(samples: Sequence[Sample[_Of]], day: dt.date) -> list[_Of]:
    days_ago = [((day - at).days, figure) for at, figure in samples]
    return [figure for days, figure in days_ago if 0 < days <= _EIGHT_WEEKS and days % 7 == 0]


def compares_weekdays(days: Iterable[dt.date], day: dt.date) -> bool:
    """Return whether a day is compared only with days of its weekday, given the days with runs."""
    return len(_same_weekdays([(at, None) for at in days], day)) >= _LEAST_WEEKDAYS


def range_of(figures: Sequence[float]) -> Range | None:
    """Return the 10th percentile, the median and the 90th percentile; None without figures."""
    if not figures:
        return None
    if len(figures) == 1:
        return Range(figures[0], figures[0], figures[0])
    tenths = statistics.quantiles(figures, n=10, method="inclusive")
    return Range(tenths[0], statistics.median(figures), tenths[-1])


Groups = Sequence[Sequence[_Of]]
"""Groups of days that show what is usual; empty if the history is too short."""


def groups_of(
    samples: Sequence[Sample[_Of]], begin: dt.date, today: dt.date, known_from: dt.date
) -> Groups[_Of]:
    """Return the groups of days that show what is usual in 24 hours from `begin` to `today`.

    All days are before yesterday. There are no groups before the day `known_from`.
    """
    if known_from > today:
        return []
    yesterday, ends = today - dt.timedelta(days=1), {begin, today}
    earlier = [(day, figure) for day, figure in samples if day < yesterday]
    days = [comparable(earlier, day) for day in ends]
    # If a Sunday is compared with all days, it is also compared with the few Sundays.
    return [*days, *(_same_weekdays(earlier, day) for day in ends)]


def usual_in(groups: Groups[_Of], figure: Callable[[_Of], Number | None]) -> Range | None:
    """Return the usual range of a figure, which includes the ranges of all groups of days.

    Its `middle` is the lowest median of a group.
    """
    numbers = [[number for day in days if (number := figure(day)) is not None] for days in groups]
    ranges = [group for of_days in numbers if (group := range_of([*map(float, of_days)]))]
    if not ranges:
        return None
    low = min(group.low for group in ranges)
    middle = min(group.middle for group in ranges)
    return Range(low, middle, max(group.high for group in ranges))


class Case(NamedTuple):
    """The last 24 hours of a stream in usual runs, and its history before them.

    `days` show what is usual. `weeks` has the last seven whole days, by the key 0, and the seven
    days four and eight weeks before, if they had runs. `unseen` is how many conversions of all
    streams of the 24 hours are in no figures: they wait, or arrived by runs that were killed.
    """

    now: StreamCounts
    past: StreamCounts
    days: Groups[StreamCounts]
    weeks: Mapping[int, StreamCounts]
    unseen: int = 0

    def usual(self, figure: Callable[[StreamCounts], Number | None]) -> Range | None:
        """Return the usual range of a figure."""
        return usual_in(self.days, figure)


def comparable_from(days: Iterable[Day], today: dt.date) -> dt.date:
    """Return the first day that can be compared: the one after 14 days with usual runs.

    A day in the future is correct only if there is a run on each day until then.
    """
    known = [day.day for day in days if day.usual_runs and day.day < today]
    if len(known) < LEAST_DAYS:
        return today + dt.timedelta(days=LEAST_DAYS - len(known))
    return known[LEAST_DAYS - 1] + dt.timedelta(days=1)


def case_of(history: Sequence[Day], run: RunRecord, zone: dt.tzinfo, stream: str) -> Case:
    """Return the 24 hours of a stream before the end of a run, and what was before them.

    A day without usual runs does not count. A day whose runs had no record of the stream counts as
    zero, but only after the first day with the stream.
    """
    now = run.ended_at.astimezone(zone)
    today, first = now.date(), (now - dt.timedelta(hours=_HOURS - 1)).date()
    yesterday = today - dt.timedelta(days=1)
    known = list(itertools.dropwhile(lambda day: stream not in day.usual, history))
    with_runs = [
        (day.day, day.usual.get(stream, StreamCounts())) for day in known if day.usual_runs
    ]
    earlier = [counts for day, counts in with_runs if day < yesterday]
    newest = [*(run for day in known if day.day >= yesterday for run in day.usual_runs), run]
    parts: dict[bool, list[StreamCounts]] = {True: [], False: []}
    for other in newest:
        parts[is_recent(other.ended_at, now)].append(other.streams.get(stream, StreamCounts()))
    return Case(
        now=add(StreamCounts(), *parts[True]),
        past=add(StreamCounts(), *earlier, *parts[False]),
        days=groups_of(with_runs, first, today, comparable_from(known, today)),
        weeks=_weeks(with_runs, today),
    )


def _weeks(days: Sequence[Sample[StreamCounts]], today: dt.date) -> dict[int, StreamCounts]:
    """Return the sum of each of the weeks to compare.

    A week is absent if it has too few days, or runs on fewer or more days than the last week.
    """
    by_week = {
        back: [counts for day, counts in days if 7 * back < (today - day).days <= 7 * back + 7]
        for back in _WEEKS_COMPARED
    }
    length = max(len(by_week[0]), _LEAST_DAYS_OF_WEEK)
    return {
        back: add(StreamCounts(), *week) for back, week in by_week.items() if len(week) == length
    }


def is_recent(ended_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a run ended in this hour or in the 23 before: a daily run may be late."""
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
