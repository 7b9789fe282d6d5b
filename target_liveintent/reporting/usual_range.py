"""What is usual: comparable days, the range of a figure over them, chance, and words for them."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from target_liveintent.conversions.event_model import DAY
from target_liveintent.reporting.history import Day, RunRecord
from target_liveintent.run.amounts import counted
from target_liveintent.run.counts import StreamCounts, add
from target_liveintent.run.coverage import HOUR

LEAST_DAYS = 14
"""The least days of history that show what is usual."""
LOW, HIGH = "low", "high"
_HOURS = 24
_FOUR_WEEKS, _EIGHT_WEEKS = 28, 56
_LEAST_WEEKDAYS = 4
"""The least Mondays that show what is usual on a Monday; with fewer, all days count."""

_AGE_UNITS = ((DAY, "day"), (HOUR, "hour"), (60, "minute"), (1, "second"))


class Range(msgspec.Struct, frozen=True):
    """What is usual of a figure: eight of ten days lie between the ends."""

    low: float
    middle: float
    high: float


Number = int | float | Decimal
Figure = TypeVar("Figure")
Sample = tuple[dt.date, Figure]
"""A day with usual runs, and a figure or all figures of it."""


def share(part: int, whole: int) -> float | None:
    """Return which share of a whole a part is; None if there is no whole."""
    return part / whole if whole else None


def mean_value(currency: str, figures: StreamCounts) -> Decimal | None:
    """Return the average value of conversions in a currency; None if there are none."""
    return figures.values[currency].mean if currency in figures.values else None


def comparable(samples: Sequence[Sample[Figure]], day: dt.date) -> list[Figure]:
    """Return the figures of the earlier days that show what is usual on a day.

    Those are the same weekdays of eight weeks, once there are four of them; before, they are all
    days of four weeks.
    """
    weekdays = _same_weekdays(samples, day)
    if len(weekdays) >= _LEAST_WEEKDAYS:
        return weekdays
    return [figure for at, figure in samples if 0 < (day - at).days <= _FOUR_WEEKS]


def _same_weekdays(samples: Sequence[Sample[Figure]], day: dt.date) -> list[Figure]:
    back = [((day - at).days, figure) for at, figure in samples]
    return [figure for n, figure in back if 0 < n <= _EIGHT_WEEKS and n % 7 == 0]


def range_of(figures: Iterable[float]) -> Range | None:
    """Return the range of figures; None if there are none."""
    found = list(figures)
    if not found:
        return None
    tenths = statistics.quantiles(found * 2 if len(found) == 1 else found, n=10, method="inclusive")
    return Range(tenths[0], statistics.median(found), tenths[-1])


class Case(NamedTuple):
    """The last 24 hours of usual runs, and all that was before them in the history.

    `days` are groups of days that say what is usual today; and yesterday, if the 24 hours began
    there. Without enough history, there are none.
    """

    now: StreamCounts
    past: StreamCounts
    days: Sequence[Sequence[StreamCounts]]

    def usual(self, figure: Callable[[StreamCounts], Number | None]) -> Range | None:
        """Return the range that includes those of all groups; its middle is their lowest middle."""
        numbers = (
            [float(n) for one in days if (n := figure(one)) is not None] for days in self.days
        )
        ranges = [found for group in numbers if (found := range_of(group))]
        if not ranges:
            return None
        low, middle = (min(getattr(one, end) for one in ranges) for end in ("low", "middle"))
        return Range(low, middle, max(one.high for one in ranges))


def comparable_from(days: Iterable[Day], today: dt.date) -> dt.date:
    """Return the day from which on there is something usual: the one after 14 with usual runs.

    A day to come is the right one if there are runs on each day until then.
    """
    known = [one.day for one in days if one.usual_runs and one.day < today]
    if len(known) < LEAST_DAYS:
        return today + dt.timedelta(days=LEAST_DAYS - len(known))
    return known[LEAST_DAYS - 1] + dt.timedelta(days=1)


def case_of(
    history: Sequence[Day], now: dt.datetime, stream: str | None = None, *more: RunRecord
) -> Case:
    """Return the last 24 hours of a stream, or of all, beside what was before.

    A day without usual runs is a gap; one whose runs had nothing of the stream is a zero, from the
    first day on that had it. The 24 hours end `now`, in the zone of the days, and `more` are usual
    runs that are not in the history.
    """

    def of(streams: dict[str, StreamCounts]) -> StreamCounts:
        if stream is None:
            return add(StreamCounts(), *streams.values())
        return streams.get(stream, StreamCounts())

    today, first = now.date(), (now - dt.timedelta(hours=_HOURS - 1)).date()
    yesterday = today - dt.timedelta(days=1)
    known = (
        history
        if stream is None
        else [*itertools.dropwhile(lambda one: stream not in one.usual, history)]
    )
    earlier = [(one.day, of(one.usual)) for one in known if one.usual_runs and one.day < yesterday]
    inside: list[StreamCounts] = []
    outside = [figures for _, figures in earlier]
    for run in (*(run for one in known if one.day >= yesterday for run in one.usual_runs), *more):
        (inside if is_recent(run.ended_at, now) else outside).append(of(run.streams))
    days = []
    if comparable_from(known, today) <= today:
        days = [comparable(earlier, day) for day in {first, today}]
        # As long as all days are compared, a Sunday must not be judged by them alone.
        days += [_same_weekdays(earlier, day) for day in {first, today}]
    return Case(add(StreamCounts(), *inside), add(StreamCounts(), *outside), days)


def is_recent(ended_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a run ended in this hour or the 23 before: daily runs are not punctual."""
    hour = now.timestamp() // HOUR
    return hour - _HOURS < ended_at.timestamp() // HOUR <= hour


def chance_of_so_few(count: float, expected: float, of: float | None = None) -> float:
    """Return an upper bound for the probability of a count that is smaller than expected.

    It is Chernoff's bound, and exact for a count of 0. `of` is out of how many, each of which
    counts or not; None for what comes at any time.
    """
    if of is None:
        exponent = count - expected
    else:
        exponent = (of - count) * math.log((of - expected) / (of - count))
    if count > 0:
        exponent += count * math.log(expected / count)
    return math.exp(exponent)


# In words


def percent(part: int, whole: int) -> str:
    """Return a share in percent."""
    return share_words(part / whole) if whole else "0 %"


def share_words(share: float) -> str:
    """Return a share from 0 to 1 in percent; "0 %" and "100 %" mean exactly that."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "less than 1 %"
    if rounded == 100 and share < 1:  # noqa: PLR2004 (percent)
        return "more than 99 %"
    return f"{rounded} %"


def range_words(usual: Range | None, words: Callable[[float], str]) -> str:
    """Return a usual range: "190 to 260"; "-" where there is none."""
    if usual is None:
        return "-"
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
