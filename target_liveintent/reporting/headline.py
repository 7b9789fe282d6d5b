"""Puts an overview into sentences: how things are, what to do now, and how figures compare."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from target_liveintent.conversions.event_model import DAY, WINDOWS
from target_liveintent.reporting.findings import NO_RUN, Cause
from target_liveintent.reporting.history import FAILED, STOPPED, RunRecord
from target_liveintent.reporting.overview import (
    AS_USUAL,
    CONVERSIONS,
    TOTAL_VALUE,
    Compared,
    Overview,
    Period,
    period_of,
)
from target_liveintent.reporting.usual_range import HIGH, LOW, day_words, moment
from target_liveintent.run.amounts import counted

GOOD, CALM, BAD = "good", "calm", "bad"
"""How things are."""
NO_PROBLEM = "No problem is known so far."
EVERYTHING_USUAL = "Everything is as usual."
_OPERATOR = "the person who runs the pipeline"
_TAKEN_FOR = dt.timedelta(seconds=WINDOWS["web"])
_TAKEN_BACK = "nobody can take back the values that LiveIntent has."
_SAID = {
    "the API denied access": (
        "LiveIntent refused the access key.",
        f"Ask {_OPERATOR} to renew the access key (token).",
    ),
    "the API accepted nothing": (
        "LiveIntent could not be reached.",
        f"If this lasts for hours, tell {_OPERATOR}.",
    ),
    "the API refused": (
        "LiveIntent refused every conversion.",
        f"Ask {_OPERATOR} to check the account and the pixel.",
    ),
    FAILED: ("A run failed.", f"Ask {_OPERATOR} to find the cause."),
    NO_RUN: (
        "The runs have stopped.",
        f"Ask {_OPERATOR} whether the schedule still starts the runs.",
    ),
    "dead_letters": (
        "More conversions than usual could not be sent.",
        f"Ask {_OPERATOR} to fix the cause, and to send these conversions again.",
    ),
    "new_reason": (
        "Conversions could not be sent for a new reason.",
        f"Ask {_OPERATOR} to fix the cause, and to send again what can be sent.",
    ),
    "conversions": (
        "Far fewer conversions than usual were sent.",
        f"If your shop sold as much as usual, ask {_OPERATOR} to look for the missing conversions.",
    ),
    "average_value": (
        "The values are much higher or lower than usual.",
        f"Ask {_OPERATOR} soon whether the values have another unit, such as cents: {_TAKEN_BACK}",
    ),
    "new_currency": (
        "Conversions have a new currency.",
        f"If your shop has no new currency, ask {_OPERATOR} soon to correct it: {_TAKEN_BACK}",
    ),
    "coverage": (
        "Conversions lack something that they usually have.",
        f"Ask {_OPERATOR} whether your shop still supplies it.",
    ),
    "late": (
        "Conversions are sent later than usual.",
        f"Ask {_OPERATOR} whether conversions are now sent less often.",
    ),
}
"""What is said of a cause, and what to do: by how the message of a failed run begins, by the cause,
or by the rule that found something unusual."""
_UNKNOWN = ("The last 24 hours are unusual.", f"Ask {_OPERATOR} to find the cause.")
_WAIT = (FAILED, NO_RUN, "dead_letters", "new_reason")
"""Causes and rules because of which conversions wait, which LiveIntent accepts for some days."""
_WORDS = {AS_USUAL: "as", LOW: "lower than", HIGH: "higher than"}


# How things are, and what to do


class Verdict(NamedTuple):
    """How things are: `GOOD`, `CALM` or `BAD`, in a few words, and what to do now."""

    status: str
    headline: str
    to_do: str = "Nothing to do."


def _about(cause: Cause) -> tuple[str, str]:
    """Return the sentences about a cause: what happened, and what to do."""
    if cause.cause == FAILED:
        _, _, message = cause.words.partition(": ")
        return next((_SAID[start] for start in _SAID if message.startswith(start)), _SAID[FAILED])
    return _SAID.get(cause.cause) or _SAID.get(cause.subject, _UNKNOWN)


def verdict_of(overview: Overview) -> Verdict:
    """Return how things are, what to do now, who does it, and until when."""
    return next(_verdicts(overview))


def _verdicts(overview: Overview) -> Iterator[Verdict]:
    """Yield what can be said of an overview, the most important first."""
    last, conversions = overview.last_run, overview.figure(CONVERSIONS)
    for cause in overview.causes:
        said, to_do = _about(cause)
        to_do = " ".join([to_do, *_until(cause, overview.as_of)])
        if last is None:
            yield Verdict(CALM, "There has been no run yet.", to_do)
        yield Verdict(BAD, said, to_do)
    if last is not None and last.ending.kind == STOPPED:
        to_do = "Nothing to do: the next run sends what this run did not send."
        yield Verdict(CALM, "The last run was stopped before its end.", to_do)
    if last is not None and overview.as_of - last.ended_at > dt.timedelta(days=1):
        yield Verdict(CALM, "There was no run in the last 24 hours.", _SAID[NO_RUN][1])
    if conversions.usual is None:
        if lost := overview.last_24_hours.could_not_be_sent:  # Nobody knows what is usual.
            yield Verdict(CALM, NO_PROBLEM, f"Ask {_OPERATOR} why {lost:,} could not be sent.")
        yield Verdict(CALM, NO_PROBLEM)
    if conversions.verdict == LOW:
        yield Verdict(CALM, "Fewer conversions than usual were sent.")
    if any(one.verdict in {LOW, HIGH} for one in overview.figures):
        yield Verdict(GOOD, "Nothing is wrong.")
    yield Verdict(GOOD, EVERYTHING_USUAL)


def _until(cause: Cause, now: dt.datetime) -> Iterator[str]:
    """Yield until when LiveIntent accepts the conversions that wait because of a cause."""
    if cause.since is None or not {cause.cause, cause.subject} & {*_WAIT}:
        return
    last = (cause.since + _TAKEN_FOR).astimezone(now.tzinfo)
    if now < last:
        yield f"LiveIntent accepts these conversions until {day_words(last.date())}, and no later."
    else:
        days = WINDOWS["web"] // DAY
        yield f"LiveIntent no longer accepts conversions that are older than {days} days."


def causes(overview: Overview, most: int) -> list[str]:
    """Return sentences about each of the first causes: what, since when, and what to do."""
    zone, lines = overview.as_of.tzinfo, []
    for one in overview.causes[:most]:
        since = f" (since {moment(one.since, zone)})" if one.since else ""
        words = " ".join(one.words.rstrip(".").split())
        lines.append(f"{words}{since}. {one.what_to_do}".strip())
    if hidden := len(overview.causes[most:]):
        lines.append(f"And {counted(hidden, 'more finding')}: report --format=json lists all.")
    return lines


def health_line(overview: Overview) -> str:
    """Return a line that says whether everything is normal, or what is not, and since when."""
    last = overview.last_run
    if overview.causes or last is None:
        return " ".join(causes(overview, 2))
    ended = f"The last run ended at {moment(last.ended_at, overview.as_of.tzinfo)}."
    return f"{verdict_of(overview).headline} {ended} {comparison(overview)}"


# What the last 24 hours brought, and how figures compare


def top_period(overview: Overview) -> tuple[Period, RunRecord | None]:
    """Return the period that the top is about: 24 hours, or the last run of a short history."""
    run, recent = overview.last_run, overview.last_24_hours
    days = [one for one in overview.days if one.runs or one.special]
    if run is None or recent.delivered or len(days) > 1:
        return recent, None
    return period_of(run.day, [run]), run


def totals(overview: Overview, period: Period) -> dict[str, Decimal]:
    """Return the value in each currency, also of those that only usual days have."""
    usual = (one.subject for one in overview.figures if one.figure == TOTAL_VALUE and one.usual)
    return dict.fromkeys((*period.values, *usual), Decimal(0)) | period.values


def comparison(overview: Overview) -> str:
    """Return the conversions of the last 24 hours and what is usual, in a sentence."""
    one, period = overview.figure(CONVERSIONS), overview.last_24_hours
    sent = counted(period.delivered, "conversion") + " in the last 24 hours"
    if special := special_words(period):
        sent += f" ({special})"
    return f"{sent}{f'; usual: {one.usual_words}' if one.usual else ''}."


def special_words(period: Period) -> str:
    """Return how many conversions are not of regular runs; empty for none or all of them."""
    if not 0 < period.special < period.delivered:
        return ""
    return f"{period.special:,} of them sent by hand, or of earlier days"


def compared(one: Compared) -> str:
    """Return in words how a figure compares with usual days; empty if this is not known."""
    if one.usual is None or one.verdict is None:
        return ""
    return f"{_WORDS[one.verdict]} usual ({one.usual_words})"
