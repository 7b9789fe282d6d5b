"""Renders the section of what was not sent, by reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from target_liveintent.reporting.overview.figures import DEAD_LETTERS
from target_liveintent.reporting.overview.health import is_many
from target_liveintent.reporting.overview.model import ComparedReason, Overview
from target_liveintent.reporting.overview.plain import REASONS, what_is_kept
from target_liveintent.reporting.overview.words import day_words, usual_words
from target_liveintent.reporting.run_report import markup
from target_liveintent.reporting.run_report.markup import text
from target_liveintent.reporting.run_report.words import of_them

TITLE = "What could not be sent, by reason"
_MOST_ROWS = 20
_MOST_PEAKS = 3
_PEAK = 2
"""How many times the usual middle a day must have to be named."""


def not_sent(overview: Overview) -> str:
    """Return the section; empty if nothing is in it."""
    shown = [one for one in overview.reasons if one.thirty_days or one.now][:_MOST_ROWS]
    if not shown:
        return ""
    rows = [
        [
            _reason(one.reason),
            f"{one.now:,}",
            usual_words(DEAD_LETTERS, one.usual),
            f"{one.thirty_days:,}",
            day_words(one.last_day),
        ]
        for one in shown
    ]
    heads = ["reason", "last 24 hours", "usual", "last 30 days", "last seen"]
    total = _total(overview, shown) if len(shown) > 1 else ()
    table = markup.table("", heads, rows, total)
    kept = what_is_kept([one.reason for one in shown], overview.as_of)
    return markup.section(TITLE, f"{kept} {_peaks(overview)}".rstrip(), table)


def _reason(reason: str) -> str:
    code = f"<code>{text(reason)}</code>"
    return f"{code}<br>{text(REASONS[reason].words)}" if reason in REASONS else code


def _total(overview: Overview, shown: Sequence[ComparedReason]) -> list[str]:
    usual = overview.figure(DEAD_LETTERS).usual
    return [
        "all",
        f"{sum(one.now for one in overview.reasons):,}",
        usual_words(DEAD_LETTERS, usual),
        f"{sum(one.thirty_days for one in overview.reasons):,}",
        day_words(max(one.last_day for one in shown)),
    ]


def _peaks(overview: Overview) -> str:
    """Return the days of the chart that had many more than usual, the most first, in a sentence."""
    found = sorted(_found_peaks(overview), reverse=True)[:_MOST_PEAKS]
    if not found:
        return ""
    days = "; ".join(words for _, words in found)
    return f"Days on which many more conversions than usual could not be sent: {days}."


def _found_peaks(overview: Overview) -> Iterator[tuple[int, str]]:
    for n, point in enumerate(overview.figure(DEAD_LETTERS).days):
        if point.usual is None or not isinstance(point.value, int):
            continue
        if point.value > _PEAK * point.usual.middle and is_many(point.value, point.usual.middle):
            worst = max(overview.reasons, key=lambda one: one.days[n] or 0)
            day = day_words(overview.days[n].day)
            for_it = f"{of_them(worst.days[n] or 0, point.value)} for `{worst.reason}`"
            yield point.value, f"{point.value:,} on {day}, {for_it}"
