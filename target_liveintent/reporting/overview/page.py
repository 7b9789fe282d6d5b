"""Renders an overview as the opening of a page: today against usual, then the last 90 days."""

from __future__ import annotations

from collections.abc import Iterator

from target_liveintent.reporting.overview.daily import LEAST_DRAWN, chart_of, charts_of
from target_liveintent.reporting.overview.figures import (
    CONVERSIONS,
    EMAIL_HASH,
    FIGURES,
)
from target_liveintent.reporting.overview.model import (
    Compared,
    Month,
    Overview,
    Worth,
)
from target_liveintent.reporting.overview.not_sent import not_sent
from target_liveintent.reporting.overview.words import (
    VERDICTS,
    capital,
    comparison,
    day_words,
    figure_words,
    is_worse,
    moment,
    money,
    name_of,
    outside_words,
    than_before,
    usual_words,
    verdict,
    worse_words,
    yesterday_words,
)
from target_liveintent.reporting.run_report import markup
from target_liveintent.reporting.run_report.document import document
from target_liveintent.reporting.run_report.markup import text
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.page import last_run
from target_liveintent.reporting.run_report.words import percent
from target_liveintent.run import counted

_MOST_ROWS = 20
_MOST_CAUSES = 5
_MOST_CHANGES = 10


def page(overview: Overview, facts: Facts | None) -> str:
    """Return the page of an account and pixel.

    Args:
        overview: What the history says.
        facts: The report of the last run; None if the history does not have it any more.
    """
    parts = (_head, _tiles, _comparison, _advice, charts_of, not_sent, _streams, _months, _changes)
    title = f"Conversions sent to LiveIntent, {moment(overview.as_of, overview.as_of.tzinfo)}"
    html = [part(overview) for part in parts]
    if facts is not None:
        html += last_run(facts)
    last = "" if facts is None else f" The ID of the last run is {facts.run_id}."
    footer = (
        f"Written by target-liveintent from the history of its runs.{last} The page contains no"
        " personal data. `target-liveintent report --format=json` prints the same data for"
        " programs."
    )
    return document(title, html, footer)


def _head(overview: Overview) -> str:
    pixel = "" if overview.pixel_id is None else f"Pixel {overview.pixel_id}, "
    conversions = overview.figure(CONVERSIONS)
    is_known = conversions.usual is not None
    kind = "failed" if overview.causes else "" if is_known else "calm"
    is_less = not conversions.now or is_worse(conversions)
    if not kind and (is_less or any(than_before(one) for one in overview.figures)):
        kind = "calm"
    lines = [
        ("", f"{comparison(overview)} {yesterday_words(overview)}".rstrip()),
        *_causes(overview),
        *[("", line) for line in (*worse_words(overview), *outside_words(overview))],
    ]
    items = "".join(f'<li class="{kind}">{text(line)}</li>' for kind, line in lines)
    return (
        "<header><h1>Conversions sent to LiveIntent</h1>"
        f'<p class="quiet">{text(pixel)}account {text(overview.account)}; as of'
        f" {moment(overview.as_of, overview.as_of.tzinfo)}</p>"
        f'<p class="verdict {kind}">{text(verdict(overview))}</p>'
        f'<ul class="conclusions">{items}</ul></header>'
    )


def _causes(overview: Overview) -> Iterator[tuple[str, str]]:
    """Yield the class and the text of lines: what a cause means, then what an operator needs."""
    said = ""
    for one in overview.causes[:_MOST_CAUSES]:
        words = " ".join(one.words.rstrip(".").split())
        since = f" Since {moment(one.since, overview.as_of.tzinfo)}." if one.since else ""
        detail = f"{capital(one, words)}.{since} {one.what_to_do}".rstrip()
        if one.plain:
            if one.plain != said:
                yield "", one.plain
            said = one.plain
            yield "quiet", f"For the person who runs the pipeline: {detail}"
        else:
            yield "", detail


def _tiles(overview: Overview) -> str:
    if not overview.months:
        return ""
    month = overview.months[0]
    special = ", special runs included" if month.special else ""
    tiles = [
        ("", f"{month.delivered:,}", f"conversions this month, {_since(month)}{special}"),
        _tile_of(overview.figure(CONVERSIONS), "in the last 24 hours"),
        _tile_of(overview.figure(EMAIL_HASH), "with a hash of an e-mail address"),
    ]
    if month.values:
        worth = month.values[0]
        figure = f"{money(worth.total)} {worth.currency}".strip()
        tiles.append(("", figure, f"value this month, of {counted(worth.events, 'conversion')}"))
    cells = "".join(
        f'<div class="tile {kind}"><b>{text(figure)}</b><span>{text(meaning)}</span></div>'
        for kind, figure, meaning in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _tile_of(one: Compared, meaning: str) -> tuple[str, str, str]:
    usual = f"; usual: {usual_words(one.figure, one.usual)}" if one.usual else ""
    before = than_before(one)
    kind = "bad" if before or is_worse(one) else ""
    said = f"{meaning}; {before}" if before else meaning + usual
    return kind, figure_words(one.figure, one.now), said


def _since(month: Month) -> str:
    return f"since {day_words(month.first_day)}"


def _comparison(overview: Overview) -> str:
    heads = ["", "last 24 hours", "usual", "compared"]
    rows = [
        [
            text(name_of(one)),
            figure_words(one.figure, one.now),
            usual_words(one.figure, one.usual),
            _verdict(one),
        ]
        for one in overview.figures
    ]
    is_compared = overview.figure(CONVERSIONS).usual is not None
    if not is_compared:
        heads, rows = heads[:2], [row[:2] for row in rows]
    table = markup.table("", heads, rows) + f'<p class="quiet">{text(_WHAT_COUNTS)}</p>'
    is_drawn = len(overview.days) >= LEAST_DRAWN
    charts = [chart_of(overview, overview.figure(CONVERSIONS))] if is_drawn else []
    intro = " ".join(
        [
            *([_WHAT_IS_USUAL] if is_compared else []),
            *(["The last bar of each chart is today, which is not over yet."] if is_drawn else []),
        ]
    )
    return markup.section("Today against usual", intro, table, *charts)


_WHAT_IS_USUAL = (
    "The table compares the last 24 hours with the usual range. On eight of ten earlier days, a"
    " figure was in this range. The earlier days are the same weekdays of the last eight weeks. If"
    " the history has fewer than four of these weekdays, the earlier days are all days of the last"
    " four weeks."
)
_WHAT_COUNTS = (
    "The program runs again and again, for example every hour. Each of these regular runs sends"
    " new conversions. The figures count only regular runs. They do not count special runs: trial"
    " runs, repeated attempts, and runs that send mostly old conversions. A hash is a coded form"
    " of an e-mail address. A decision ID is LiveIntent's ID of a click in an e-mail. LiveIntent"
    " can match a conversion only by a hash or a decision ID. LiveIntent publishes no match rate,"
    " so this page shows none."
)


def _verdict(one: Compared) -> str:
    if before := than_before(one):
        return f'<b class="bad long">{before}</b>'
    if one.verdict is None:
        return "-"
    said = VERDICTS[one.verdict]
    return f'<b class="bad">{said}</b>' if is_worse(one) else said


def _advice(overview: Overview) -> str:
    if not overview.advice:
        return ""
    lines = "".join(f"<li>{text(line)}</li>" for line in overview.advice)
    return (
        '<section class="advice"><h2>How to match more, with the most useful step'
        " first</h2><p>The numbers of conversions are from the last 30 days. Do not add these"
        " numbers up, because several numbers can include the same conversion. Names such as"
        " <code>email</code> are the names of columns and settings, for the person who runs the"
        f" pipeline.</p><ol>{lines}</ol></section>"
    )


def _streams(overview: Overview) -> str:
    if len(overview.streams) < 2:  # noqa: PLR2004 (of one stream, all has been said)
        return ""
    rows = [
        [
            text(one.stream),
            f"{one.now:,}",
            usual_words(CONVERSIONS, one.usual),
            f"{one.thirty_days:,}",
        ]
        for one in overview.streams[:_MOST_ROWS]
    ]
    table = markup.table("", ["stream", "last 24 hours", "usual", "last 30 days"], rows)
    return markup.section("Conversions by stream", "", table)


def _months(overview: Overview) -> str:
    if not overview.months:
        return ""
    currencies = list(
        dict.fromkeys(one.subject for one in overview.figures if one.subject or _has_values(one))
    )
    rows = []
    for month in overview.months:
        worth = {one.currency: one for one in month.values}
        rows.append(
            [
                f"{month.first_day:%B %Y}" + _incomplete(month),
                f"{month.delivered:,}",
                percent(month.with_email_hash, month.delivered),
                percent(month.with_decision_id, month.delivered),
                *(cell for name in currencies for cell in _worth(worth.get(name))),
            ]
        )
    heads = ["month", "conversions", "with a hash of an e-mail address", "with a decision ID"]
    for name in currencies:
        heads += [f"value, {text(name) or 'no currency'}", "on average"]
    special = sum(month.special for month in overview.months)
    intro = (
        "The table shows everything that LiveIntent has received, from regular and special runs."
        " The current month is not over yet. Is a conversion sent twice? Only in rare cases: for"
        " example, if an answer of LiveIntent was lost, if a run crashed, or if somebody sent it"
        " again on purpose. LiveIntent then gets this conversion again, with the same ID."
    )
    if special:
        intro += f" {special:,} of these conversions came from special runs."
    return markup.section("Month by month", intro, markup.table("", heads, rows))


def _has_values(one: Compared) -> bool:
    return FIGURES[one.figure].of_currency


def _incomplete(month: Month) -> str:
    return "" if month.first_day.day == 1 else f", from {day_words(month.first_day)}"


def _worth(worth: Worth | None) -> tuple[str, str]:
    return ("-", "-") if worth is None else (money(worth.total), money(worth.average))


def _changes(overview: Overview) -> str:
    if not overview.changes:
        return ""
    rows = [
        [day_words(one.day), "<br>".join(text(words) for words in one.words)]
        for one in overview.changes[:_MOST_CHANGES]
    ]
    table = markup.table("", ["day", markup.CHANGES], rows)
    return markup.section("What changed", "", table)
