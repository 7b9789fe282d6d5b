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


def compares_weekdays(days: Iterable[dt.date], day: dt.date) -> bool:
    """Return whether a day is compared with its own weekday, given the days that had runs."""
    return len(_same_weekdays([(at, None) for at in days], day)) >= _LEAST_WEEKDAYS


def range_of(figures: Sequence[float]) -> Range | None:
    """Return the range of figures; None without figures."""
    if not figures:
        return None
    if len(figures) == 1:
        return Range(figures[0], figures[0], figures[0])
    tenths = statistics.quantiles(figures, n=10, method="inclusive")
    return Range(tenths[0], statistics.median(figures), tenths[-1])


Groups = Sequence[Sequence[_Of]]
"""Groups of days that say what is usual; none without enough history."""


def groups_of(
    samples: Sequence[Sample[_Of]], begin: dt.date, today: dt.date, known_from: dt.date
) -> Groups[_Of]:
    """Return the days that say what is usual in the 24 hours between a day and today.

    They are before yesterday, and only comparable if the history is known from today on.
    """
    if known_from > today:
        return []
    yesterday, ends = today - dt.timedelta(days=1), {begin, today}
    earlier = [(day, figure) for day, figure in samples if day < yesterday]
    days = [comparable(earlier, day) for day in ends]
    # As long as all days are compared, a Sunday must not be judged by them alone.
    return [*days, *(_same_weekdays(earlier, day) for day in ends)]


def usual_in(groups: Groups[_Of], figure: Callable[[_Of], Number | None]) -> Range | None:
    """Return the usual range of a figure, which includes the ranges of all groups of days.

    The usual range has the lowest median of these ranges.
    """
    numbers = [[number for day in days if (number := figure(day)) is not None] for days in groups]
    ranges = [group for of_days in numbers if (group := range_of([*map(float, of_days)]))]
    if not ranges:
        return None
    low = min(group.low for group in ranges)
    middle = min(group.middle for group in ranges)
    return Range(low, middle, max(group.high for group in ranges))


class Case(NamedTuple):
    """The last 24 hours of usual runs, and all that was before them in the history.

    `days` say what is usual. `weeks` has the last seven whole days, by the key 0, and the seven
    days four and eight weeks before, if they had runs. `unseen` is how many conversions of any
    stream of the 24 hours wait, or arrived by runs that were killed, whose figures nobody knows.
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

    If this day is still to come, it is right on condition that each day until then has a run.
    """
    known = [day.day for day in days if day.usual_runs and day.day < today]
    if len(known) < LEAST_DAYS:
        return today + dt.timedelta(days=LEAST_DAYS - len(known))
    return known[LEAST_DAYS - 1] + dt.timedelta(days=1)


def case_of(history: Sequence[Day], run: RunRecord, zone: dt.tzinfo, stream: str) -> Case:
    """Return the 24 hours of a stream before the end of a run, beside what was before them.

    A day without usual runs is a gap. A day whose runs had nothing of the stream is a zero, but
    only after the first day that had it.
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
