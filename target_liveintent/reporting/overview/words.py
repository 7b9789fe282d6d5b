"""Puts the figures of an overview into words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from target_liveintent.reporting.overview.figures import (
    AVERAGE_VALUE,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    EMAIL_HASH,
    FIGURES,
    LATE,
    TOTAL_VALUE,
)
from target_liveintent.reporting.overview.model import (
    AS_USUAL,
    FAILED,
    HIGH,
    LEAST_DAYS,
    LOW,
    MORE_LETTERS,
    NO_RUN,
    UNUSUAL,
    Compared,
    Number,
    Overview,
    Usual,
)
from target_liveintent.run import amount_words, counted

NAMES = {
    CONVERSIONS: "conversions",
    EMAIL_HASH: "with a hash of an e-mail address",
    DECISION_ID: "with a decision ID",
    LATE: "sent more than an hour late",
    DEAD_LETTERS: "dead letters",
    TOTAL_VALUE: "value",
    AVERAGE_VALUE: "average value",
}
"""What the figures are called."""
VERDICTS = {AS_USUAL: "as usual", LOW: "lower", HIGH: "higher"}
_VERDICT_OF = {
    FAILED: "The last run failed.",
    NO_RUN: "No run comes any more.",
    UNUSUAL: "Today is unusual.",
    MORE_LETTERS: "Today has more dead letters than usual.",
}
"""The verdict for the worst cause."""
_WHOLE_FROM = 10_000
"""Amounts from which on cents do not matter."""
_HUGE_DIGITS = 15


def name_of(one: Compared) -> str:
    """Return what a figure is called, with its currency."""
    name = NAMES[one.figure]
    if not FIGURES[one.figure].of_currency:
        return name
    return f"{name} in {one.subject}" if one.subject else f"{name} without a currency"


def figure_words(figure: str, number: Number | None) -> str:
    """Return a figure; "-" where there is none."""
    if number is None:
        return "-"
    if FIGURES[figure].is_share:
        return share(float(number))
    if FIGURES[figure].of_currency:
        return money(number)
    return f"{number:,.0f}"


def share(part: float) -> str:
    """Return a share in percent; "0 %" and "100 %" mean exactly that."""
    rounded = round(100 * part)
    if rounded == 0 and part > 0:
        return "less than 1 %"
    if rounded == 100 and part < 1:  # noqa: PLR2004 (percent)
        return "more than 99 %"
    return f"{rounded} %"


def money(number: Number) -> str:
    """Return an amount, without cents where it is large."""
    value = Decimal(number)
    if value.adjusted() >= _HUGE_DIGITS:
        return amount_words(value)
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:,.2f}"


def usual_words(figure: str, usual: Usual | None) -> str:
    """Return a usual range: "190 to 260"; "-" where there is none."""
    if usual is None:
        return "-"
    low, high = figure_words(figure, usual.low), figure_words(figure, usual.high)
    if low == high:
        return low
    if FIGURES[figure].is_share:
        low = low.removesuffix(" %") if low[0].isdigit() and high[0].isdigit() else low
    return f"{low} to {high}"


def moment(at: dt.datetime, zone: dt.tzinfo | None) -> str:
    """Return a moment in a zone: "2026-11-26 05:17 CET"."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def day_words(day: dt.date) -> str:
    """Return a day: "26 November"; the year is clear, as a history has 91 days."""
    return f"{day.day} {day:%B}"


def is_worse(one: Compared) -> bool:
    """Return whether the last 24 hours are worse than usual."""
    return one.verdict is not None and one.verdict == FIGURES[one.figure].worse


def verdict(overview: Overview) -> str:
    """Return whether today is normal, in a few words."""
    last = overview.last_run
    if last is None:
        return "No run has come yet."
    if overview.causes:
        return _VERDICT_OF[overview.causes[0].cause]
    if overview.as_of - last.ended_at > dt.timedelta(hours=24):
        return "No run came in the last 24 hours."
    if overview.figure(CONVERSIONS).usual is None:
        return "It is too early to say what is usual."
    return "Today is as usual."


def comparison(overview: Overview) -> str:
    """Return the conversions of the last 24 hours and what is usual, in a sentence."""
    one = overview.figure(CONVERSIONS)
    sent = counted(int(one.now or 0), "conversion")
    if one.usual is not None:
        return f"{sent} in the last 24 hours; {usual_words(CONVERSIONS, one.usual)} are usual."
    sentence = f"{sent} in the last 24 hours."
    if overview.comparable_from is not None:
        sentence += (
            f" From {day_words(overview.comparable_from)} on, after {LEAST_DAYS} days of history,"
            " each figure is compared with what is usual."
        )
    return sentence


def worse_words(overview: Overview) -> Iterator[str]:
    """Yield a sentence for each figure that has been worse for days, and what changed then."""
    for one in overview.figures:
        if one.worse is None:
            continue
        is_high = FIGURES[one.figure].worse == HIGH
        before, after = (figure_words(one.figure, n) for n in (one.worse.before, one.worse.after))
        name = name_of(one)
        subject = f"The share of conversions {name}" if FIGURES[one.figure].is_share else name
        subject = subject[0].upper() + subject[1:]
        has = "have" if name in {NAMES[CONVERSIONS], NAMES[DEAD_LETTERS]} else "has"
        yield (
            f"{subject} {has} been {'higher' if is_high else 'lower'} since"
            f" {day_words(one.worse.since)}: {after} a day, after {before}."
            f"{_changed(overview, one.worse.since)}"
        ).replace(" % a day", " %")


def _changed(overview: Overview, since: dt.date) -> str:
    days = (since, since - dt.timedelta(days=1))
    words = [word for one in overview.changes if one.day in days for word in one.words]
    return f" Then changed: {'; '.join(words)}." if words else ""
