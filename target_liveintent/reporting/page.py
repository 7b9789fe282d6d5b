"""Renders an overview as one page, which needs no network and no script.

The top is for everybody: four numbers, and what to do now. The templates escape all text.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import NamedTuple

import jinja2
from markupsafe import Markup, escape

from target_liveintent.reasons import REASONS
from target_liveintent.reporting import text, words
from target_liveintent.reporting.charts import LEAST_DAYS, Chart, chart_of
from target_liveintent.reporting.overview import (
    AS_USUAL,
    BOTH_HASHES,
    CONVERSIONS,
    DEAD_LETTERS,
    DECISION_ID,
    FIGURES,
    TOTAL_VALUE,
    Compared,
    Overview,
    Period,
    period_of,
)
from target_liveintent.reporting.trend import HIGH, LOW
from target_liveintent.reporting.verdict import GOOD, headline, what_to_do
from target_liveintent.run import FIELDS, counted

_SPARK_DAYS = 30
_MOST_ROWS = 20


def page(overview: Overview) -> str:
    """Return the page of an account and pixel."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    status, said = headline(overview)
    return environment.get_template("page.html").render(
        overview=overview,
        zone=overview.as_of.tzinfo,
        status=status,
        headline=said,
        what_to_do=what_to_do(overview),
        period=_period_words(overview),
        tiles=_tiles(overview),
        charts=_charts(overview),
        compared=_compared,
        explained=_explained,
        css=_source("page.css"),
        text=text,
        words=words,
        counted=counted,
        fields=FIELDS,
        most=_MOST_ROWS,
    )


@functools.cache
def _source(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def _code(sentence: str) -> Markup:
    """Return text as HTML; what is between backticks becomes code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


def _explained(reason: str) -> str:
    """Return what a reason means, and what to do; empty for one of another version."""
    return REASONS[reason].meaning if reason in REASONS else ""


class Tile(NamedTuple):
    """A question that the top of the page answers.

    Attributes:
        title: What is counted.
        numbers: Each number with its unit.
        notes: How the numbers compare with usual, each with whether that is bad.
        spark: The days before; None if there are too few.
    """

    title: str
    numbers: list[tuple[str, str]]
    notes: list[tuple[str, bool]]
    spark: Chart | None


def _tiles(overview: Overview) -> list[Tile]:
    period = _top(overview)
    conversions, letters = overview.figure(CONVERSIONS), overview.figure(DEAD_LETTERS)
    both, decision = overview.figure(BOTH_HASHES), overview.figure(DECISION_ID)
    first = period.values[0].currency if period.values else ""
    worth = [one for one in overview.figures if (one.figure, one.subject) == (TOTAL_VALUE, first)]
    values = [
        (words.money(one.total), one.currency or "without a currency") for one in period.values
    ]
    shares = [
        (words.percent(period.with_both_hashes, period.delivered), text.NAMES[BOTH_HASHES]),
        (words.percent(period.with_decision_id, period.delivered), text.NAMES[DECISION_ID]),
    ]
    others = text.special_words(period)
    # What other runs sent is compared with nothing.
    regular = "the others: " if period.special else ""

    # On two of ten days, each number is outside its range, although nothing is wrong.
    is_alarming = headline(overview)[0] != GOOD

    def notes(*found: Compared) -> list[tuple[str, bool]]:
        said = [(one, _compared(one)) for one in found]
        names = len(found) > 1
        return [
            (
                f"{text.NAMES[one.figure] if names else ''}{': ' if names else ''}{regular}{how}",
                is_alarming and (one.is_worse or one.is_still_worse),
            )
            for one, how in said
            if how
        ]

    return [
        Tile(
            "Conversions that LiveIntent has",
            [(f"{period.delivered:,}", "")],
            [*([(others, False)] if others else []), *notes(conversions)],
            _spark(overview, conversions),
        ),
        Tile(
            "Their value",
            values or [("-", "")],
            [(f"in {first}: {said}" if first else said, bad) for said, bad in notes(*worth)],
            _spark(overview, worth[0]) if worth else None,
        ),
        Tile(
            "Could not be sent",
            [(f"{period.could_not_be_sent:,}", "")],
            notes(letters),
            _spark(overview, letters),
        ),
        Tile(
            "Can be matched",
            shares if period.delivered else [("-", "")],
            notes(both, decision),
            _spark(overview, both),
        ),
    ]


def _top(overview: Overview) -> Period:
    """Return what the top is about: the last 24 hours, or the last run of a short history."""
    run, recent = overview.last_run, overview.last_24_hours
    days = [one for one in overview.days if one.runs or one.special]
    is_short = len(days) < LEAST_DAYS and not recent.delivered
    return period_of(run.day, [run]) if run is not None and is_short else recent


def _period_words(overview: Overview) -> str:
    run = overview.last_run
    if run is None or _top(overview) is overview.last_24_hours:
        return "In the last 24 hours"
    return f"By the run that ended at {words.time_words(run.ended_at, overview.as_of)}"


_WORDS = {LOW: ("fewer", "less", "lower"), HIGH: ("more", "more", "higher")}
"""How numbers, amounts and shares are low or high."""


def _compared(one: Compared) -> str:
    """Return how a figure compares with usual; empty if that is not known."""
    if one.usual is None or one.verdict is None:
        return ""
    figure = FIGURES[one.figure]
    kind = 2 if figure.is_share else 1 if figure.of_currency else 0
    if one.is_still_worse and one.worse is not None:
        before = text.figure_words(one.figure, one.worse.before)
        how = _WORDS[figure.worse or LOW][kind]
        return f"{how} than before {words.day_words(one.worse.since)} ({before})"
    usual = text.range_words(one.figure, one.usual)
    if one.verdict == AS_USUAL:
        return f"as usual ({usual})"
    return f"{_WORDS[one.verdict][kind]} than usual ({usual})"


def _charts(overview: Overview) -> list[Chart]:
    if len(overview.days) < LEAST_DAYS:
        return []
    drawn = (CONVERSIONS, DEAD_LETTERS, BOTH_HASHES, DECISION_ID, TOTAL_VALUE)
    return [
        chart_of(overview, one) for name in drawn for one in overview.figures if one.figure == name
    ]


def _spark(overview: Overview, one: Compared) -> Chart | None:
    known = sum(point.value is not None for point in one.days)
    return None if known < LEAST_DAYS else chart_of(overview, one, _SPARK_DAYS)
