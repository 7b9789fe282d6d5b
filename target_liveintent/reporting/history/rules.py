"""The rules of what is unusual: the last 24 hours of a stream against its usual days.

Each judges a `Case` and yields what it finds; a new rule is a function and its line in `RULES`. A
rule asks for a clear difference, for one that the usual days do not show, and for one that chance
does not make: a shop with few conversions has large differences every week.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history.model import (
    USUAL,
    DayFigures,
    RunFigures,
    StreamFigures,
    sum_of,
)
from target_liveintent.reporting.history.usual import (
    Range,
    chance_of_so_few,
    comparable,
    range_of,
    same_weekdays,
    stream_days,
)
from target_liveintent.reporting.run_report.tally import FIELDS, HOUR
from target_liveintent.reporting.run_report.words import percent
from target_liveintent.run import counted

_HOURS = 24
_LEAST_DAYS = 14
"""Days of history before which nothing is judged."""
_FEW = 0.5
_HOLIDAY = 0.7
"""What a holiday leaves of the usual conversions."""
_FELL = 0.8
_TIMES = 10
_HUGE = 1e15
_LEAST_VALUES = 5
"""Values of a currency of which the average is judged."""
_RARE = 1e-3
"""How improbable so few conversions must be, even on a holiday."""
_VERY_RARE = 1e-6
"""How improbable a share must be; a run judges up to a dozen shares."""
_MOST_CERTAIN = 0.95
"""The share that is expected at most: that all conversions had a column proves no law."""


class Finding(NamedTuple):
    """Something unusual: the reason, column or currency, and a sentence."""

    subject: str
    words: str


class Case(NamedTuple):
    """What the rules judge.

    Attributes:
        now: The last 24 hours of a stream, without runs that are not usual.
        known: The reasons that occurred before, as far as the history is read.
        days: Groups of days that say what is usual today; and yesterday, if the 24 hours began
            there.
    """

    now: StreamFigures
    known: frozenset[str]
    days: Sequence[Sequence[StreamFigures]]

    def usual(self, figure: Callable[[StreamFigures], float | None]) -> Range | None:
        """Return the range of a figure, which is None on a day that does not have it.

        It takes in the ranges of all groups of days; the middle is the lowest one.
        """
        ranges = [
            found
            for days in self.days
            if (found := range_of(n for one in days if (n := figure(one)) is not None))
        ]
        if not ranges:
            return None
        lows, middles, highs = zip(*ranges, strict=True)
        return Range(min(lows), min(middles), max(highs))


def case_of(
    days: Sequence[DayFigures], recent: Sequence[RunFigures], stream: str, now: dt.datetime
) -> Case | None:
    """Return what the rules judge of a stream; None if there is too little history.

    Args:
        days: The days before today.
        recent: The runs of yesterday and today.
        stream: The stream.
        now: When the 24 hours end, in the zone of the days. They are hours of the clock, as daily
            runs are not punctual.
    """
    today = now.date()
    yesterday = today - dt.timedelta(days=1)
    samples = [*stream_days(days, stream)]
    if len(samples) < _LEAST_DAYS:
        return None
    earlier = [one for one in samples if one[0] < yesterday]
    hour = now.timestamp() // HOUR
    inside: list[StreamFigures] = []
    outside = [figures for _, figures in earlier]
    for run in recent:
        if run.kind == USUAL and stream in run.streams:
            is_inside = hour - _HOURS < run.ended_at.timestamp() // HOUR <= hour
            (inside if is_inside else outside).append(run.streams[stream])
    first = (now - dt.timedelta(hours=_HOURS - 1)).date()
    # As long as all days are compared, a Sunday must not be judged by them alone.
    choices = (comparable, same_weekdays)
    usual = [choose(earlier, day) for day in {first, today} for choose in choices]
    known = frozenset(reason for one in outside for reason in one.not_sent)
    return Case(sum_of(inside), known, usual)


def few_conversions(case: Case) -> Iterator[Finding]:
    """Find fewer than half of the usual conversions."""
    usual, count = case.usual(lambda one: one.delivered), case.now.delivered
    if usual is None or count >= min(usual.middle * _FEW, usual.low):
        return
    if chance_of_so_few(count, usual.middle * _HOLIDAY) < _RARE:
        yield Finding(
            "",
            f"{counted(count, 'conversion')} in the last 24 hours, but"
            f" {_words(usual, '{:,.0f}'.format)} are usual. Check whether the tap still sends all"
            " records. The run's log says why records were not sent",
        )


def other_average(case: Case) -> Iterator[Finding]:
    """Find an average value that differs by ten times or more."""
    for currency, value in case.now.values.items():
        usual = case.usual(functools.partial(_average, currency))
        if usual is None or usual.middle <= 0 or value.events < _LEAST_VALUES:
            continue
        average = float(value.average)
        is_high = average >= _TIMES * usual.high
        if is_high or average * _TIMES <= usual.low:
            yield Finding(
                currency,
                f"the average value {_money(currency)} was {_amount(average)} in the last 24"
                f" hours, but {_words(usual, _amount)} is usual. Check whether the unit of the"
                " column 'value' has changed, for example to cents",
            )


def _words(usual: Range, words: Callable[[float], str]) -> str:
    low, high = words(usual.low), words(usual.high)
    return low if low == high else f"{low} to {high}"


def _share_words(share: float) -> str:
    return f"{100 * share:.0f} %"


def _amount(number: float) -> str:
    return f"{number:,.2f}" if number < _HUGE else f"{number:.3e}"


def _money(currency: str) -> str:
    return f"in {currency}" if currency else "without a currency"


def _average(currency: str, figures: StreamFigures) -> float | None:
    value = figures.values.get(currency)
    return None if value is None else float(value.average)


def lost_coverage(case: Case) -> Iterator[Finding]:
    """Find columns that a fifth fewer of the conversions have."""
    count = case.now.delivered
    for column in FIELDS:
        if column == "both":  # It falls with one of the hashes.
            continue
        usual = case.usual(functools.partial(_share, column))
        having = case.now.having.get(column, 0)
        if usual is None or having >= count * min(usual.middle * _FELL, usual.low):
            continue
        if _chance(having, count, usual) < _VERY_RARE:
            yield Finding(
                column,
                f"in the last 24 hours, {percent(having, count)} of the conversions had a value in"
                f" {column} ({FIELDS[column]}), but {_words(usual, _share_words)} is usual. Check"
                f" whether the tap still fills the column that is mapped to {column}",
            )


def _share(column: str, figures: StreamFigures) -> float | None:
    return figures.having.get(column, 0) / figures.delivered if figures.delivered else None


def new_reason(case: Case) -> Iterator[Finding]:
    """Find reasons that never occurred before."""
    for reason, records in case.now.not_sent.items():
        if reason not in case.known:
            yield Finding(
                reason,
                f"{counted(records, 'record')} {'was' if records == 1 else 'were'} not sent"
                f" because of a reason that has never occurred before, {reason}{_meaning(reason)}",
            )


def _meaning(reason: str) -> str:
    return f": {REASONS[reason].meaning}" if reason in REASONS else ""


def all_late(case: Case) -> Iterator[Finding]:
    """Find that no conversion is sent within an hour of its event time any more."""
    usual, count = case.usual(_fresh_share), case.now.delivered
    if usual is None or not usual.low or not count or case.now.within_an_hour:
        return
    if _chance(0, count, usual) < _VERY_RARE:
        yield Finding(
            "",
            "in the last 24 hours, 0 % of the conversions were sent within an hour of their event"
            f" time, but {_words(usual, _share_words)} is usual. Check whether the tap takes"
            " longer, or the schedule starts it less often",
        )


def _chance(having: int, count: int, usual: Range) -> float:
    """Return how probable it is that so few of all have what a usual share of them has."""
    expected = count * min(usual.middle, _MOST_CERTAIN)
    return chance_of_so_few(having, expected, count) if having < expected else 1.0


def _fresh_share(figures: StreamFigures) -> float | None:
    return figures.within_an_hour / figures.delivered if figures.delivered else None


RULES: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "conversions": few_conversions,
    "average_value": other_average,
    "coverage": lost_coverage,
    "new_reason": new_reason,
    "late": all_late,
}
"""The rules by their names in the history and in the metrics."""
