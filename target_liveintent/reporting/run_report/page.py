"""Renders the facts of a run as one page of words, tables and charts.

The page needs no network and no script.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from target_liveintent.conversions import DAY
from target_liveintent.reporting.run_report import charts, markup, words
from target_liveintent.reporting.run_report.document import document
from target_liveintent.reporting.run_report.markup import text
from target_liveintent.reporting.run_report.model import STOPPED, DayValue, Facts
from target_liveintent.reporting.run_report.tally import FIELDS, HOUR, OTHER_CURRENCIES
from target_liveintent.reporting.run_report.words import percent, short_number
from target_liveintent.run import amount_words, counted

_MOST_ROWS = 40
"""Rows of a table on the page; the JSON has all of them."""
_MOST_GROUPS = 6
"""Columns of the table of streams and sources."""
_MOST_CURRENCIES = 4
_LEAST_DAYS, _MOST_DAYS = 7, 31
_WHOLE_FROM = 10_000
"""Amounts above this are shown without decimals in a tile."""
_FIGURES = ("average value", "lowest value", "highest value", "below zero")
_OUTCOMES = {
    "delivered": ("delivered", "good"),
    "rejected": ("dead letters", "bad"),
    "dropped": ("not to be sent", "hold"),
    "unused": ("left out by your maps", "rest"),
}
"""The fields of a `TimeStep`, each with its words and its colour."""


def page(facts: Facts) -> str:
    """Return the report of a run as a page of HTML."""
    parts = (_title, _first_lines, _tiles, _advice, *_SECTIONS)
    footer = (
        f"Written by {facts.target}, run {facts.run_id}. The page contains no personal data. The"
        " file with the same name that ends in .json contains all the data."
    )
    title = f"Conversions sent to LiveIntent, {facts.ended_at}"
    return document(title, (part(facts) for part in parts), footer)


def last_run(facts: Facts) -> Iterator[str]:
    """Yield the parts of the report of a run below those of the history, which has the advice."""
    yield f'<header class="last"><h2>The last run</h2>{_first_lines(facts)}</header>'
    for part in (_tiles, *_SECTIONS):
        yield part(facts)


# The first lines


def _title(_: Facts) -> str:
    return "<header><h1>Conversions sent to LiveIntent</h1></header>"


def _first_lines(facts: Facts) -> str:
    badge = f'<span class="badge {facts.ending}">{facts.ending}</span>'
    if facts.dry_run:
        badge += '<span class="badge dry">dry run</span>'
    if facts.limit is not None:
        badge += f'<span class="badge dry">canary: limit {facts.limit:,}</span>'
    lines = "".join(f"<li>{text(line)}</li>" for line in facts.conclusions)
    return (
        f'<p class="quiet">{badge} {words.period(facts.started_at, facts.ended_at)},'
        f" {words.duration(facts.seconds)}</p>{_message(facts)}"
        f'<ul class="conclusions">{lines}</ul>'
    )


def _message(facts: Facts) -> str:
    if not facts.message:
        return ""
    said = text(facts.message).replace("\n", "<br>")
    after = (
        "Fix the cause. The next run with the same options sends the records that have"
        " no outcome yet."
    )
    if facts.is_replay:
        after = (
            "Repeat the replay. If you piped a file into the target, keep the file, and pipe it"
            " into the target again."
        )
    elif facts.ending == STOPPED:
        after = "The next run continues from the last STATE."
    return f'<p class="message"><b>The run {facts.ending}:</b> {said}<br>{after}</p>'


def _tiles(facts: Facts) -> str:
    sent, missing = facts.total.delivered, facts.missing
    events = sum(one.events for one in facts.freshness)
    hour = sum(one.within_an_hour for one in facts.freshness)
    having = sum(one.having["both"] for one in facts.coverage)
    has, gone = "LiveIntent has", "not sent"
    if facts.dry_run:
        has, gone = "would be sent", "would not be sent"
    tiles = [
        ("good" if sent else "", f"{sent:,}", has),
        ("bad" if missing else "", f"{missing:,}", gone),
        ("", percent(having, events) if events else "-", "with both hashes of an e-mail address"),
        ("", percent(hour, events) if events else "-", "sent within an hour"),
        *_worth(facts),
    ]
    cells = "".join(
        f'<div class="tile {kind}"><b>{text(figure)}</b><span>{meaning}</span></div>'
        for kind, figure, meaning in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _worth(facts: Facts) -> Iterator[tuple[str, str, str]]:
    totals = _totals(facts.value)
    if totals:
        currency, (events, total) = next(iter(totals.items()))
        others = len(totals) - 1
        noun = "currency" if others == 1 else "currencies"
        more = f" (and {others} other {noun})" if others else ""
        amount = amount_words(total)
        if abs(total) > _WHOLE_FROM:
            amount = amount.partition(".")[0]
        yield "", f"{amount} {currency}".strip(), f"value of {counted(events, 'conversion')}{more}"


def _advice(facts: Facts) -> str:
    if not facts.advice:
        return ""
    lines = "".join(f"<li>{text(line)}</li>" for line in facts.advice)
    return f'<section class="advice"><h2>To match more</h2><ul>{lines}</ul></section>'


# Sections


def _outcomes(facts: Facts) -> str:
    columns = {
        "read": "read",
        "delivered": "would be sent" if facts.dry_run else "LiveIntent has",
        "rejected": "dead letters",
        "dropped": "not to be sent",
        "unused": "not replayed" if facts.is_replay else "left out by your maps",
    }
    if facts.total.unsettled > 0:
        columns["unsettled"] = "without an outcome"
    heads = ["stream", *columns.values()]
    total, *rows = (
        ["all" if one.stream is None else text(one.stream)]
        + [f"{getattr(one, name):,}" for name in columns]
        for one in (facts.total, *facts.streams[:_MOST_ROWS])
    )
    table = markup.table("Records by stream", heads, rows, total)
    intro = (
        (
            "Each dead letter has one outcome. The dead letters that are not replayed stay in"
            " the file."
        )
        if facts.is_replay
        else (
            "Each record has one outcome. “Left out by your maps” counts the records that a"
            " filter left out, or whose stream has no map."
        )
    )
    return markup.section("What happened to the records", intro, _outcome_figure(facts), table)


def _outcome_figure(facts: Facts) -> str:
    steps, width = facts.over_time.steps, facts.over_time.seconds_a_step
    legend = _OUTCOMES | ({"unused": ("not replayed", "rest")} if facts.is_replay else {})
    keys = legend.values()
    bars = {
        colour: [getattr(step, field) for step in steps] for field, (_, colour) in legend.items()
    }
    if len(steps) > 1:
        labels = [words.clock(n * width) for n in range(len(steps))]
        caption = f"Records by outcome over the run, in steps of {words.duration(width)}"
        shown = [(name, colour) for name, colour in keys if any(bars[colour])]
        return markup.figure(charts.stacked(labels, bars), caption, shown)
    totals = [sum(heights) for heights in bars.values()]
    names = [f"{name} {short_number(n)}" for (name, _), n in zip(keys, totals, strict=True)]
    chart = charts.horizontal(names, _by_colour(keys, list(bars), totals), max([1, *totals]))
    return markup.figure(chart, "Records by outcome")


def _by_colour(
    legend: Iterable[tuple[str, str]], colours: Sequence[str], heights: Sequence[int]
) -> charts.Bars:
    """Return the bars of a chart in which each has its own colour, in the order of the legend."""
    bars = list(zip(colours, heights, strict=True))
    return {key: [height if colour == key else 0 for colour, height in bars] for _, key in legend}


def _not_sent(facts: Facts) -> str:
    if not facts.not_sent:
        return ""
    rows = [
        [
            f"<code>{one.reason}</code>",
            f"{one.records:,}",
            percent(one.records, facts.total.read),
            text(one.what_to_do),
        ]
        for one in facts.not_sent
    ]
    table = markup.table("By reason", ["reason", "records", "of all", markup.SENTENCES], rows)
    colours = ["bad" if one.dead_letter else "hold" for one in facts.not_sent]
    kinds = (_OUTCOMES["rejected"], _OUTCOMES["dropped"])
    keys = [(name, colour) for name, colour in kinds if colour in colours]
    names = [f"{one.reason} {short_number(one.records)}" for one in facts.not_sent]
    counts = [one.records for one in facts.not_sent]
    chart = charts.horizontal(names, _by_colour(keys, colours, counts), max(counts))
    figure = markup.figure(chart, "Records that were not sent, by reason", keys)
    return markup.section("What was not sent, and why", "", figure, table)


def _coverage(facts: Facts) -> str:
    events = sum(one.events for one in facts.coverage)
    if not events:
        return ""
    groups = sorted(facts.coverage, key=lambda one: -one.events)[:_MOST_GROUPS]
    rows = [
        [name, *(_share(one.having[field], one.events) for one in groups)]
        for field, name in FIELDS.items()
    ]
    rows.append(["events", *(f"{one.events:,}" for one in groups)])
    heads = ["", *(f"{text(one.stream)}, {text(one.source)}" for one in groups)]
    left = len(facts.coverage) - len(groups)
    caption = "By stream and source" + (f"; the JSON contains {left} more" if left else "")
    having = [sum(one.having[field] for one in facts.coverage) for field in FIELDS]
    shares = {"good": [100 * total / events for total in having]}
    chart = charts.horizontal(list(FIELDS.values()), shares, 100, "{:.0f} %".format)
    figure = markup.figure(chart, "Share of the events that have each field")
    intro = (
        "The more of these fields an event has, the more likely it is that LiveIntent"
        " recognizes the person."
    )
    table = markup.table(caption, heads, rows)
    return markup.section("Which fields the events have", intro, figure, table)


def _share(part: int, whole: int) -> str:
    return percent(part, whole) if part else '<span class="none">0 %</span>'


def _freshness(facts: Facts) -> str:
    if not facts.freshness:
        return ""
    steps = facts.freshness[0].steps
    bounds = [step.up_to for step in steps if step.up_to is not None]
    counts = [sum(one.steps[n].events for one in facts.freshness) for n in range(len(bounds))]
    keys = [("within an hour", "good"), ("within 7 days", "hold"), ("older, offline only", "bad")]
    colours = [
        "good" if bound <= HOUR else "hold" if bound <= 7 * DAY else "bad" for bound in bounds
    ]
    bars = _by_colour(keys, colours, counts)
    chart = charts.stacked([words.short_age(bound) for bound in bounds], bars)
    intro = (
        "The age is the time between a conversion and the request that sent it. LiveIntent"
        " recommends at most one hour. LiveIntent accepts events that are up to 7 days old, or"
        " up to 30 days for source `offline`."
    )
    heads = ["source", "events", "within an hour", "within a day", "oldest", "window"]
    rows = [
        [
            one.source,
            f"{one.events:,}",
            percent(one.within_an_hour, one.events),
            percent(one.within_a_day, one.events),
            words.age_words(one.oldest_seconds),
            f"{one.window_days} days",
        ]
        for one in facts.freshness
    ]
    table = markup.table("By source", heads, rows)
    figure = markup.figure(
        chart, "Events by age when they were sent; each label is the highest age of a bar", keys
    )
    return markup.section("How late the events were sent", intro, figure, table)


def _value(facts: Facts) -> str:
    totals = _totals(facts.value)
    if not totals:
        return ""
    figures_of = {one.currency: one for one in facts.total.currencies}
    rows = []
    for currency, (events, total) in list(totals.items())[:_MOST_ROWS]:
        row = [text(currency) or "none", f"{events:,}", amount_words(total), *["-"] * len(_FIGURES)]
        if one := figures_of.get(currency):
            amounts = (one.average_value, one.lowest_value, one.highest_value)
            row[3:] = [*map(amount_words, amounts), f"{one.negative_values:,}"]
        rows.append(row)
    heads = ["currency", "conversions", "value", *_FIGURES]
    table = markup.table("By currency", heads, rows)
    figures = []
    for currency in [name for name in totals if name != OTHER_CURRENCIES][:_MOST_CURRENCIES]:
        days = _by_day([one for one in facts.value if one.currency == currency])
        labels = [day.isoformat()[5:] for day in days]
        chart = charts.stacked(labels, {"good": list(days.values())})
        named = currency or "without a currency"
        figures.append(markup.figure(chart, f"Value by day, {named}"))
    intro = f"The days are the days of the conversions, in the time zone {facts.timezone}."
    return markup.section("The value of the events", intro, *figures, table)


def _by_day(values: Sequence[DayValue]) -> dict[dt.date, float]:
    """Return the value of each of the last 7 to 31 days, days without a value included."""
    worth = {one.day: float(one.value) for one in values}
    first, last = min(worth), max(worth)
    first = min(first, last - dt.timedelta(days=_LEAST_DAYS - 1))
    first = max(first, last - dt.timedelta(days=_MOST_DAYS - 1))
    days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
    return {day: worth.get(day, 0.0) for day in days}


def _totals(values: Sequence[DayValue]) -> dict[str, tuple[int, Decimal]]:
    """Return conversions and value by currency, the most frequent currency first."""
    totals: dict[str, tuple[int, Decimal]] = {}
    for one in values:
        events, total = totals.get(one.currency, (0, Decimal(0)))
        totals[one.currency] = events + one.events, total + one.value
    return dict(sorted(totals.items(), key=lambda item: -item[1][0]))


def _requests(facts: Facts) -> str:
    requests = facts.requests
    if not requests.count:
        return ""
    used = [n for n, step in enumerate(requests.steps) if step.requests]
    shown = requests.steps[max(used[0] - 1, 0) : used[-1] + 2] if used else []
    labels = ["more" if step.up_to is None else words.duration(step.up_to) for step in shown]
    chart = charts.stacked(labels, {"calm": [step.requests for step in shown]})
    figure = markup.figure(
        chart, "Requests by duration; each label is the longest duration of a bar"
    )
    rows = (
        ("requests", f"{requests.count:,}"),
        ("of these, sent again because of a fault", f"{requests.retries:,}"),
        ("not accepted because they came too fast", f"{requests.throttled:,}"),
        ("half took at most", words.duration(requests.half_within)),
        ("95 of 100 took at most", words.duration(requests.most_within)),
        ("the longest took", words.duration(requests.longest)),
    )
    table = markup.table("", ["", ""], rows)
    return markup.section("Requests", "", figure, table)


_SECTIONS = (_outcomes, _not_sent, _coverage, _freshness, _value, _requests)
