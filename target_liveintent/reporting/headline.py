"""The headline of a report: how things are, what to do now, and how figures compare."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

from target_liveintent.conversions.event_model import DAY, WINDOWS
from target_liveintent.failures import FailureCode
from target_liveintent.reasons import BEYOND_REPAIR
from target_liveintent.reporting.findings import Cause, FailedRuns, NoRun
from target_liveintent.reporting.history import STOPPED, RunRecord
from target_liveintent.reporting.overview import (
    AS_USUAL,
    CONVERSIONS,
    TOTAL_VALUE,
    Compared,
    Overview,
    Period,
    period_of,
)
from target_liveintent.reporting.rules import MANY_DEAD_LETTERS, NEW_REASON
from target_liveintent.reporting.usual_range import HIGH, LOW
from target_liveintent.reporting.words import cause_words, day_words, moment, what_to_do_about
from target_liveintent.run.amounts import counted

GOOD, CALM, BAD = "good", "calm", "bad"
"""How things are."""
NO_PROBLEM = "No problem is known so far."
EVERYTHING_USUAL = "Everything is as usual."
_NOTHING_TO_DO = "Nothing to do."
_OPERATOR = "the person who runs the pipeline"
_TAKEN_FOR = dt.timedelta(seconds=WINDOWS["web"])
_TAKEN_BACK = "nobody can take back the values that LiveIntent has."
_WORDS = {AS_USUAL: "as", LOW: "lower than", HIGH: "higher than"}


class Headline(NamedTuple):
    """How things are: `GOOD`, `CALM` or `BAD`, in a few words, and what to do now."""

    status: str
    said: str
    to_do: str = _NOTHING_TO_DO


# What is said of a problem


class ProblemWords(NamedTuple):
    """What is said of a problem, and what to do.

    Attributes:
        waits: Whether conversions wait because of it, which LiveIntent accepts for some days.
    """

    said: str
    to_do: str
    waits: bool = True


_KEY_REFUSED = ProblemWords(
    "LiveIntent refused the access key.", f"Ask {_OPERATOR} to renew the access key (token)."
)
_NOT_REACHED = ProblemWords(
    "LiveIntent could not be reached.", f"If this lasts for hours, tell {_OPERATOR}."
)
_ALL_REFUSED = ProblemWords(
    "LiveIntent refused every conversion.", f"Ask {_OPERATOR} to check the account and the pixel."
)
_TOO_MANY_REJECTED = ProblemWords(
    "A run failed because too many conversions could not be sent.",
    f"Ask {_OPERATOR} to fix the cause.",
)
_RUN_FAILED = ProblemWords("A run failed.", f"Ask {_OPERATOR} to find the cause.")

FAILURE_HEADLINES: dict[FailureCode, ProblemWords] = {
    FailureCode.OTHER: _RUN_FAILED,
    FailureCode.CONFIGURATION: _RUN_FAILED,
    FailureCode.INPUT: _RUN_FAILED,
    FailureCode.STORAGE: _RUN_FAILED,
    FailureCode.STREAM_MAPPING: _RUN_FAILED,
    FailureCode.DELIVERY: _RUN_FAILED,
    FailureCode.ACCESS_DENIED: _KEY_REFUSED,
    FailureCode.ACCESS_LOST: _KEY_REFUSED,
    FailureCode.UNREACHABLE: ProblemWords(
        "LiveIntent could not be reached.",
        f"Ask {_OPERATOR} to correct the certificate or the proxy.",
    ),
    FailureCode.OUTAGE: _NOT_REACHED,
    FailureCode.LONG_WAIT: ProblemWords(
        "LiveIntent asked a run to wait for too long.",
        f"If this lasts for hours, tell {_OPERATOR}.",
    ),
    FailureCode.UNEXPECTED_ANSWER: _RUN_FAILED,
    FailureCode.ALL_REFUSED: _ALL_REFUSED,
    FailureCode.REPLAY_REFUSED: _ALL_REFUSED,
    FailureCode.WRITE_REFUSED: _ALL_REFUSED,
    FailureCode.TOO_MANY_REJECTED: _TOO_MANY_REJECTED,
    FailureCode.NOTHING_DELIVERED: _TOO_MANY_REJECTED,
    FailureCode.RECORD_REJECTED: _RUN_FAILED,
    FailureCode.TASKS_FAILED: _RUN_FAILED,
    FailureCode.ROWS_NOT_KEPT: _TOO_MANY_REJECTED,
    FailureCode.NO_THREAD: _RUN_FAILED,
    FailureCode.STOPPED: _RUN_FAILED,
    FailureCode.STOPPED_IN_OUTAGE: _NOT_REACHED,
    FailureCode.STOPPED_WHILE_SENDING: _RUN_FAILED,
    FailureCode.STOPPED_WHILE_WAITING: _RUN_FAILED,
    FailureCode.KILLED: _RUN_FAILED,
    FailureCode.UNEXPECTED: _RUN_FAILED,
}
"""What is said of a failed run, by the code of its failure."""

_NO_RUN = ProblemWords(
    "The runs have stopped.", f"Ask {_OPERATOR} whether the schedule still starts the runs."
)

RULE_HEADLINES: dict[str, ProblemWords] = {
    MANY_DEAD_LETTERS: ProblemWords("More conversions than usual could not be sent.", ""),
    NEW_REASON: ProblemWords("Conversions could not be sent for a new reason.", ""),
    "conversions": ProblemWords(
        "Far fewer conversions than usual were sent.",
        f"If your shop sold as much as usual, ask {_OPERATOR} to look for the missing conversions.",
        waits=False,
    ),
    "decline": ProblemWords(
        "Conversions, or their value, have declined for weeks.",
        f"If your shop sold as much as before, ask {_OPERATOR} to look for the missing"
        " conversions.",
        waits=False,
    ),
    "average_value": ProblemWords(
        "The values are much higher or lower than usual.",
        f"Ask {_OPERATOR} as soon as possible whether the values have another unit, such as cents:"
        f" {_TAKEN_BACK}",
        waits=False,
    ),
    "new_currency": ProblemWords(
        "Conversions have a new currency.",
        f"If your shop has no new currency, ask {_OPERATOR} as soon as possible to correct it:"
        f" {_TAKEN_BACK}",
        waits=False,
    ),
    "coverage": ProblemWords(
        "Conversions lack something that they usually have.",
        f"Ask {_OPERATOR} whether your shop still supplies it.",
        waits=False,
    ),
    "late": ProblemWords(
        "Conversions are sent later than usual.",
        f"Ask {_OPERATOR} whether conversions are now sent less often.",
        waits=False,
    ),
}
"""What is said of something unusual, by the rule that found it. What to do about dead letters
depends on their reason."""
_SEND_AGAIN = f"Ask {_OPERATOR} to fix the cause, and to send these conversions again."
_CANNOT_BE_SENT = (
    f"These conversions cannot be sent again. Ask {_OPERATOR} to fix the cause for the next ones."
)
_ASK_LIVEINTENT = (
    "Ask your account manager at LiveIntent what is wrong with these conversions, and tell"
    f" {_OPERATOR}, who can send them again."
)
_LOAD_AGAIN = f"Ask {_OPERATOR} to map an ID that each record has, and to load these rows again."
_ACTIONS = {"refused_by_api": _ASK_LIVEINTENT, "missing_key": _LOAD_AGAIN} | dict.fromkeys(
    BEYOND_REPAIR, _CANNOT_BE_SENT
)
"""What to do about dead letters that nobody should just send again, by their reason."""
_OF_LETTERS = (MANY_DEAD_LETTERS, NEW_REASON)
_UNKNOWN_RULE = ProblemWords(
    "The last 24 hours are unusual.", f"Ask {_OPERATOR} to find the cause.", waits=False
)


def _about(cause: Cause) -> ProblemWords:
    if isinstance(cause, FailedRuns):
        return FAILURE_HEADLINES[cause.failure.code]
    if isinstance(cause, NoRun):
        return _NO_RUN
    problem = RULE_HEADLINES.get(cause.rule, _UNKNOWN_RULE)
    if cause.rule not in _OF_LETTERS:
        return problem
    reason = cause.finding.main_reason or cause.finding.subject
    return ProblemWords(
        problem.said, _ACTIONS.get(reason, _SEND_AGAIN), waits=reason not in BEYOND_REPAIR
    )


# How things are, and what to do


def headline_of(overview: Overview) -> Headline:
    """Return how things are, what to do now, who does it, and until when."""
    if overview.causes:
        return _of_problem(overview.causes[0], overview)
    last = overview.last_run
    if last is not None and last.ending.kind == STOPPED:
        to_do = "Nothing to do: the next run sends what this run did not send."
        return Headline(CALM, "The last run was stopped before its end.", to_do)
    due = overview.next_run
    is_late = due is None or due < overview.as_of  # A schedule may start a run once a week.
    if last is not None and is_late and overview.as_of - last.ended_at > dt.timedelta(days=1):
        return Headline(CALM, "There was no run in the last 24 hours.", _NO_RUN.to_do)
    return _of_figures(overview)


def _of_problem(cause: Cause, overview: Overview) -> Headline:
    problem = _about(cause)
    to_do = problem.to_do
    if problem.waits and cause.since is not None:
        to_do = f"{to_do} {_until(cause.since, overview.as_of)}"
    if overview.last_run is None:
        return Headline(CALM, "There has been no run yet.", to_do)
    return Headline(BAD, problem.said, to_do)


def _until(since: dt.datetime, now: dt.datetime) -> str:
    """Return until when LiveIntent accepts the conversions that wait since a moment."""
    last = (since + _TAKEN_FOR).astimezone(now.tzinfo)
    if now < last:
        return f"LiveIntent accepts these conversions until {day_words(last.date())}, and no later."
    days = WINDOWS["web"] // DAY
    return f"LiveIntent no longer accepts conversions that are older than {days} days."


def _of_figures(overview: Overview) -> Headline:
    conversions = overview.figure(CONVERSIONS)
    if conversions.usual is None:  # Nobody knows what is usual.
        lost = overview.last_24_hours.could_not_be_sent
        if lost:
            return Headline(CALM, NO_PROBLEM, f"Ask {_OPERATOR} why {lost:,} could not be sent.")
        return Headline(CALM, NO_PROBLEM)
    if conversions.verdict == LOW:
        return Headline(CALM, "Fewer conversions than usual were sent.")
    if any(figure.verdict in {LOW, HIGH} for figure in overview.figures):
        return Headline(GOOD, "Nothing is wrong: numbers vary from day to day.")
    return Headline(GOOD, EVERYTHING_USUAL)


def cause_lines(overview: Overview, most: int) -> list[str]:
    """Return sentences about each of the first causes: what, since when, and what to do."""
    lines = []
    for cause in overview.causes[:most]:
        since = f" (since {moment(cause.since, overview.as_of.tzinfo)})" if cause.since else ""
        words = " ".join(cause_words(cause, overview.as_of).rstrip(".").split())
        lines.append(f"{words}{since}. {what_to_do_about(cause)}".strip())
    if hidden := len(overview.causes[most:]):
        lines.append(f"And {counted(hidden, 'more finding')}: report --format=json lists all.")
    return lines


def health_line(overview: Overview) -> str:
    """Return a line that says whether everything is normal, or what is not, and since when."""
    last = overview.last_run
    if overview.causes or last is None:
        return " ".join(cause_lines(overview, 2))
    ended = f"The last run ended at {moment(last.ended_at, overview.as_of.tzinfo)}."
    return f"{headline_of(overview).said} {ended} {comparison(overview)}"


# What the last 24 hours brought, and how figures compare


def top_period(overview: Overview) -> tuple[Period, RunRecord | None]:
    """Return the period that the top is about: 24 hours, or the last run of a short history."""
    run, recent = overview.last_run, overview.last_24_hours
    days = [day for day in overview.days if day.runs or day.special]
    if run is None or recent.delivered or len(days) > 1:
        return recent, None
    return period_of(run.day, [run]), run


def totals(overview: Overview, period: Period) -> dict[str, Decimal]:
    """Return the value in each currency; 0 for a currency that only usual days have."""
    values = [figure for figure in overview.figures if figure.figure == TOTAL_VALUE]
    usual = [figure.subject for figure in values if figure.usual]
    return dict.fromkeys((*period.values, *usual), Decimal(0)) | period.values


def comparison(overview: Overview) -> str:
    """Return the conversions of the last 24 hours and what is usual, in a sentence."""
    figure, period = overview.figure(CONVERSIONS), overview.last_24_hours
    sent = counted(period.delivered, "conversion") + " in the last 24 hours"
    if note := unscheduled_note(period):
        sent += f" ({note})"
    return f"{sent}{f'; usual: {figure.usual_words}' if figure.usual else ''}."


def unscheduled_note(period: Period) -> str:
    """Return in words how many conversions are not from regular runs; empty if none or all are."""
    if not 0 < period.special < period.delivered:
        return ""
    return f"{period.special:,} of them from a limited run, a replay or a backfill"


def compared(figure: Compared) -> str:
    """Return in words how a figure compares with usual days; empty if this is not known."""
    if figure.usual is None or figure.verdict is None:
        return ""
    return f"{_WORDS[figure.verdict]} usual ({figure.usual_words})"
