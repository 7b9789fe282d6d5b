"""The rules that decide what is unusual at the end of a run.

A rule compares the last 24 hours of a stream with its usual days, and yields what it finds. To add
a rule, write a function, its line in `RULES`, its words in words.py, and its line in headline.py. A
difference must be large, it must not occur on usual days, and it must not be the work of chance: a
shop with few conversions has large differences every week.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator, Sequence

from target_liveintent.reporting.history import (
    STOPPED,
    USUAL,
    Day,
    Finding,
    History,
    Range,
    RunRecord,
    Unusual,
)
from target_liveintent.reporting.usual_range import (
    Case,
    case_of,
    chance_of_so_few,
    mean_value,
    share,
)
from target_liveintent.run.amounts import OTHERS, Amount
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS

_FEW_RATIO = 0.5
"""Fewer conversions than this share of the usual ones are few."""
_HOLIDAY_RATIO = 0.7
"""On a holiday, a shop has this share of its usual conversions."""
_DECLINED_RATIO = 0.65
"""Fewer conversions in a week than this share of those some weeks before are a decline."""
_DECLINED_VALUE_DIVISOR = 2
"""A value of a week that is less than half of the value some weeks before is a decline."""
_LEAST_VALUES_OF_WEEK = 200
"""With fewer conversions in a week, single large orders decide about its value."""
_FELL_RATIO = 0.8
"""A column is missing if the conversions that have it are fewer than this share of the usual."""
_OTHER_UNIT_FACTOR = 10
"""If an average value changes by this factor, the values may have another unit."""
_LEAST_VALUES = 5
"""With fewer values in a currency, nothing can be said about their average."""
_NEW_SHARE, _KNOWN_SHARE = 0.05, 0.005
"""A currency is new if at least the first share of the conversions has it now, and less than the
second share had it before."""
_RARE_PROBABILITY = 1e-3
"""A count is unusual if its probability is below this: of so few conversions, even on a holiday, or
of so many dead letters."""
_VERY_RARE_PROBABILITY = 1e-6
"""A share is unusual if its probability is below this. A run judges up to a dozen shares."""
_MOST_CERTAIN_SHARE = 0.95
"""The greatest share that is expected: some conversions may lack a column that all of them had."""


def few_conversions(case: Case) -> Iterator[Finding]:
    """Find fewer than half of the usual conversions."""
    usual, count = case.usual(lambda counts: counts.delivered), case.now.delivered
    if usual is None or count >= min(usual.middle * _FEW_RATIO, usual.low):
        return
    if chance_of_so_few(count, usual.middle * _HOLIDAY_RATIO) < _RARE_PROBABILITY:
        yield Finding(count=count, usual=usual)


def slow_decline(case: Case) -> Iterator[Finding]:
    """Find a week with far fewer conversions, or less value, than four or eight weeks before."""
    now = case.weeks.get(0)
    if now is None:
        return
    declines = [
        decline
        for weeks, before in case.weeks.items()
        if weeks
        for decline in _declines(now, before, weeks)
    ]
    for subject in {decline.subject for decline in declines}:
        yield max(
            (decline for decline in declines if decline.subject == subject),
            key=lambda decline: decline.whole,
        )


def _declines(now: StreamCounts, before: StreamCounts, weeks: int) -> Iterator[Finding]:
    """Yield what declined since a week that was so many weeks before."""
    count, expected = now.delivered, before.delivered
    is_rare = chance_of_so_few(count, expected * _HOLIDAY_RATIO) < _RARE_PROBABILITY
    if count < expected * _DECLINED_RATIO and is_rare:
        yield Finding(count=count, whole=expected, weeks=weeks)
    for currency, value in before.values.items():
        present = now.values.get(currency, Amount(0))
        is_enough = min(value.conversions, present.conversions) >= _LEAST_VALUES_OF_WEEK
        if is_enough and present.total * _DECLINED_VALUE_DIVISOR < value.total:
            yield Finding(currency, int(present.total), int(value.total), weeks)


def other_average(case: Case) -> Iterator[Finding]:
    """Find an average value that differs by ten times or more."""
    for currency, value in case.now.values.items():
        usual = case.usual(functools.partial(mean_value, currency))
        if usual is None or usual.middle <= 0 or value.conversions < _LEAST_VALUES:
            continue
        average = float(value.mean)
        if average >= _OTHER_UNIT_FACTOR * usual.high or average * _OTHER_UNIT_FACTOR <= usual.low:
            yield Finding(currency, average=value.mean, usual=usual)


def new_currency(case: Case) -> Iterator[Finding]:
    """Find currencies that many of the conversions have now, and hardly any had before."""
    count, count_before = _with_value(case.now), _with_value(case.past)
    if not count_before:
        return
    least = max(_LEAST_VALUES, count * _NEW_SHARE)
    for currency, value in case.now.values.items():
        known = case.past.values.get(currency)
        is_known = known is not None and known.conversions >= count_before * _KNOWN_SHARE
        if currency != OTHERS and value.conversions >= least and not is_known:
            yield Finding(currency, value.conversions, count)


def _with_value(counts: StreamCounts) -> int:
    return sum(amount.conversions for amount in counts.values.values())


def lost_coverage(case: Case) -> Iterator[Finding]:
    """Find columns whose share of conversions fell by more than a fifth."""
    count = case.now.delivered
    for column in [
        name for name in COVERAGE_FIELDS if name != "both"
    ]:  # (It falls with the hashes.)
        usual = case.usual(functools.partial(_share_having, column))
        having = case.now.having(column)
        if usual is None or having >= count * min(usual.middle * _FELL_RATIO, usual.low):
            continue
        if _chance(having, count, usual) < _VERY_RARE_PROBABILITY:
            yield Finding(column, having, count, usual=usual)


def _share_having(column: str, counts: StreamCounts) -> float | None:
    return share(counts.having(column), counts.delivered)


def new_reason(case: Case) -> Iterator[Finding]:
    """Find reasons that never occurred before."""
    for reason, records in case.now.not_sent.items():
        if not case.past.not_sent[reason]:
            yield Finding(reason, records)


def all_late(case: Case) -> Iterator[Finding]:
    """Find that no conversion is sent within an hour of its event time any more."""
    usual = case.usual(lambda counts: share(counts.timing.within_an_hour, counts.delivered))
    count = case.now.delivered
    if usual is None or not usual.low or not count or case.now.timing.within_an_hour:
        return
    if _chance(0, count, usual) < _VERY_RARE_PROBABILITY:
        yield Finding(usual=usual)


def _chance(having: int, count: int, usual: Range) -> float:
    """Return the probability that so few conversions have something, given the usual share."""
    expected = count * min(usual.middle, _MOST_CERTAIN_SHARE)
    return chance_of_so_few(having, expected, count)


def more_dead_letters(case: Case) -> Iterator[Finding]:
    """Find that more records than usual, and a larger share of them, could not be sent."""
    letters, sent = case.now.letters, case.now.delivered
    count, tried = letters.total(), letters.total() + sent
    usual, usual_share = case.usual(lambda counts: counts.letters.total()), case.usual(_share_lost)
    if usual is None or usual_share is None:
        return
    # Of more conversions, or in two daily runs within 24 hours, more cannot be sent.
    expected = max(1.0, usual.high, usual_share.high * tried)
    if count > expected and chance_of_so_few(sent, tried - expected, tried) < _RARE_PROBABILITY:
        ((reason, records),) = letters.most_common(1)
        yield Finding(count=count, usual=usual, main_reason=reason, main_count=records)


def _share_lost(counts: StreamCounts) -> float | None:
    lost = counts.letters.total()
    return share(lost, lost + counts.delivered)


MANY_DEAD_LETTERS, NEW_REASON, DECLINE = "dead_letters", "new_reason", "decline"
RULES: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "conversions": few_conversions,
    DECLINE: slow_decline,
    "average_value": other_average,
    "new_currency": new_currency,
    "coverage": lost_coverage,
    NEW_REASON: new_reason,
    "late": all_late,
    MANY_DEAD_LETTERS: more_dead_letters,
}
"""The rules by their names in the history and in the metrics."""


# What is unusual at the end of a run


def unusual_in(history: History, run: RunRecord, zone: dt.tzinfo) -> list[Unusual] | None:
    """Return what is unusual at the end of a run, given the history before it.

    The rules judge the streams of the run, and the streams that its loader no longer has. They do
    not judge a run of another kind, or one that was stopped: None.
    """
    if run.kind != USUAL or run.ending.kind == STOPPED:
        return None
    now = run.ended_at.astimezone(zone)
    known = {
        (item.rule, item.stream, item.finding.subject): item.since for item in unusual_now(history)
    }
    earlier_today = [other for other in history.runs if other.day == now.date()]
    said_today = {(item.rule, item.stream) for other in earlier_today for item in other.unusual}
    unusual = []
    for stream in (*run.streams, *_gone(history.days, run)):
        for rule, finding in _findings(case_of(history.days, now, stream, run)):
            since = known.get((rule, stream, finding.subject), run.ended_at)
            is_new = (rule, stream) not in said_today
            unusual.append(Unusual(rule, stream, finding, since, is_new))
    return unusual


def _findings(case: Case) -> Iterator[tuple[str, Finding]]:
    """Yield what each rule finds, if the history is long enough to judge."""
    if case.days:
        for rule, find in RULES.items():
            for finding in find(case):
                yield rule, finding


def unusual_now(history: History) -> list[Unusual]:
    """Return what was unusual when each stream was last judged, in the two newest days.

    A run that was stopped judges nothing.
    """
    by_stream: dict[str, list[Unusual]] = {}
    for day in history.days[-2:]:
        for run in day.usual_runs:
            if run.ending.kind != STOPPED:
                by_stream |= _judged(run)
    return [item for unusual in by_stream.values() for item in unusual]


def _judged(run: RunRecord) -> dict[str, list[Unusual]]:
    """Return what was unusual in each stream that a run judged."""
    by_stream: dict[str, list[Unusual]] = {stream: [] for stream in run.streams}
    for item in run.unusual:
        by_stream.setdefault(item.stream, []).append(item)
    return by_stream


def _gone(days: Sequence[Day], run: RunRecord) -> list[str]:
    """Return the streams that usually come together with those of this run, and are absent.

    Another loader has sent the streams that came without those of this run, and its own runs judge
    them. The same applies to streams that came while there were runs with the streams of this one.
    """
    earlier_streams = {stream for day in days for stream in day.usual}
    return [
        stream
        for stream in sorted(earlier_streams - run.streams.keys())
        if _is_of_same_loader(stream, set(run.streams), days)
    ]


def _is_of_same_loader(stream: str, own: set[str], days: Sequence[Day]) -> bool:
    """Return whether the last run with a stream had all of a run's own streams.

    It must have been the first run of its day that had them.
    """
    last_day = [day for day in days if stream in day.usual][-1]
    streams_of_runs = [set(run.streams) for run in last_day.usual_runs]
    newest = [number for number, streams in enumerate(streams_of_runs) if stream in streams][-1]
    return own <= streams_of_runs[newest] and own not in streams_of_runs[:newest]
