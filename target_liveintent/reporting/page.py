"""Renders an overview by templates: a page, which needs no network and no script, or a few lines.

A chart has its numbers as coordinates: upwards negative, as in SVG, and a day is one unit wide.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from target_liveintent.files import replace_file
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.reasons import REASONS
from target_liveintent.reporting import headline, usual_range
from target_liveintent.reporting.overview import CONVERSIONS, Compared, DayOfRuns, Overview, Point
from target_liveintent.run.amounts import counted, money
from target_liveintent.run.coverage import COVERAGE_FIELDS

_CHARTED = ("conversions", "dead_letters", "both_hashes", "decision_id", "total_value")
"""The figures of the large charts, in their order."""
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
    return environment.get_template(template).render(
        overview=overview,
        zone=overview.as_of.tzinfo,
        verdict=headline.verdict_of(overview),
        say=headline,
        words=usual_range,
        chart_of=chart_of,
        charts=charts,
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
    """A chart of days, the last of which is the last 24 hours. It is as high as `most`."""

    figure: Compared
    bars: list[Bar]
    most: float
    low: float


def chart_of(overview: Overview, one: Compared, most: int = 0) -> Chart | None:
    """Return the chart of a figure, for at most `most` of the last days; None if they are few."""
    has_others = one.figure == CONVERSIONS
    days = zip(overview.days[-most:], one.days[-most:], strict=True)
    bars = [Bar(day, point, day.special * has_others) for day, point in days]
    if sum(bar.point.value is not None for bar in bars) < _LEAST_DAYS:
        return None
    ends = [float(bar.point.value or 0) + more for bar in bars for more in (0, bar.others)]
    ends += [end for bar in bars if (usual := bar.point.usual) for end in (usual.low, usual.high)]
    return Chart(one, bars, 1.0 if one.kind.is_share else max(0.0, *ends), min(0.0, *ends))
