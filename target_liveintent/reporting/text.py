"""Puts an overview into words for people on call: one line of `health`, and `report` as text."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.reporting.health import UNUSUAL
from target_liveintent.reporting.history import STOPPED
from target_liveintent.reporting.overview import (
    AVERAGE_VALUE,
    BOTH_HASHES,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    EMAIL_HASH,
    FIGURES,
    LATE,
    TOTAL_VALUE,
    Cause,
    Compared,
    Number,
    Overview,
    Period,
)
from target_liveintent.reporting.trend import HIGH
from target_liveintent.reporting.usual import LEAST_DAYS, Range
from target_liveintent.reporting.verdict import EVERYTHING_USUAL, headline
from target_liveintent.reporting.words import (
    age_words,
    day_words,
    moment,
    money,
    money_in,
    percent,
    share_words,
    usual_words,
)
from target_liveintent.run import counted

NAMES = {
    CONVERSIONS: "conversions",
    BOTH_HASHES: "with both hashes",
    EMAIL_HASH: "with a hash of an e-mail address",
    DECISION_ID: "with a decision ID",
    LATE: "sent more than an hour late",
    DEAD_LETTERS: "could not be sent",
    TOTAL_VALUE: "value",
    AVERAGE_VALUE: "average value",
}
"""What the figures are called."""
_MOST_LINES = 12
_MOST_CAUSES = 2
_MOST_NAMED = 3
"""Causes that the line of `health` names: it becomes the subject of a mail."""
_MOST_REASONS = 3


def name_of(one: Compared) -> str:
    """Return what a figure is called, with its currency."""
    is_money = FIGURES[one.figure].of_currency
    return f"{NAMES[one.figure]} {money_in(one.subject)}" if is_money else NAMES[one.figure]


def figure_words(figure: str, number: Number | None) -> str:
    """Return a figure; "-" where there is none."""
    if number is None:
        return "-"
    if FIGURES[figure].is_share:
        return share_words(float(number))
    return money(number) if FIGURES[figure].of_currency else f"{number:,.0f}"


def range_words(figure: str, usual: Range | None) -> str:
    """Return a usual range: "190 to 260"; "-" where there is none."""
    return "-" if usual is None else usual_words(usual, lambda n: figure_words(figure, n))


def _direction(one: Compared) -> str:
    return "higher" if FIGURES[one.figure].worse == HIGH else "lower"


def _subject(one: Compared) -> str:
    if FIGURES[one.figure].is_share:
        return f"The share of conversions {name_of(one)}"
    if one.figure == DEAD_LETTERS:
        return "The number of conversions that could not be sent"
    return "The number of conversions" if one.figure == CONVERSIONS else f"The {name_of(one)}"


# For people on call


def health_line(overview: Overview) -> str:
    """Return whether all is usual, or what is not, and since when."""
    if overview.causes:
        named = [_cause(overview, one) for one in overview.causes[:_MOST_NAMED]]
        more = len(overview.causes) - _MOST_NAMED
        return "; ".join([*named, *([f"and {more:,} more"] if more > 0 else [])])
    return f"{_state(overview)}{comparison(overview)}"


def _state(overview: Overview) -> str:
    """Return how the last run ended, and whether all is usual, where nothing is wrong."""
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
    is_usual = headline(overview)[1] == EVERYTHING_USUAL
    return f"{'everything is as usual' if is_usual else 'nothing failed'}: {ended}"


def _cause(overview: Overview, cause: Cause) -> str:
    since = f" (since {moment(cause.since, overview.as_of.tzinfo)})" if cause.since else ""
    return f"{' '.join(cause.words.rstrip('.').split())}{since}"


def comparison(overview: Overview) -> str:
    """Return the conversions of the last 24 hours and what is usual, in a sentence."""
    one, period = overview.figure(CONVERSIONS), overview.last_24_hours
    sent = counted(period.delivered, "conversion") + " in the last 24 hours"
    if special := special_words(period):
        sent += f" ({special})"
    if one.usual is not None:
        usual = range_words(CONVERSIONS, one.usual)
        return f"{sent}; {usual} {'is' if usual == '1' else 'are'} usual."
    if overview.comparable_from is None:
        return f"{sent}."
    return (
        f"{sent}. From {day_words(overview.comparable_from)} on, after {LEAST_DAYS} days of"
        " history, each figure is compared with what is usual."
    )


def special_words(period: Period) -> str:
    """Return which conversions are not those of regular runs; empty if all are, or none is."""
    if not 0 < period.special < period.delivered:
        return ""
    return f"{period.special:,} of them sent by hand, or of earlier days"


def capital(cause: Cause, words: str) -> str:
    """Return words of a cause with a capital; the name of a stream stays as it is."""
    return words if cause.cause == UNUSUAL else f"{words[0].upper()}{words[1:]}"


def as_lines(overview: Overview) -> list[str]:
    """Return what happened, how many, since when, what to do, and the run ID."""
    return list(_lines(overview))[:_MOST_LINES]


def _lines(overview: Overview) -> Iterator[str]:
    zone = overview.as_of.tzinfo
    pixel = "" if overview.pixel_id is None else f", pixel {overview.pixel_id}"
    yield (
        f"{headline(overview)[1]} Account {overview.account}{pixel}; as of"
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
        yield f"Last run: {last.run_id}, {last.ending}, {moment(last.ended_at, zone)}, {age} ago."
    yield comparison(overview)
    period = overview.last_24_hours
    reasons = [f"{count:,} {reason}" for reason, count in period.not_sent.items()]
    named = f": {', '.join(reasons[:_MOST_REASONS])}" if reasons else ""
    usual = _usual(overview.figure(DEAD_LETTERS))
    yield f"Could not be sent in the last 24 hours: {period.could_not_be_sent:,}{usual}{named}."
    if period.values:
        worth = (
            f"{money(one.total)} {one.currency or 'without a currency'}" for one in period.values
        )
        yield f"Value in the last 24 hours: {', '.join(worth)}."
    if period.delivered:
        both = percent(period.with_both_hashes, period.delivered)
        decided = percent(period.with_decision_id, period.delivered)
        yield (
            f"Shares: with both hashes {both}{_usual(overview.figure(BOTH_HASHES))}, with a"
            f" decision ID {decided}{_usual(overview.figure(DECISION_ID))}."
        )
    if overview.months:
        month = overview.months[0]
        yield f"This month: {counted(month.delivered, 'conversion')} since {month.first_day}."
    yield from worse_words(overview)
    if not overview.causes and overview.advice:
        yield f"What would help most: {overview.advice[0]}"


def _usual(one: Compared) -> str:
    return f" (usual: {range_words(one.figure, one.usual)})" if one.usual else ""


def worse_words(overview: Overview) -> Iterator[str]:
    """Yield a sentence for each figure that has been worse for days, and what changed then."""
    changed = {one.day: one.words for one in overview.changes}
    for one in overview.figures:
        if one.worse is None:
            continue
        before, after = (figure_words(one.figure, n) for n in (one.worse.before, one.worse.after))
        a_day = "" if FIGURES[one.figure].is_share else " a day"
        yield (
            f"{_subject(one)} has been {_direction(one)} since {day_words(one.worse.since)}:"
            f" {after}{a_day} instead of {before}."
            + "".join(
                f" {when} this changed, which may be the cause: {'; '.join(words)}."
                for when, day in (
                    ("On the same day,", one.worse.since),
                    ("On the day before,", one.worse.day_before),
                )
                if (words := changed.get(day))
            )
        )
