"""Says how things are, and what to do now, to those who do not run the program."""

from __future__ import annotations

import datetime as dt

from target_liveintent.conversions import DAY, WINDOWS
from target_liveintent.reporting.health import NO_RUN
from target_liveintent.reporting.history import DONE, FAILED, STOPPED
from target_liveintent.reporting.overview import (
    CONVERSIONS,
    DEAD_LETTERS,
    Cause,
    Overview,
)
from target_liveintent.reporting.trend import HIGH, LOW
from target_liveintent.reporting.words import day_words

GOOD, CALM, BAD = "good", "calm", "bad"
"""How things are."""
EVERYTHING_USUAL = "Everything is as usual."
_OPERATOR = "the person who runs the pipeline"
_TAKEN_FOR = dt.timedelta(seconds=WINDOWS["web"])
_TAKEN_BACK = "nobody can take back the values that LiveIntent already has."
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
    FAILED: ("The last run failed.", f"Ask {_OPERATOR} to find the cause."),
    NO_RUN: (
        "The runs have stopped.",
        f"Ask {_OPERATOR} whether the schedule still starts the runs.",
    ),
    DEAD_LETTERS: (
        "More conversions than usual could not be sent.",
        (
            f"Ask {_OPERATOR} to fix the cause, and to send these conversions again. LiveIntent"
            " accepts the conversions of today until {until}."
        ),
    ),
    "conversions": (
        "Far fewer conversions than usual were sent.",
        f"If your shop sold as much as usual, ask {_OPERATOR} to look for the missing conversions.",
    ),
    "average_value": (
        "The values are much higher or lower than usual.",
        (
            f"Ask {_OPERATOR} soon whether the values now come in another unit, such as cents:"
            f" {_TAKEN_BACK}"
        ),
    ),
    "new_currency": (
        "Conversions have a new currency.",
        f"If your shop has no new currency, ask {_OPERATOR} soon to correct it: {_TAKEN_BACK}",
    ),
    "coverage": (
        "Conversions lack something that they usually have.",
        f"Ask {_OPERATOR} whether your shop still supplies it.",
    ),
    "new_reason": (
        "Conversions could not be sent for a new reason.",
        f"Ask {_OPERATOR} to find the cause.",
    ),
    "late": (
        "Conversions are sent later than usual.",
        f"Ask {_OPERATOR} whether conversions are now sent less often.",
    ),
}
"""What is said of a cause, and what to do: by how the message of a failed run begins, by the cause,
or by the rule that found something unusual."""
_UNKNOWN = ("The last 24 hours are unusual.", f"Ask {_OPERATOR} to find the cause.")


def _about(cause: Cause) -> tuple[str, str]:
    """Return what is said of a cause, and what to do about it."""
    if cause.cause == FAILED:
        _, _, message = cause.words.partition(": ")
        return next(
            (said for start, said in _SAID.items() if message.startswith(start)), _SAID[FAILED]
        )
    return _SAID.get(cause.cause) or _SAID.get(cause.subject, _UNKNOWN)


def headline(overview: Overview) -> tuple[str, str]:
    """Return how things are: `GOOD`, `CALM` or `BAD`, and in a few words."""
    last = overview.last_run
    if last is None:
        return CALM, "There has been no run yet."
    if overview.causes:
        cause = overview.causes[0]
        is_of_others = cause.cause == FAILED and last.ending == DONE
        return BAD, "Some conversions are no longer sent." if is_of_others else _about(cause)[0]
    conversions = overview.figure(CONVERSIONS)
    worse = [one.worse.since for one in overview.figures if one.worse and one.is_still_worse]
    is_old = overview.as_of - last.ended_at > dt.timedelta(days=1)
    known = (
        (last.ending == STOPPED, CALM, "The last run was stopped before its end."),
        (is_old, CALM, "There was no run in the last 24 hours."),
        (conversions.usual is None, CALM, "No run failed so far."),
        (worse, CALM, f"Something has been worse since {day_words(min(worse or [dt.date.max]))}."),
        (conversions.verdict == LOW, CALM, "Fewer conversions than usual were sent."),
        (conversions.verdict == HIGH, CALM, "More conversions than usual were sent."),
        (any(one.verdict in {LOW, HIGH} for one in overview.figures), GOOD, "Nothing is wrong."),
        (True, GOOD, EVERYTHING_USUAL),
    )
    return next((status, words) for holds, status, words in known if holds)


def what_to_do(overview: Overview) -> str:
    """Return what to do now, who does it, and until when."""
    last, lost = overview.last_run, overview.last_24_hours.could_not_be_sent
    if overview.causes:
        cause = overview.causes[0]
        until = day_words((overview.as_of + _TAKEN_FOR).date())
        waits = _what_waits(cause, overview.as_of) if cause.cause in {FAILED, NO_RUN} else ""
        return f"{_about(cause)[1].format(until=until)} {waits}".rstrip()
    if last is not None and last.ending == STOPPED:
        return "Nothing to do: the next run sends what this run did not send."
    if lost and overview.figure(CONVERSIONS).usual is None:  # Nobody knows what is usual.
        return f"Ask {_OPERATOR} why {lost:,} could not be sent."
    return "Nothing to do."


def _what_waits(cause: Cause, now: dt.datetime) -> str:
    """Return whether anything is lost that could not be sent since a moment.

    STATE covers what was delivered only, so the next run reads the rest again.
    """
    if cause.since is None:
        return ""
    last = (cause.since + _TAKEN_FOR).astimezone(now.tzinfo)
    if now >= last:
        days = WINDOWS["web"] // DAY
        return f"LiveIntent no longer accepts conversions that are older than {days} days."
    return (
        "The first run that succeeds sends the conversions that wait; none is lost before"
        f" {day_words(last.date())}."
    )
