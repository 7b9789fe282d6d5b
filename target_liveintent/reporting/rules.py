"""The rules that decide what is unusual at the end of a run.

A rule judges the last 24 hours of a stream against its usual days, and yields what it finds; a new
rule is a function and its line in `RULES`. A rule asks for a clear difference, for one that the
usual days do not show, and for one that chance does not make: a shop with few conversions has large
differences every week.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import STOPPED, USUAL, Day, History, RunRecord, Unusual
from target_liveintent.reporting.usual_range import (
    Case,
    Range,
    case_of,
    chance_of_so_few,
    mean_value,
    percent,
    range_words,
    share,
    share_words,
)
from target_liveintent.run.amounts import OTHERS, counted, money, money_in
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS

_FEW = 0.5
_HOLIDAY = 0.7
"""The share of the usual conversions that a holiday leaves."""
_FELL = 0.8
_TIMES = 10
_LEAST_VALUES = 5
"""The least number of values in a currency for judging their average."""
_NEW_SHARE, _KNOWN_SHARE = 0.05, 0.005
"""A currency is new if its share of the conversions was below the second number, and is at least
the first number now."""
_RARE = 1e-3
"""A count is unusual if its probability is below this: of so few conversions, even on a holiday, or
of so many dead letters."""
_VERY_RARE = 1e-6
"""A share is unusual if its probability is below this. A run judges up to a dozen shares."""
_MOST_CERTAIN = 0.95
"""The greatest share that is expected. That all conversions had a column does not mean that all
must."""


class Finding(NamedTuple):
    """Something unusual: the reason, column or currency (empty for others), and a sentence."""

    subject: str
    words: str


def few_conversions(case: Case) -> Iterator[Finding]:
    """Find fewer than half of the usual conversions."""
    usual, count = case.usual(lambda one: one.delivered), case.now.delivered
    if usual is None or count >= min(usual.middle * _FEW, usual.low):
        return
    if chance_of_so_few(count, usual.middle * _HOLIDAY) < _RARE:
        yield Finding(
            "",
            f"{counted(count, 'conversion')} in the last 24 hours, but"
            f" {range_words(usual, '{:,.0f}'.format)} are usual. Check whether the tap still sends"
            " all records. The run's log says why records were not sent",
        )


def other_average(case: Case) -> Iterator[Finding]:
    """Find an average value that differs by ten times or more."""
    for currency, value in case.now.values.items():
        usual = case.usual(functools.partial(mean_value, currency))
        if usual is None or usual.middle <= 0 or value.conversions < _LEAST_VALUES:
            continue
        average = float(value.mean)
        is_high = average >= _TIMES * usual.high
        if is_high or average * _TIMES <= usual.low:
            yield Finding(
                currency,
                f"the average value {money_in(currency)} was {money(value.mean)} in the last 24"
                f" hours, but {range_words(usual, money)} is usual. Check whether the unit of the"
                " column 'value' has changed, for example to cents",
            )


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
    """Find columns whose share of conversions fell by more than a fifth."""
    count = case.now.delivered
    for column in [
        name for name in COVERAGE_FIELDS if name != "both"
    ]:  # (It falls with the hashes.)
        usual = case.usual(functools.partial(_share_having, column))
        having = case.now.having(column)
        if usual is None or having >= count * min(usual.middle * _FELL, usual.low):
            continue
        if _chance(having, count, usual) < _VERY_RARE:
            yield Finding(
                column,
                f"in the last 24 hours, {percent(having, count)} of the conversions had a value in"
                f" {column} ({COVERAGE_FIELDS[column]}), but {range_words(usual, share_words)} is"
                " usual."
                f" Check whether the tap still fills the column that is mapped to {column}",
            )


def _share_having(column: str, figures: StreamCounts) -> float | None:
    return share(figures.having(column), figures.delivered)


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
    usual = case.usual(lambda one: share(one.timing.within_an_hour, one.delivered))
    count = case.now.delivered
    if usual is None or not usual.low or not count or case.now.timing.within_an_hour:
        return
    if _chance(0, count, usual) < _VERY_RARE:
        yield Finding(
            "",
            "in the last 24 hours, 0 % of the conversions were sent within an hour of their event"
            f" time, but {range_words(usual, share_words)} is usual. Check whether the tap takes"
            " longer, or the schedule starts it less often",
        )


def _chance(having: int, count: int, usual: Range) -> float:
    """Return the probability that so few conversions have something, given the usual share."""
    expected = count * min(usual.middle, _MOST_CERTAIN)
    return chance_of_so_few(having, expected, count)


def more_dead_letters(case: Case) -> Iterator[Finding]:
    """Find more records that could not be sent, and a larger share of them."""
    letters, sent = case.now.letters, case.now.delivered
    count, tried = letters.total(), letters.total() + sent
    usual = case.usual(lambda one: one.letters.total())
    part = case.usual(lambda one: share(n := one.letters.total(), n + one.delivered))
    if usual is None or part is None:
        return
    # Of more conversions, or in two daily runs within 24 hours, more cannot be sent.
    expected = max(1.0, usual.high, part.high * tried)
    if count > expected and chance_of_so_few(sent, tried - expected, tried) < _RARE:
        ((reason, most),) = letters.most_common(1)
        yield Finding(
            "",
            f"{counted(count, 'record')} could not be sent in the last 24 hours, but"
            f" {range_words(usual, '{:,.0f}'.format)} are usual;"
            f" {'all' if most == count else f'{most:,}'} of them for the reason"
            f" `{reason}`{_meaning(reason)}",
        )


RULES: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "conversions": few_conversions,
    "average_value": other_average,
    "new_currency": new_currency,
    "coverage": lost_coverage,
    "new_reason": new_reason,
    "late": all_late,
    "dead_letters": more_dead_letters,
}
"""The rules by their names in the history and in the metrics."""


# What is unusual at the end of a run


def judge(history: History, run: RunRecord, zone: dt.tzinfo) -> list[Unusual] | None:
    """Return what is unusual at the end of a run, given the history before it.

    Its own streams are judged, and those that its loader no longer has. A run of another kind, or
    one that was stopped, is not judged: None.
    """
    if run.kind != USUAL or run.ending == STOPPED:
        return None
    now = run.ended_at.astimezone(zone)
    since = {(one.rule, one.stream, one.subject): one.since for one in unusual_now(history)}
    before = [other for other in history.runs if other.day == now.date()]
    said = {(one.rule, one.stream) for other in before for one in other.unusual}
    cases = {
        stream: case_of(history.days, now, stream, run)
        for stream in (*run.streams, *_gone(history.days, run))
    }
    return [
        Unusual(
            rule=rule,
            stream=stream,
            subject=subject,
            since=since.get((rule, stream, subject), run.ended_at),
            words=words,
            said=(rule, stream) not in said,
        )
        for stream, case in cases.items()
        if case.days
        for rule, find in RULES.items()
        for subject, words in find(case)
    ]


def lines(found: Iterable[Unusual]) -> Iterator[str]:
    """Yield a line for each rule and stream that found something and has not said so today."""
    new = (one for one in found if one.said)
    for (stream, _), group in itertools.groupby(new, lambda one: (one.stream, one.rule)):
        yield f"{stream}: unusual: {'; '.join(one.words for one in group)}"


def unusual_now(history: History) -> list[Unusual]:
    """Return what was unusual when each stream was last judged, in the two newest days.

    A run that was stopped judges nothing.
    """
    found: dict[str, list[Unusual]] = {}
    for run in (run for one in history.days[-2:] for run in one.usual_runs):
        if run.ending != STOPPED:
            for stream in dict.fromkeys([*run.streams, *(one.stream for one in run.unusual)]):
                found[stream] = [one for one in run.unusual if one.stream == stream]
    return [one for of_stream in found.values() for one in of_stream]


def _gone(days: Sequence[Day], run: RunRecord) -> list[str]:
    """Return the streams that usually come together with those of this run, and are absent.

    What came without these is another loader's, which its own runs judge. So is what came while
    runs with the streams of this one did.
    """
    own, gone = set(run.streams), []
    for stream in sorted({name for day in days for name in day.usual} - own):
        last = next(day for day in reversed(days) if stream in day.usual)
        usual = [set(one.streams) for one in last.usual_runs]
        newest = max(n for n, streams in enumerate(usual) if stream in streams)
        if own <= usual[newest] and own not in usual[:newest]:
            gone.append(stream)
    return gone
