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
from target_liveintent.reporting.history import USUAL, Day, RunRecord
from target_liveintent.reporting.usual import (
    LEAST_DAYS,
    Range,
    chance_of_so_few,
    comparable,
    range_over,
    same_weekdays,
    stream_days,
)
from target_liveintent.reporting.words import money, money_in, percent, share_words, usual_words
from target_liveintent.run import FIELDS, HOUR, OTHERS, StreamCounts, add, counted

_HOURS = 24
_FEW = 0.5
_HOLIDAY = 0.7
"""What a holiday leaves of the usual conversions."""
_FELL = 0.8
_TIMES = 10
_LEAST_VALUES = 5
"""Values of a currency of which the average is judged."""
_NEW_SHARE, _KNOWN_SHARE = 0.05, 0.005
"""The share of the conversions from which on a currency is noticed, and below which it is new."""
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
        past: What was before them, as far as the history is read.
        days: Groups of days that say what is usual today; and yesterday, if the 24 hours began
            there.
    """

    now: StreamCounts
    past: StreamCounts
    days: Sequence[Sequence[StreamCounts]]

    def usual(self, figure: Callable[[StreamCounts], float | None]) -> Range | None:
        """Return the range of a figure, which is None on a day that does not have it."""
        return range_over(self.days, figure)


def case_of(
    days: Sequence[Day], recent: Sequence[RunRecord], stream: str, now: dt.datetime
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
    if len(samples) < LEAST_DAYS:
        return None
    earlier = [one for one in samples if one[0] < yesterday]
    hour = now.timestamp() // HOUR
    inside: list[StreamCounts] = []
    outside = [figures for _, figures in earlier]
    for run in recent:
        if run.kind == USUAL and stream in run.streams:
            is_inside = hour - _HOURS < run.ended_at.timestamp() // HOUR <= hour
            (inside if is_inside else outside).append(run.streams[stream])
    first = (now - dt.timedelta(hours=_HOURS - 1)).date()
    # As long as all days are compared, a Sunday must not be judged by them alone.
    choices = (comparable, same_weekdays)
    usual = [choose(earlier, day) for day in {first, today} for choose in choices]
    return Case(add(StreamCounts(), *inside), add(StreamCounts(), *outside), usual)


def few_conversions(case: Case) -> Iterator[Finding]:
    """Find fewer than half of the usual conversions."""
    usual, count = case.usual(lambda one: one.delivered), case.now.delivered
    if usual is None or count >= min(usual.middle * _FEW, usual.low):
        return
    if chance_of_so_few(count, usual.middle * _HOLIDAY) < _RARE:
        yield Finding(
            "",
            f"{counted(count, 'conversion')} in the last 24 hours, but"
            f" {usual_words(usual, '{:,.0f}'.format)} are usual. Check whether the tap still sends"
            " all records. The run's log says why records were not sent",
        )


def other_average(case: Case) -> Iterator[Finding]:
    """Find an average value that differs by ten times or more."""
    for currency, value in case.now.values.items():
        usual = case.usual(functools.partial(_average, currency))
        if usual is None or usual.middle <= 0 or value.conversions < _LEAST_VALUES:
            continue
        average = float(value.mean)
        is_high = average >= _TIMES * usual.high
        if is_high or average * _TIMES <= usual.low:
            yield Finding(
                currency,
                f"the average value {money_in(currency)} was {money(value.mean)} in the last 24"
                f" hours, but {usual_words(usual, money)} is usual. Check whether the unit of the"
                " column 'value' has changed, for example to cents",
            )


def _average(currency: str, figures: StreamCounts) -> float | None:
    value = figures.values.get(currency)
    return None if value is None else float(value.mean)


def new_currency(case: Case) -> Iterator[Finding]:
    """Find currencies that many of the conversions have now, and hardly any had before."""
    now, past = case.now.values, case.past.values
    count, before = (sum(one.conversions for one in of.values()) for of in (now, past))
    for currency, value in now.items():
        known = past[currency].conversions if currency in past else 0
        is_many = value.conversions >= max(_LEAST_VALUES, count * _NEW_SHARE)
        if currency != OTHERS and before and is_many and known < before * _KNOWN_SHARE:
            yield Finding(
                currency,
                f"{counted(value.conversions, 'conversion')} in the last 24 hours"
                f" ({percent(value.conversions, count)}) had a value {money_in(currency)}, which"
                " hardly any conversion had before. Check whether your shop has a new currency, or"
                " the column that is mapped to 'currency' has changed",
            )


def lost_coverage(case: Case) -> Iterator[Finding]:
    """Find columns that a fifth fewer of the conversions have."""
    count = case.now.delivered
    for column in FIELDS:
        if column == "both":  # It falls with one of the hashes.
            continue
        usual = case.usual(functools.partial(_share, column))
        having = case.now.having(column)
        if usual is None or having >= count * min(usual.middle * _FELL, usual.low):
            continue
        if _chance(having, count, usual) < _VERY_RARE:
            yield Finding(
                column,
                f"in the last 24 hours, {percent(having, count)} of the conversions had a value in"
                f" {column} ({FIELDS[column]}), but {usual_words(usual, share_words)} is usual."
                f" Check whether the tap still fills the column that is mapped to {column}",
            )


def _share(column: str, figures: StreamCounts) -> float | None:
    return figures.having(column) / figures.delivered if figures.delivered else None


def new_reason(case: Case) -> Iterator[Finding]:
    """Find reasons that never occurred before."""
    for reason, records in case.now.not_sent.items():
        if not case.past.not_sent[reason]:
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
            f" time, but {usual_words(usual, share_words)} is usual. Check whether the tap takes"
            " longer, or the schedule starts it less often",
        )


def _chance(having: int, count: int, usual: Range) -> float:
    """Return how probable it is that so few of all have what a usual share of them has."""
    expected = count * min(usual.middle, _MOST_CERTAIN)
    return chance_of_so_few(having, expected, count) if having < expected else 1.0


def _fresh_share(figures: StreamCounts) -> float | None:
    return figures.within_an_hour / figures.delivered if figures.delivered else None


RULES: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "conversions": few_conversions,
    "average_value": other_average,
    "new_currency": new_currency,
    "coverage": lost_coverage,
    "new_reason": new_reason,
    "late": all_late,
}
"""The rules by their names in the history and in the metrics."""
