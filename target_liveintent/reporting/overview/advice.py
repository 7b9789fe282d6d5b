"""Says what would help most, by the conversions of the last 30 days that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from target_liveintent.reporting.history import StreamFigures
from target_liveintent.reporting.overview.figures import DECISION_ID, EMAIL_HASH
from target_liveintent.reporting.overview.model import Change, Compared
from target_liveintent.reporting.overview.plain import REASONS
from target_liveintent.reporting.overview.words import (
    changes_around,
    day_words,
    figure_words,
    name_of,
)
from target_liveintent.reporting.run_report.advice import (
    ALL_SOURCES,
    FRESH,
    GAPS,
    MATCHED,
    OTHER,
    TOLERATED,
    Advice,
    most_useful_first,
)
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.words import percent
from target_liveintent.run import counted

_LOST = 0.01
"""The share of conversions that may be lost for one reason before it is mentioned."""
_MOST = 5


def advise(recent: StreamFigures, facts: Facts | None) -> list[str]:
    """Return a sentence for each thing to change, what would gain most first.

    First are conversions that LiveIntent does not get, or gets without both hashes; then those
    without another column that identifies somebody; then the rest. Within a kind, what is about
    more conversions comes first.

    Args:
        recent: The sum of the usual runs of the last 30 days.
        facts: The report of the last run, which says what sources there are.
    """
    sources = set() if facts is None else {one.source for one in facts.coverage}
    found = [*_lost(recent), *_gaps(recent, sources), *_late(recent)]
    return most_useful_first(found)[:_MOST]


def undo(figures: Iterable[Compared], changes: Iterable[Change]) -> Iterator[str]:
    """Yield a sentence for each share that fell when something changed: look at that first."""
    known = list(changes)
    for one in figures:
        if one.figure not in {EMAIL_HASH, DECISION_ID} or one.worse is None:
            continue
        words = [word for _, found in changes_around(known, one.worse.since) for word in found]
        if words:
            before, after = (
                figure_words(one.figure, n) for n in (one.worse.before, one.worse.after)
            )
            yield (
                f"The share of conversions {name_of(one)} fell from {before} to {after} on"
                f" {day_words(one.worse.since)}. Check whether one of these changes is the cause,"
                f" and if so, correct it: {'; '.join(words)}."
            )


def _lost(recent: StreamFigures) -> Iterator[Advice]:
    letters = recent.dead_letters
    whole = recent.delivered + sum(letters.values())
    for reason, records in letters.items():
        if records > whole * _LOST and reason in REASONS:
            words = (
                f"{counted(records, 'conversion')} ({percent(records, whole)}) could not be sent:"
                f" {REASONS[reason].words} (`{reason}`). {REASONS[reason].what_to_do}"
            )
            yield Advice(MATCHED, records, words)


def _gaps(recent: StreamFigures, sources: set[str]) -> Iterator[Advice]:
    for gap in GAPS:
        missing = recent.delivered - recent.having.get(gap.column, 0)
        applies = gap.sources == ALL_SOURCES or (sources and sources <= set(gap.sources))
        if applies and missing > recent.delivered * TOLERATED:
            share = percent(missing, recent.delivered)
            verb = gap.verb if missing > 1 else {"have": "has", "lack": "lacks"}[gap.verb]
            words = f"{counted(missing, 'conversion')} ({share}) {verb} {gap.words}"
            yield Advice(gap.gain, missing, words)


def _late(recent: StreamFigures) -> Iterator[Advice]:
    if recent.within_an_hour < recent.delivered * FRESH:
        share = percent(recent.late, recent.delivered)
        words = (
            f"{counted(recent.late, 'conversion')} ({share}) were sent more than an hour after they"
            " happened. Run the program more often."
        )
        yield Advice(OTHER, recent.late, words)
