"""Renders an overview by templates: a page, which needs no network and no script, or a few lines.

The charts are drawn in parts of their highest number: upwards negative, as SVG counts, and a day is
one unit wide.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from target_liveintent.files import replace_file
from target_liveintent.privacy import without_secrets
from target_liveintent.reasons import REASONS
from target_liveintent.reporting import verdict, words
from target_liveintent.reporting.overview import (
    BOTH_HASHES,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    FIGURES,
    TOTAL_VALUE,
    Compared,
    DayOfRuns,
    Number,
    Overview,
)
from target_liveintent.run import FIELDS, counted, money

_CHARTED = (CONVERSIONS, DEAD_LETTERS, BOTH_HASHES, DECISION_ID, TOTAL_VALUE)
"""The figures of the large charts, in their order."""
_LEAST_DAYS = 2
"""The least number of days for a chart."""
_MOST_LINES = 12


def write_page(overview: Overview, path: str) -> None:
    """Replace the page at a path.

    Raises:
        OSError: If the file cannot be written.
    """
    replace_file(Path(path), without_secrets(page(overview)))


def page(overview: Overview) -> str:
    """Return the page of an account and pixel."""
    return _rendered("page.html", overview)


def as_lines(overview: Overview) -> list[str]:
    """Return what happened, how many, since when, what to do, and the run ID."""
    return _rendered("report.txt", overview).splitlines()[:_MOST_LINES]


def _rendered(template: str, overview: Overview) -> str:
    # Imported here because only a report needs it.
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("target_liveintent.reporting"),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="%",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _code, "number": "{:,}".format, "money": money}
    drawn = [one for name in _CHARTED for one in overview.figures if one.figure == name]
    charts = [chart for one in drawn if (chart := chart_of(overview, one))]
    status, headline = verdict.headline(overview)
    return environment.get_template(template).render(
        overview=overview,
        zone=overview.as_of.tzinfo,
        status=status,
        headline=headline,
        say=verdict,
        words=words,
        chart_of=chart_of,
        charts=charts,
        counted=counted,
        reasons=REASONS,
        fields=FIELDS,
    )


def _code(sentence: str) -> Markup:
    """Return text as HTML; what is between backticks becomes code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


class Column(NamedTuple):
    """A day of a chart; its numbers are fractions of the chart's highest number.

    Attributes:
        value: The number; None if there is none.
        special: What other runs add to it.
        usual: The ends of the usual range; None if nothing is usual.
        is_gap: Whether there was no regular run.
        is_marked: Whether a setting or the version changed.
        tip: All of it in words.
    """

    value: float | None
    special: float
    usual: tuple[float, float] | None
    is_gap: bool
    is_marked: bool
    tip: str


class Chart(NamedTuple):
    """A chart of days.

    Attributes:
        title: What it shows.
        summary: The same with its numbers, for screen readers.
        is_line: Whether a line is drawn, as for shares, and not bars.
        high: The highest number in words.
        low: The lowest number, as a part of the highest; at most 0.
        columns: The days.
    """

    title: str
    summary: str
    is_line: bool
    high: str
    low: float
    columns: list[Column]


def chart_of(overview: Overview, one: Compared, most: int = 0) -> Chart | None:
    """Return the chart of a figure, for at most `most` of the last days.

    It is None if there are too few days.
    """
    days = [*zip(overview.days, one.days, strict=True)][-most:]
    known = [float(point.value) for _, point in days if point.value is not None]
    if len(known) < _LEAST_DAYS:
        return None
    specials = [day.special if one.figure == CONVERSIONS else 0 for day, _ in days]
    numbers = [float(point.value or 0) for _, point in days]
    ends = [*numbers, *(number + more for number, more in zip(numbers, specials, strict=True))]
    ends += [end for _, point in days if (usual := point.usual) for end in (usual.low, usual.high)]
    high = 1.0 if FIGURES[one.figure].is_share else max(map(abs, ends)) or 1.0
    changed = {change.day for change in overview.changes}

    def say(number: Number | None) -> str:
        return verdict.figure_words(one.figure, number)

    columns = [
        Column(
            value=None if point.value is None else number / high,
            special=special / high,
            usual=None if (of := point.usual) is None else (of.low / high, of.high / high),
            is_gap=not day.runs and day is not overview.days[-1],
            is_marked=day.day in changed,
            tip=_tip(day, special, verdict.range_words(one.figure, point.usual), say(point.value)),
        )
        for (day, point), number, special in zip(days, numbers, specials, strict=True)
    ]
    title = verdict.title_of(one)
    return Chart(
        title=title,
        summary=f"{title}, {counted(len(days), 'day')}: from {say(min(known))} to"
        f" {say(max(known))}, today {say(days[-1][1].value)}",
        is_line=FIGURES[one.figure].is_share,
        high=say(high) if max(ends) else say(0),
        low=min(0.0, *ends) / high,
        columns=columns,
    )


def _tip(day: DayOfRuns, special: int, usual: str, number: str) -> str:
    others = f" and {special:,} by other runs" if special else ""
    return f"{words.day_words(day.day)}: {number}{others}; usual: {usual}"
