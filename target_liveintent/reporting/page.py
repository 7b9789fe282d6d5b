"""Renders an overview: as a page, which needs no network and no script, as lines, or as JSON.

A chart is 100 units high and a day is one unit wide, whatever its numbers are: browsers draw
coordinates above some 33 million at a wrong place. As in SVG, coordinates upwards are negative.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup, escape

from target_liveintent.files import replace_file
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.reasons import REASONS
from target_liveintent.reporting import headline, words
from target_liveintent.reporting.findings import FailedRuns, NoRun
from target_liveintent.reporting.history import Unusual
from target_liveintent.reporting.overview import CONVERSIONS, Compared, DayOfRuns, Overview, Point
from target_liveintent.reporting.page_owner import owner_of
from target_liveintent.reporting.usual_range import Number
from target_liveintent.run.amounts import counted, money
from target_liveintent.run.coverage import COVERAGE_FIELDS

REPORT_FORMAT = 2
"""Increase it when the meaning of a field in the JSON changes; docs/reference/cli.md has them."""
_CHARTED = ("conversions", "dead_letters", "both_hashes", "decision_id", "total_value")
"""The figures of the large charts, in their order."""
_CAUSES: dict[type, str] = {FailedRuns: "failed", NoRun: "no_run", Unusual: "unusual"}
_CHART_HEIGHT = 100.0
_COORDINATE_DIGITS = 2
_LEAST_DAYS = 2
"""The least number of days for a chart."""


def write_page(overview: Overview, path: str) -> None:
    """Replace the page at a path; raise an `OSError` if it cannot be written."""
    replace_file(Path(path), without_secrets(page(overview)))


def page(overview: Overview) -> str:
    """Return the page of an account and pixel."""
    return _rendered("page.html", overview)


def as_lines(overview: Overview) -> list[str]:
    """Return what happened, how many, since when, what to do, and the run ID."""
    return _rendered("report.txt", overview).splitlines()


def as_json(overview: Overview) -> dict[str, Any]:
    """Return the JSON of `report --format=json`: the overview, and words for its values."""
    report: dict[str, Any] = msgspec.to_builtins(overview, str_keys=True)
    for value, cause in zip(report["causes"], overview.causes, strict=True):
        value["cause"] = _CAUSES[type(cause)]
        value["words"] = words.cause_words(cause, overview.as_of)
        value["what_to_do"] = words.what_to_do_about(cause)
    for value, gap in zip(report["gaps"], overview.gaps, strict=True):
        value["words"] = words.advice_about(gap)
    if overview.last_run is not None:
        ending = overview.last_run.ending
        report["last_run"]["ending"] |= {"kind": ending.kind, "words": words.ending_words(ending)}
    return {"version": REPORT_FORMAT, "timezone": overview.timezone, **report}


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
    environment.filters |= {"advice": words.advice_about, "change": words.change_words}
    drawn = [figure for name in _CHARTED for figure in overview.figures if figure.figure == name]
    charts = [chart_of(overview, figure) for figure in drawn]
    return environment.get_template(template).render(
        overview=overview,
        owner=owner_of(overview.account, overview.pixel_id),
        zone=overview.as_of.tzinfo,
        headline=headline.headline_of(overview),
        say=headline,
        words=words,
        chart_of=chart_of,
        charts=[chart for chart in charts if chart is not None],
        counted=counted,
        reasons=REASONS,
        fields=COVERAGE_FIELDS,
    )


def _code(sentence: str) -> Markup:
    """Return text as HTML; what is between backticks becomes code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


class Bar(NamedTuple):
    """A day of a chart; `others` is how many conversions runs of other kinds sent."""

    day: DayOfRuns
    point: Point
    others: int


class Chart(NamedTuple):
    """A chart of days, from the number `low` up to `top`. Its last day is today, so far."""

    figure: Compared
    bars: list[Bar]
    top: float
    low: float

    def y(self, number: Number) -> float:
        """Return the coordinate of a number."""
        return -self.length(0, number)

    def length(self, start: Number, end: Number) -> float:
        """Return how long the line from one number to another is; negative if it goes down."""
        part = (float(end) - float(start)) / (self.top - self.low)
        return round(_CHART_HEIGHT * part, _COORDINATE_DIGITS)

    @property
    def height(self) -> float:
        """The height of each chart."""
        return _CHART_HEIGHT


def chart_of(overview: Overview, figure: Compared, most_days: int | None = None) -> Chart | None:
    """Return the chart of a figure over the last days, at most so many; None if they are few."""
    shown = overview.days if most_days is None else overview.days[-most_days:]
    points = figure.days[len(figure.days) - len(shown) :]
    bars = [
        Bar(day, point, day.special if figure.figure == CONVERSIONS else 0)
        for day, point in zip(shown, points, strict=True)
    ]
    if sum(bar.point.value is not None for bar in bars) < _LEAST_DAYS:
        return None
    heights = [0.0, *(height for bar in bars for height in _heights(bar))]
    top = 1.0 if figure.kind.is_share or not any(heights) else max(heights)
    return Chart(figure, bars, top, min(heights))


def _heights(bar: Bar) -> list[float]:
    """Return all heights that a chart shows of a day."""
    value, usual = float(bar.point.value or 0), bar.point.usual
    heights = [value, value + bar.others]
    return heights if usual is None else [*heights, usual.low, usual.high]
