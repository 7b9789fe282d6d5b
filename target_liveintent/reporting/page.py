"""Renders an overview as a page (without network and script), as lines of text, or as JSON.

A chart is always 100 units high, and a day is one unit wide: browsers draw coordinates above about
33 million in a wrong place. In SVG, y grows downwards, so points above the axis have a negative y.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup, escape

from target_liveintent.conversions.amounts import counted
from target_liveintent.files import replace_file
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.reasons import REASONS
from target_liveintent.reporting import headline, words
from target_liveintent.reporting.findings import FailedRuns, NoRun
from target_liveintent.reporting.history import Unusual
from target_liveintent.reporting.overview import Compared, DayOfRuns, Overview
from target_liveintent.reporting.page_owner import owner_of
from target_liveintent.run.coverage import COVERAGE_FIELDS
from target_liveintent.store.ledger import PLACE_WORDS

REPORT_FORMAT = 3
"""Increase it when a field of the JSON (see docs/reference/json.md) changes its meaning."""
_ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
_CAUSES: dict[type, str] = {FailedRuns: "failed", NoRun: "no_run", Unusual: "unusual"}


def write_page(overview: Overview, path: str) -> None:
    """Replace the page at a path; raise an `OSError` if it cannot be written."""
    replace_file(Path(path), without_secrets(page(overview)))


def page(overview: Overview) -> str:
    """Return the page of an account and pixel."""
    return _rendered("page.html", overview)


def as_lines(overview: Overview) -> list[str]:
    """Return lines that say what happened, what to do, and how many conversions arrived."""
    return _rendered("report.txt", overview).splitlines()


def as_json(overview: Overview) -> dict[str, Any]:
    """Return the JSON of `report --format=json`: the overview, and words for its values."""
    report: dict[str, Any] = msgspec.to_builtins(overview, str_keys=True)
    for shown, problem in zip(report["causes"], overview.causes, strict=True):
        cause = problem.cause
        shown |= shown.pop("cause") | {  # noqa: PLW2901 (it changes the dict in the list)
            "cause": _CAUSES[type(cause)],
            "words": words.cause_words(cause, overview.as_of),
            "what_to_do": words.what_to_do_about(cause),
            "command": headline.command_for(cause),
        }
    for value, gap in zip(report["gaps"], overview.gaps, strict=True):
        value["words"] = words.advice_about(gap)
    if overview.last_run is not None:
        ending = overview.last_run.ending
        report["last_run"]["ending"] |= {"kind": ending.kind, "words": words.ending_words(ending)}
    return {"version": REPORT_FORMAT, "timezone": str(overview.as_of.tzinfo), **report}


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
    environment.filters |= {"code": _code, "number": "{:,}".format}
    environment.filters |= {"amounts": words.amounts_words}
    environment.filters |= {"advice": words.advice_about, "change": words.change_words}
    return environment.get_template(template).render(
        overview=overview,
        owner=owner_of(overview.account, overview.pixel_id),
        zone=overview.as_of.tzinfo,
        headline=headline.headline_of(overview),
        top=headline.top_of(overview),
        places=PLACE_WORDS,
        say=headline,
        words=words,
        top_of_axis=top_of_axis(overview),
        figures=figures_to_show(overview),
        today_is_over=today_is_over(overview),
        weeks_of=weeks_of,
        counted=counted,
        reasons=REASONS,
        fields=COVERAGE_FIELDS,
    )


def _code(sentence: str) -> Markup:
    """Return text as HTML; what is between backticks becomes code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


def top_of_axis(overview: Overview) -> int:
    """Return the top of the chart's axis, whose quarters are round; 0 if there is no chart."""
    days = overview.days
    highest = max(max(day.ledger.to_send, day.usual.high if day.usual else 0) for day in days)
    steps = (part * 10**digits // 10 for digits in itertools.count() for part in _ROUND)
    is_shown = highest and len(days) > 1
    return next(4 * step for step in steps if 4 * step >= highest) if is_shown else 0


def today_is_over(overview: Overview) -> bool:
    """Return whether no more run is due today, as far as the schedule is known."""
    due = overview.next_run
    return due is not None and due.astimezone(overview.as_of.tzinfo).date() > overview.as_of.date()


def figures_to_show(overview: Overview) -> list[Compared]:
    """Return the figures that have a number, without those that repeat the whole of theirs.

    If all conversions come from the web, for example, their number is not shown again.
    """
    numbers = {(one.figure, one.subject): [one.now, *one.days] for one in overview.figures}
    shown = []
    for figure in overview.figures:
        own = numbers[figure.figure, figure.subject]
        is_known = any(number is not None for number in own)
        if is_known and own != numbers.get((figure.kind.whole, "")):
            shown.append(figure)
    return shown


def weeks_of(days: Sequence[DayOfRuns]) -> list[tuple[dt.date, int]]:
    """Return the first day and each Monday, with the number of days until the next Monday."""
    weeks = itertools.groupby((day.day for day in days), lambda day: day.isocalendar()[:2])
    return [(of_week[0], len(of_week)) for of_week in ([*group] for _, group in weeks)]
