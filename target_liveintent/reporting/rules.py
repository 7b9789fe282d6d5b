"""The rules that decide what is unusual at the end of a run.

A rule compares the last 24 hours of a stream with its usual days, and yields what it finds. To add
a rule, write a function, its line in `RULES`, its words in words.py, and its line in headline.py. A
rule finds only differences that are large, do not occur on usual days, and are probably not due to
chance: a shop with few conversions has large differences every week.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from target_liveintent.conversions.amounts import OTHERS, Amount
from target_liveintent.conversions.event_model import DAY
from target_liveintent.reasons import COUNTED_ELSEWHERE, REASONS
from target_liveintent.reporting.history import (
    STOPPED,
    USUAL,
    Day,
    Finding,
    History,
    Range,
    RunRecord,
    Unusual,
    total_of,
)
from target_liveintent.reporting.usual_range import (
    Case,
    case_of,
    chance_of_so_few,
    is_recent,
    mean_value,
    share,
)
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS
from target_liveintent.store.ledger import ledger_of, not_arrived_by_reason, of_24_hours
from target_liveintent.store.places import QUARTER_SECONDS, PlaceRow

_FEW_RATIO = 0.5
"""Conversions are few if they are less than this share of the usual number."""
_HOLIDAY_RATIO = 0.7
"""On a holiday, a shop may have only this share of its usual conversions."""
_DECLINED_RATIO = 0.65
"""It is a decline if a week has less than this share of the conversions some weeks before."""
_DECLINED_VALUE_DIVISOR = 2
"""It is a decline if the value of a week is less than half of the value some weeks before."""
_LEAST_VALUES_OF_WEEK = 200
"""With fewer values in a week, a few large orders can change their sum too much."""
_FELL_RATIO = 0.8
"""A column is missing if its share of conversions is less than this part of the usual share."""
_OTHER_UNIT_FACTOR = 10
"""If an average value changes by this factor, the values may have another unit."""
_LEAST_VALUES = 5
"""With fewer values in a currency, nothing can be said about their average."""
_NEW_SHARE, _KNOWN_SHARE = 0.05, 0.005
"""A currency is new if at least the first share of the conversions has it now, and less than the
second share had it before."""
_RARE_PROBABILITY = 1e-3
"""A count of conversions or dead letters is unusual if the probability that a count is at least as
extreme is below this."""
_VERY_RARE_PROBABILITY = 1e-6
"""A share is unusual if its probability is below this. A run judges up to a dozen shares."""
_MOST_CERTAIN_SHARE = 0.95
"""At most this share is expected: some conversions may lack a column that all of them had."""


def few_conversions(case: Case) -> Iterator[Finding]:
    """Find fewer than half of the usual conversions."""
    usual = case.usual(lambda counts: counts.delivered)
    count = case.now.delivered + case.unseen
    if usual is None or count >= min(usual.middle * _FEW_RATIO, usual.low):
        return
    if chance_of_so_few(count, usual.middle * _HOLIDAY_RATIO) < _RARE_PROBABILITY:
        yield Finding(count=count, usual=usual)


def slow_decline(case: Case) -> Iterator[Finding]:
    """Find a week with far fewer conversions or far less value than four or eight weeks before."""
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
    """Yield what declined since the week that was `weeks` weeks earlier."""
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
    """Find an average value that is at least ten times the usual ones, or at most a tenth."""
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
    """Find columns in which far fewer conversions than usual have a value."""
    count = case.now.delivered
    columns = [name for name in COVERAGE_FIELDS if name != "both"]  # (It falls with the hashes.)
    for column in columns:
        usual = case.usual(functools.partial(_share_having, column))
        having = case.now.having(column)
        if usual is None or having >= count * min(usual.middle * _FELL_RATIO, usual.low):
            continue
        if _chance(having, count, usual) < _VERY_RARE_PROBABILITY:
            yield Finding(column, having, count, usual=usual)


def _share_having(column: str, counts: StreamCounts) -> float | None:
    return share(counts.having(column), counts.delivered)


def new_reason(case: Case) -> Iterator[Finding]:
    """Find reasons for which no earlier record in the history was rejected or dropped."""
    for reason, records in case.now.not_sent.items():
        if reason not in COUNTED_ELSEWHERE and not case.past.not_sent[reason]:
            yield Finding(reason, records)


def all_late(case: Case) -> Iterator[Finding]:
    """Find that conversions are no longer sent within an hour after their event time."""
    usual = case.usual(lambda counts: share(counts.timing.within_an_hour, counts.delivered))
    count = case.now.delivered
    if usual is None or not usual.low or not count or case.now.timing.within_an_hour:
        return
    if _chance(0, count, usual) < _VERY_RARE_PROBABILITY:
        yield Finding(usual=usual)


def _chance(having: int, count: int, usual: Range) -> float:
    """Return an upper bound of the probability that only `having` of `count` have something."""
    expected = count * min(usual.middle, _MOST_CERTAIN_SHARE)
    return chance_of_so_few(having, expected, count)


def more_dead_letters(case: Case) -> Iterator[Finding]:
    """Find that more records than usual, and a larger share of them, could not be sent."""
    letters = case.now.letters
    count, tried = letters.total(), letters.total() + case.now.delivered
    usual, usual_share = case.usual(lambda counts: counts.letters.total()), case.usual(_share_lost)
    if usual is None or usual_share is None:
        return
    # More dead letters are normal with more conversions, or with two daily runs in 24 hours.
    expected = max(usual.high, usual_share.high * tried)
    if _are_many(count, tried, expected):
        ((reason, records),) = letters.most_common(1)
        yield Finding("", count, tried, usual=usual, main_reason=reason, main_count=records)


def _are_many(letters: int, tried: int, usual: float) -> bool:
    """Return whether there are more dead letters than usual, and probably not by chance."""
    expected = max(1.0, usual)
    if letters <= expected:
        return False
    return chance_of_so_few(tried - letters, tried - expected, tried) < _RARE_PROBABILITY


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


def unusual_in(
    history: History, run: RunRecord, zone: dt.tzinfo, rows: Sequence[PlaceRow]
) -> list[Unusual] | None:
    """Return what is unusual at the end of a run, given the history before it.

    `rows` say where the events of the last days are now. The rules judge the streams of the run,
    and the streams that its loader no longer sends. The result is None if the run was stopped, or
    is not of the kind `usual`.
    """
    if run.kind != USUAL or run.ending.kind == STOPPED:
        return None
    now = run.ended_at.astimezone(zone)
    known = {
        (item.rule, item.stream, item.finding.subject): item.since for item in unusual_now(history)
    }
    ledger = ledger_of(of_24_hours(rows, now.timestamp()))
    recent = [other for other in (*history.runs, run) if is_recent(other.ended_at, now)]
    unseen = max(0, ledger.arrived + ledger.waiting - total_of(recent).delivered)
    earlier_today = [other for other in history.runs if other.day == now.date()]
    said_today = {(item.rule, item.stream) for other in earlier_today for item in other.unusual}
    unusual = []
    for stream in (*run.streams, *_gone(history.days, run)):
        case = case_of(history.days, run, zone, stream)._replace(unseen=unseen)
        for rule, finding in _findings(case):
            since = known.get((rule, stream, finding.subject), run.ended_at)
            is_new = (rule, stream) not in said_today
            unusual.append(Unusual(rule, stream, finding, since, is_new))
    return still_true(unusual, rows)


def is_about_letters(item: Unusual) -> bool:
    """Return whether dead letters are unusual. A reason that this version does not know counts."""
    reason = item.finding.subject
    is_letter = reason not in REASONS or REASONS[reason].letter
    return item.rule == MANY_DEAD_LETTERS or (item.rule == NEW_REASON and is_letter)


def reason_of(item: Unusual) -> str:
    """Return the most frequent reason of the dead letters that are unusual."""
    return item.finding.main_reason or item.finding.subject


def still_true(unusual: Iterable[Unusual], rows: Sequence[PlaceRow]) -> list[Unusual]:
    """Return what is still unusual, without the dead letters that the store no longer has."""
    items = [
        _of_kept(item, kept_letters(item, rows)) if is_about_letters(item) else item
        for item in unusual
    ]
    return [item for item in items if item is not None]


def kept_letters(item: Unusual, rows: Iterable[PlaceRow]) -> list[PlaceRow]:
    """Return those of the unusual dead letters that the store still has."""
    begin = item.since.timestamp() - DAY - QUARTER_SECONDS
    reason = item.finding.subject
    kept = [row for row in rows if row.is_kept and row.read_at > begin]
    return [row for row in kept if row.reason == reason] if reason else kept


def _of_kept(item: Unusual, rows: Sequence[PlaceRow]) -> Unusual | None:
    """Return what is unusual about the dead letters in the store; None if nothing is."""
    finding, kept = item.finding, not_arrived_by_reason(rows)
    count = min(finding.count, sum(kept.values()))
    usual = 0 if finding.usual is None else finding.usual.high
    tried = max(finding.whole, count)
    if not count or not (finding.subject or _are_many(count, tried, usual)):
        return None
    reason = finding.main_reason if finding.main_reason in kept else next(iter(kept))
    most = finding.main_count if reason == finding.main_reason else count
    main = {"main_reason": reason, "main_count": min(most, kept[reason], count)}
    changes: dict[str, Any] = {"count": count, **({} if finding.subject else main)}
    return msgspec.structs.replace(item, finding=msgspec.structs.replace(finding, **changes))


def _findings(case: Case) -> Iterator[tuple[str, Finding]]:
    """Yield the name of a rule and what it finds, if the history is long enough."""
    if case.days:
        for rule, find in RULES.items():
            for finding in find(case):
                yield rule, finding


def unusual_now(history: History) -> list[Unusual]:
    """Return what was unusual when each stream was last judged, in the two newest days.

    A run that was stopped judges nothing.
    """
    runs = [run for day in history.days[-2:] for run in day.usual_runs]
    last: dict[str, RunRecord] = {}  # The last run that judged the stream.
    for run in runs:
        if run.ending.kind != STOPPED:
            last |= dict.fromkeys([*run.streams, *(item.stream for item in run.unusual)], run)
    return [item for name, run in last.items() for item in run.unusual if item.stream == name]


def _gone(days: Sequence[Day], run: RunRecord) -> list[str]:
    """Return the streams that this run lacks, although its loader usually sends them.

    Streams of other loaders do not count: the runs of these loaders judge them.
    """
    earlier_streams = {stream for day in days for stream in day.usual}
    return [
        stream
        for stream in sorted(earlier_streams - run.streams.keys())
        if _is_of_same_loader(stream, set(run.streams), days)
    ]


def _is_of_same_loader(stream: str, own: set[str], days: Sequence[Day]) -> bool:
    """Return whether the loader that sends the streams `own` probably also sends `stream`.

    The history does not name loaders. So the last run with the stream must have had all of `own`,
    and no earlier run of its day may have had exactly `own`.
    """
    last_day = [day for day in days if stream in day.usual][-1]
    streams_of_runs = [set(run.streams) for run in last_day.usual_runs]
    newest = [number for number, streams in enumerate(streams_of_runs) if stream in streams][-1]
    return own <= streams_of_runs[newest] and own not in streams_of_runs[:newest]
