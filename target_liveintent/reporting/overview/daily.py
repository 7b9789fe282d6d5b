"""Draws the figures day by day, each over its usual range."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from target_liveintent.reporting.overview.figures import (
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    EMAIL_HASH,
    FIGURES,
    LATE,
)
from target_liveintent.reporting.overview.model import Compared, Overview
from target_liveintent.reporting.overview.words import day_words, name_of
from target_liveintent.reporting.run_report import charts, markup
from target_liveintent.reporting.run_report.words import short_number

LEAST_DRAWN = 2
"""Days from which on there are charts."""
_CAPTIONS = {
    CONVERSIONS: "Conversions by day of sending",
    EMAIL_HASH: "Share with a hash of an e-mail address",
    DECISION_ID: "Share with a decision ID",
    LATE: "Share sent more than an hour late",
    DEAD_LETTERS: "Not sent, by reason",
}
_REASON_COLOURS = ("bad", "hold", "calm", "other")
"""Colours of the most frequent reasons; the last is of all others."""
_LEGEND = {
    "good": "a day that is over",
    "rest": "today, until {now}",
    "hold": "from special runs",
    "usual": "usual range",
    "gap": "there was no regular run",
    "mark": "settings or version changed: {changed}",
}
_MOST_DATES = 5


def charts_of(overview: Overview) -> str:
    """Return the section of charts."""
    if len(overview.days) < LEAST_DRAWN:
        return ""
    figures = [chart_of(overview, one) for one in overview.figures if one.figure != CONVERSIONS]
    intro = (
        "Each bar is for the day on which the conversions were sent. The band shows the range"
        " that was usual on this day. The days are days in the time zone"
        f" {overview.timezone}.{_gap_words(overview)}"
    )
    return markup.section("Day by day", intro, *figures, keys=_legend(overview))


def _legend(overview: Overview) -> list[tuple[str, str]]:
    used = set(_used(overview))
    dates = [one.day for one in overview.changes if one.day >= overview.days[0].day]
    newest = [day_words(day) for day in reversed(dates[:_MOST_DATES])]
    earlier = ["earlier"] if len(dates) > _MOST_DATES else []
    known = {"now": f"{overview.as_of:%H:%M}", "changed": ", ".join([*earlier, *newest])}
    return [(words.format(**known), kind) for kind, words in _LEGEND.items() if kind in used]


def _used(overview: Overview) -> Iterator[str]:
    """Yield what the charts show, besides the colours of reasons."""
    yield "good"
    if overview.days[-1].runs:
        yield "rest"
    if any(one.special for one in overview.days):
        yield "hold"
    if any(point.usual for one in overview.figures for point in one.days):
        yield "usual"
    if any(_gaps(overview)):
        yield "gap"
    if any(_marks(overview)):
        yield "mark"


def _gap_words(overview: Overview) -> str:
    """Return what a gap means, unless other runs sent something in it; empty without one."""
    gaps = [day for day, is_gap in zip(overview.days, _gaps(overview), strict=True) if is_gap]
    if not gaps:
        return ""
    if any(one.special for one in gaps):
        return " Where the background is grey, there was no regular run."
    return (
        " Where the background is grey, there was no run, so nothing was sent on these days."
        " Conversions that were sent later count on the day on which they were sent."
    )


def _gaps(overview: Overview) -> list[bool]:
    """Return which days had no run; today is not over."""
    return [not one.runs for one in overview.days[:-1]] + [False]


def _marks(overview: Overview) -> list[bool]:
    changed = {one.day for one in overview.changes}
    return [one.day in changed for one in overview.days]


def chart_of(overview: Overview, one: Compared) -> str:
    """Return the chart of a figure."""
    labels = [f"{one.day.day} {one.day:%b}" for one in overview.days]
    is_share = FIGURES[one.figure].is_share
    factor = 100 if is_share else 1
    bars: charts.Bars
    keys: list[tuple[str, str]] = []
    if one.figure == DEAD_LETTERS:
        bars, keys = _by_reason(overview)
    else:
        values = [factor * float(point.value or 0) for point in one.days]
        bars = {"good": [*values[:-1], 0.0], "rest": [*[0.0] * (len(values) - 1), values[-1]]}
        if one.figure == CONVERSIONS:  # The first chart.
            bars = {**bars, "hold": [float(day.special) for day in overview.days]}
            keys = _legend(overview)
    usual = [
        None if point.usual is None else (factor * point.usual.low, factor * point.usual.high)
        for point in one.days
    ]
    number: Callable[[float], str] = "{:.0f} %".format if is_share else short_number
    backdrop = charts.Backdrop(usual, _gaps(overview), _marks(overview))
    name = name_of(one)
    caption = _CAPTIONS.get(one.figure, f"{name[0].upper()}{name[1:]}, by day")
    svg = charts.daily(labels, bars, backdrop, number)
    legend = [(f"{caption}:", "plain"), *keys] if keys else []
    return markup.figure(svg, caption, legend)


def _by_reason(overview: Overview) -> tuple[charts.Bars, list[tuple[str, str]]]:
    """Return the bars of the most frequent reasons and of the others, and their legend."""
    reasons = sorted(overview.reasons, key=lambda one: -sum(n or 0 for n in one.days))
    colours = _REASON_COLOURS
    own = reasons[: len(colours) if len(reasons) == len(colours) else len(colours) - 1]
    bars = {
        colour: [float(n or 0) for n in one.days] for colour, one in zip(colours, own, strict=False)
    }
    keys = [(one.reason, colour) for colour, one in zip(colours, own, strict=False)]
    if others := reasons[len(own) :]:
        columns = zip(*(one.days for one in others), strict=True)
        bars[colours[-1]] = [float(sum(n or 0 for n in column)) for column in columns]
        keys.append(("other reasons", colours[-1]))
    return bars or {colours[0]: [0.0] * len(overview.days)}, keys
