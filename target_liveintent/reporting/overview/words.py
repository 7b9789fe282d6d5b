"""Puts the figures of an overview into words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
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
    Cause,
    Change,
    Compared,
    LastRun,
    Number,
    Overview,
    Usual,
)
from target_liveintent.reporting.run_report.model import DONE
from target_liveintent.run import amount_words, counted

NAMES = {
    CONVERSIONS: "conversions",
    EMAIL_HASH: "with a hash of an e-mail address",
    DECISION_ID: "with a decision ID",
    LATE: "sent more than an hour late",
    DEAD_LETTERS: "not sent (dead letters)",
    TOTAL_VALUE: "value",
    AVERAGE_VALUE: "average value",
}
"""What the figures are called."""
_SUBJECTS = {
    CONVERSIONS: "The number of conversions",
    DEAD_LETTERS: "The number of conversions that could not be sent",
}
"""What figures are called at the beginning of a sentence, where that is something else."""
VERDICTS = {AS_USUAL: "as usual", LOW: "lower", HIGH: "higher"}
_VERDICT_OF = {
    FAILED: "The last run failed.",
    NO_RUN: "The runs have stopped.",
    UNUSUAL: "Today is unusual.",
    MORE_LETTERS: "More conversions than usual could not be sent today.",
}
"""The verdict for the worst cause."""
_OTHERS = "Some streams are no longer sent."
"""The verdict where a run failed, but the last one did not, which had other streams."""
_TODAY = {
    LOW: "Today has fewer conversions than usual.",
    HIGH: "Today has more conversions than usual.",
}
"""The verdict where no rule finds anything, but the conversions are outside of their range."""
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


def capital(cause: Cause, words: str) -> str:
    """Return words of a cause with a capital; the name of a stream stays as it is."""
    return words if cause.cause == UNUSUAL else f"{words[0].upper()}{words[1:]}"


def is_worse(one: Compared) -> bool:
    """Return whether the last 24 hours are worse than usual."""
    return one.verdict is not None and one.verdict == FIGURES[one.figure].worse


def than_before(one: Compared) -> str:
    """Return that a figure is still as bad as it has been for days; empty if it is not.

    The worse days become the usual ones after a while. Beside `worse`, "as usual" would be wrong.
    """
    if one.worse is None or one.now is None:
        return ""
    now, worse = float(one.now), one.worse
    if abs(now - worse.before) < abs(now - worse.after):
        return ""
    return (
        f"{_direction(one)} than before {day_words(worse.since)}"
        f" ({figure_words(one.figure, worse.before)})"
    )


def _direction(one: Compared) -> str:
    return VERDICTS[FIGURES[one.figure].worse or LOW]


def verdict(overview: Overview) -> str:
    """Return whether today is normal, in a few words."""
    last = overview.last_run
    if last is None:
        return "There has been no run yet."
    if overview.causes:
        return _verdict_of_cause(overview, last)
    if overview.as_of - last.ended_at > dt.timedelta(hours=24):
        return "There was no run in the last 24 hours."
    return _verdict_of_figures(overview)


def _verdict_of_cause(overview: Overview, last: LastRun) -> str:
    """Return the verdict for the worst cause, and since when figures have been worse."""
    cause = overview.causes[0].cause
    if cause == FAILED and last.ending == DONE:
        return _OTHERS
    worse = _still_worse(overview)
    letters = [since for figure, _, since in worse if figure == DEAD_LETTERS]
    if cause == MORE_LETTERS and letters:
        return f"Since {day_words(letters[0])}, more conversions than usual could not be sent."
    also = f" {_since_when(worse)}" if worse and cause in {UNUSUAL, MORE_LETTERS} else ""
    return f"{_VERDICT_OF[cause]}{also}"


def _still_worse(overview: Overview) -> list[tuple[str, str, dt.date]]:
    """Return what is as bad as it has been for days: the figure, in words, and since when."""
    return [
        (one.figure, f"{_subject(one)} has been {_direction(one)}", one.worse.since)
        for one in overview.figures
        if one.worse and than_before(one)
    ]


def _since_when(worse: Sequence[tuple[str, str, dt.date]]) -> str:
    """Return since when something has been worse, in a sentence."""
    _, words, _ = worse[0]
    what = f"{words[0].lower()}{words[1:]}" if len(worse) == 1 else "some figures have been worse"
    return f"Since {day_words(min(since for *_, since in worse))}, {what} than before."


def _verdict_of_figures(overview: Overview) -> str:
    conversions = overview.figure(CONVERSIONS)
    if not conversions.now:
        return "No conversion was sent in the last 24 hours."
    if conversions.usual is None:
        return "It is too early to say what is usual."
    if worse := _still_worse(overview):
        return _since_when(worse)
    return _TODAY.get(conversions.verdict or AS_USUAL, "Today is as usual.")


def comparison(overview: Overview) -> str:
    """Return the conversions of the last 24 hours and what is usual, in a sentence."""
    one = overview.figure(CONVERSIONS)
    sent = counted(int(one.now or 0), "conversion")
    if one.usual is not None:
        usual = usual_words(CONVERSIONS, one.usual)
        return f"{sent} in the last 24 hours; {usual} {'is' if usual == '1' else 'are'} usual."
    sentence = f"{sent} in the last 24 hours."
    if overview.comparable_from is not None:
        sentence += (
            f" From {day_words(overview.comparable_from)} on, after {LEAST_DAYS} days of history,"
            " each figure is compared with what is usual."
        )
    return sentence


def yesterday_words(overview: Overview) -> str:
    """Return the conversions of the last whole day; empty if no run came on it."""
    days = overview.figure(CONVERSIONS).days[:-1]
    if not days or days[-1].value is None:
        return ""
    return f"Yesterday, {day_words(overview.days[-2].day)}: {days[-1].value:,}."


def worse_words(overview: Overview) -> Iterator[str]:
    """Yield a sentence for each figure that has been worse for days, and what changed then."""
    for one in overview.figures:
        if one.worse is None:
            continue
        before, after = (figure_words(one.figure, n) for n in (one.worse.before, one.worse.after))
        a_day = "" if FIGURES[one.figure].is_share else " a day"
        yield (
            f"{_subject(one)} has been {_direction(one)} since {day_words(one.worse.since)}:"
            f" {after}{a_day} instead of {before}."
            + _since_then(overview, one.figure, one.worse.since)
            + "".join(
                f" {when}, {_what(words)} changed, which may be the cause: {'; '.join(words)}."
                for when, words in changes_around(overview.changes, one.worse.since)
            )
        )


def _since_then(overview: Overview, figure: str, since: dt.date) -> str:
    """Return how many conversions could not be sent since a day; empty for other figures."""
    if figure != DEAD_LETTERS:
        return ""
    days = zip(overview.days, overview.figure(DEAD_LETTERS).days, strict=True)
    total = sum(point.value or 0 for day, point in days if day.day >= since)
    return f" In all, {total:,} could not be sent since then."


def _subject(one: Compared) -> str:
    if FIGURES[one.figure].is_share:
        return f"The share of conversions {name_of(one)}"
    name = name_of(one)
    return _SUBJECTS.get(one.figure, f"{name[0].upper()}{name[1:]}")


def changes_around(changes: Iterable[Change], day: dt.date) -> Iterator[tuple[str, list[str]]]:
    """Yield what changed on a day and on the day before it, each with when that was."""
    known = {one.day: one.words for one in changes}
    for back, when in enumerate(("On the same day", "On the day before")):
        if words := known.get(day - dt.timedelta(days=back)):
            yield when, words


def _what(words: list[str]) -> str:
    versions = sum(one.startswith("version:") for one in words)
    settings = len(words) - versions
    found = [counted(settings, "setting")] if settings else []
    return " and ".join([*found, *["the version of the program"] * bool(versions)])


def outside_words(overview: Overview) -> Iterator[str]:
    """Yield a sentence about the figures that are outside of what is usual and not said yet."""
    said = {CONVERSIONS}
    if any(one.cause == MORE_LETTERS for one in overview.causes):
        said.add(DEAD_LETTERS)
    found = [
        f"{name_of(one)} {figure_words(one.figure, one.now)}"
        f" (usual: {usual_words(one.figure, one.usual)})"
        for one in overview.figures
        if one.verdict in {LOW, HIGH} and one.figure not in said and not than_before(one)
    ]
    if found:
        yield (
            "Outside the usual range (this happens to each figure on two of ten days):"
            f" {', '.join(found)}."
        )
