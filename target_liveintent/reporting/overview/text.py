"""Renders an overview for people on call: at most 12 lines, and the line of `health`."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.reporting.overview.figures import (
    AVERAGE_VALUE,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    EMAIL_HASH,
    LATE,
    TOTAL_VALUE,
)
from target_liveintent.reporting.overview.model import Cause, Compared, Overview
from target_liveintent.reporting.overview.words import (
    capital,
    comparison,
    figure_words,
    moment,
    name_of,
    usual_words,
    verdict,
    worse_words,
)
from target_liveintent.reporting.run_report.model import STOPPED
from target_liveintent.reporting.run_report.words import age_words
from target_liveintent.run import counted

_MOST_LINES = 12
_MOST_CAUSES = 2
_MOST_NAMED = 3
"""Causes that the line of `health` names: it becomes the subject of a mail."""
_MOST_REASONS = 3


def health_line(overview: Overview) -> str:
    """Return whether all is usual, or what is not, and since when."""
    if overview.causes:
        named = [_cause(overview, one) for one in overview.causes[:_MOST_NAMED]]
        more = len(overview.causes) - _MOST_NAMED
        return "; ".join([*named, *([f"and {more:,} more"] if more > 0 else [])])
    return f"{_state(overview)}{comparison(overview)}"


def _state(overview: Overview) -> str:
    """Return how the last run ended, and whether that can be compared, where nothing is wrong."""
    last = overview.last_run
    when = moment(last.ended_at, overview.as_of.tzinfo) if last else ""
    if last and last.ending == STOPPED:
        return (
            f"the last run was stopped by a signal at {when}; the next run sends what that run did"
            " not send; "
        )
    ended = f"the last run ended at {when}; " if last else ""
    if overview.figure(CONVERSIONS).usual is None:
        return f"nothing failed, but there is too little history to say what is usual: {ended}"
    return f"everything is as usual: {ended}"


def _cause(overview: Overview, cause: Cause) -> str:
    since = f" (since {moment(cause.since, overview.as_of.tzinfo)})" if cause.since else ""
    return f"{' '.join(cause.words.rstrip('.').split())}{since}"


def as_lines(overview: Overview) -> list[str]:
    """Return what happened, how many, since when, what to do, and the run ID."""
    return list(_lines(overview))[:_MOST_LINES]


def _lines(overview: Overview) -> Iterator[str]:
    zone = overview.as_of.tzinfo
    pixel = "" if overview.pixel_id is None else f", pixel {overview.pixel_id}"
    yield (
        f"{verdict(overview)} Account {overview.account}{pixel}; as of"
        f" {moment(overview.as_of, zone)}."
    )
    for cause in overview.causes[:_MOST_CAUSES]:
        yield f"{capital(cause, _cause(overview, cause))}."
        if cause.what_to_do:
            yield f"  What to do: {cause.what_to_do}"
    if (more := len(overview.causes) - _MOST_CAUSES) > 0:
        yield f"And {counted(more, 'more finding')}: report --format=json lists all findings."
    if (last := overview.last_run) is not None:
        age = age_words((overview.as_of - last.ended_at).total_seconds())
        yield (f"Last run: {last.run_id}, {last.ending}, {moment(last.ended_at, zone)}, {age} ago.")
    yield comparison(overview)
    if overview.months:
        month = overview.months[0]
        yield f"This month: {counted(month.delivered, 'conversion')} since {month.first_day}."
    yield f"Shares: {', '.join(_with_usual(overview.figure(n)) for n in _SHARES)}."
    yield f"Dead letters: {_letters(overview)}."
    if worth := [one for one in overview.figures if one.figure in (TOTAL_VALUE, AVERAGE_VALUE)]:
        first = [one for one in worth if one.subject == worth[0].subject]
        words = ", ".join(_with_usual(one) for one in first)
        yield f"{words[0].upper()}{words[1:]}."
    yield from worse_words(overview)
    if not overview.causes and overview.advice:
        yield f"What would help most: {overview.advice[0]}"


_SHARES = (EMAIL_HASH, DECISION_ID, LATE)


def _with_usual(one: Compared) -> str:
    usual = f" (usual: {usual_words(one.figure, one.usual)})" if one.usual else ""
    return f"{name_of(one)} {figure_words(one.figure, one.now)}{usual}"


def _letters(overview: Overview) -> str:
    one = overview.figure(DEAD_LETTERS)
    usual = f" (usual: {usual_words(one.figure, one.usual)})" if one.usual else ""
    reasons = [f"{each.now:,} {each.reason}" for each in overview.reasons if each.now]
    named = f": {', '.join(reasons[:_MOST_REASONS])}" if reasons else ""
    return f"{figure_words(one.figure, one.now)} in the last 24 hours{usual}{named}"
