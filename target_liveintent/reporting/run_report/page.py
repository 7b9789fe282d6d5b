"""Renders the facts of a run as one page of words, tables and charts.

The page needs no network and no script.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib import resources

from target_liveintent.conversions import DAY
from target_liveintent.reporting.run_report import charts, markup, words
from target_liveintent.reporting.run_report.markup import Row, text
from target_liveintent.reporting.run_report.model import (
    STOPPED,
    DayValue,
    Facts,
    Freshness,
    Outcomes,
)
from target_liveintent.reporting.run_report.tally import FIELDS, HOUR, OTHER_CURRENCIES
from target_liveintent.reporting.run_report.words import percent

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_ROWS = 40
"""Rows of a table on the page; the JSON has all of them."""
_MOST_GROUPS = 6
"""Columns of the table of streams and sources."""
_MOST_CURRENCIES = 4
_LEAST_DAYS, _MOST_DAYS = 7, 31
_WHOLE_FROM = 10_000
"""Amounts above this are shown without decimals in a tile."""
_FIELD_NAMES = {
    "md5": "MD5 of the e-mail address",
    "sha2": "SHA-256 of it",
    "both": "both hashes",
    "decision_id": "decision ID",
    "ip": "IP address",
    "user_agent": "user agent",
    "device_id": "idfa or aaid",
    "order_id": "order ID",
    "value": "value",
    "currency": "currency",
}


def page(facts: Facts) -> str:
    """Return the report of a run as a page of HTML."""
    css = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    body = "\n".join(part for part in _parts(facts) if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="robots" content="noindex">
<title>Conversions sent to LiveIntent, {text(facts.ended_at)}</title>
<style>
{css}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _parts(facts: Facts) -> Iterator[str]:
    yield _head(facts)
    yield _tiles(facts)
    yield _advice(facts)
    yield _outcomes(facts)
    yield _not_sent(facts)
    yield _coverage(facts)
    yield _freshness(facts)
    yield _value(facts)
    yield _requests(facts)
    yield (
        f'<footer class="quiet">Written by {text(facts.target)}. No personal data is in it. The'
        " file of the same name that ends in .json holds the same, complete.</footer>"
    )


# The first lines


def _head(facts: Facts) -> str:
    badge = f'<span class="badge {facts.ending}">{facts.ending}</span>'
    if facts.dry_run:
        badge += '<span class="badge dry">dry run</span>'
    if facts.limit is not None:
        badge += f'<span class="badge dry">canary: limit {facts.limit:,}</span>'
    lines = "".join(f"<li>{text(line)}</li>" for line in facts.conclusions)
    return (
        "<header><h1>Conversions sent to LiveIntent</h1>"
        f'<p class="quiet">{badge} {words.period(facts.started_at, facts.ended_at)},'
        f" {words.duration(facts.seconds)}</p>{_message(facts)}"
        f'<ul class="conclusions">{lines}</ul></header>'
    )


def _message(facts: Facts) -> str:
    if not facts.message:
        return ""
    said = text(facts.message).replace("\n", "<br>")
    after = (
        "The next run goes on where STATE stands."
        if facts.ending == STOPPED
        else "Mend that; the next run sends what has no fate yet."
    )
    return f'<p class="message"><b>The run {facts.ending}:</b> {said}<br>{after}</p>'


def _tiles(facts: Facts) -> str:
    sent, missing = facts.total.delivered, facts.missing
    events = sum(one.events for one in facts.freshness)
    hour = sum(one.within_an_hour for one in facts.freshness)
    having = sum(one.having["both"] for one in facts.coverage)
    has, gone = "LiveIntent has", "did not go"
    if facts.dry_run:
        has, gone = "would be sent", "would not go"
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
        more = f" (and {len(totals) - 1} other currencies)" if len(totals) > 1 else ""
        amount = words.amount(total)
        if abs(total) > _WHOLE_FROM:
            amount = amount.partition(".")[0]
        yield "", f"{amount} {currency}".strip(), f"value of {events:,} of them{more}"


def _advice(facts: Facts) -> str:
    if not facts.advice:
        return ""
    lines = "".join(f"<li>{text(line)}</li>" for line in facts.advice)
    return f'<section class="advice"><h2>To match more</h2><ul>{lines}</ul></section>'


# Sections


def _outcomes(facts: Facts) -> str:
    heads = ["stream", "read", "LiveIntent has", "dead letters", "not to be sent", "by your maps"]
    if facts.dry_run:
        heads[2] = "would be sent"
    unsettled = facts.total.unsettled > 0
    if unsettled:
        heads.append("without a fate")
    shown = [*facts.streams[:_MOST_ROWS], facts.total]
    rows = [_outcome_row(one, with_unsettled=unsettled) for one in shown]
    table = markup.table("Records by stream", heads, rows)
    steps = facts.over_time.steps
    keys = [
        (name, colour)
        for kind, name, colour in charts.OUTCOMES
        if any(getattr(step, kind) for step in steps)
    ]
    if len(steps) > 1:
        width = facts.over_time.seconds_a_step
        caption = f"Records by fate over the run, in steps of {words.duration(width)}"
        figure = markup.figure(charts.outcomes_over_time(facts), caption, keys)
    else:
        figure = markup.figure(charts.outcomes(facts), "Records by fate")
    intro = "Each record has one fate. “By your maps” are those that a filter or a map leaves out."
    return markup.section("What became of the records", intro, figure, table)


def _outcome_row(one: Outcomes, *, with_unsettled: bool) -> Row:
    name = "all" if one.stream is None else text(one.stream)
    unused = one.filtered + one.unmapped + one.not_replayed
    counts = [one.read, one.delivered, one.rejected, one.dropped, unused]
    if with_unsettled:
        counts.append(one.unsettled)
    return Row(name, [f"{count:,}" for count in counts], is_sum=one.stream is None)


_NOT_SENT_KEYS = {True: ("dead letters", "bad"), False: ("not to be sent", "hold")}


def _not_sent(facts: Facts) -> str:
    if not facts.not_sent:
        return ""
    rows = []
    for one in facts.not_sent:
        share = percent(one.records, facts.total.read)
        cells = [f"{one.records:,}", share, text(one.what_to_do)]
        rows.append(Row(f"<code>{one.reason}</code>", cells))
    table = markup.table("By reason", ["reason", "records", "of all", markup.SENTENCES], rows)
    kinds = {one.dead_letter for one in facts.not_sent}
    keys = [key for dead_letter, key in _NOT_SENT_KEYS.items() if dead_letter in kinds]
    figure = markup.figure(charts.rejections(facts), "Records that did not go, by reason", keys)
    return markup.section("What did not go, and why", "", figure, table)


def _coverage(facts: Facts) -> str:
    events = sum(one.events for one in facts.coverage)
    if not events:
        return ""
    groups = sorted(facts.coverage, key=lambda one: -one.events)[:_MOST_GROUPS]
    totals = [sum(one.having[field] for one in facts.coverage) for field in FIELDS]
    rows = [
        Row(name, [_share(one.having[field], one.events) for one in groups])
        for field, name in _FIELD_NAMES.items()
    ]
    rows.append(Row("events", [f"{one.events:,}" for one in groups]))
    heads = ["", *(f"{text(one.stream)}, {text(one.source)}" for one in groups)]
    left = len(facts.coverage) - len(groups)
    caption = "By stream and source" + (f"; {left} more are in the JSON" if left else "")
    shares = [100 * total / events for total in totals]
    names = [_FIELD_NAMES[field] for field in FIELDS]
    figure = markup.figure(charts.coverage(names, shares), "Share of events that have it")
    intro = "The more of these an event has, the more likely LiveIntent finds whom it is about."
    return markup.section("What the events hold", intro, figure, markup.table(caption, heads, rows))


def _share(part: int, whole: int) -> str:
    return percent(part, whole) if part else '<span class="none">0 %</span>'


def _freshness(facts: Facts) -> str:
    if not facts.freshness:
        return ""
    steps = facts.freshness[0].steps
    bounds = [step.up_to for step in steps if step.up_to is not None]
    counts = [sum(one.steps[n].events for one in facts.freshness) for n in range(len(bounds))]
    chart = charts.ages(
        [words.short_age(bound) for bound in bounds],
        counts,
        sum(bound <= HOUR for bound in bounds),
        sum(bound <= 7 * DAY for bound in bounds),
    )
    keys = [("within an hour", "good"), ("within 7 days", "hold"), ("older, offline only", "bad")]
    intro = (
        "Age is the time from the conversion to its sending. LiveIntent advises an hour; it takes"
        " 7 days at most, 30 of source `offline`."
    )
    heads = ["source", "events", "within an hour", "within a day", "oldest", "window"]
    table = markup.table("By source", heads, map(_freshness_row, facts.freshness))
    figure = markup.figure(chart, "Events by age at sending, up to so old", keys)
    return markup.section("How late they were", intro, figure, table)


def _freshness_row(one: Freshness) -> Row:
    cells = (
        f"{one.events:,}",
        percent(one.within_an_hour, one.events),
        percent(one.within_a_day, one.events),
        words.age_words(one.oldest_seconds),
        f"{one.window_days} days",
    )
    return Row(one.source, cells)


def _value(facts: Facts) -> str:
    totals = _totals(facts.value)
    if not totals:
        return ""
    rows = [
        Row(text(currency) or "none", [f"{events:,}", words.amount(total)])
        for currency, (events, total) in list(totals.items())[:_MOST_ROWS]
    ]
    table = markup.table("By currency", ["currency", "conversions", "value"], rows)
    figures = []
    for currency in [name for name in totals if name != OTHER_CURRENCIES][:_MOST_CURRENCIES]:
        days = _by_day([one for one in facts.value if one.currency == currency])
        chart = charts.values([day.isoformat()[5:] for day in days], list(days.values()))
        named = currency or "without a currency"
        figures.append(markup.figure(chart, f"Value by day, {named}"))
    intro = f"By the day of the conversion, in the time zone {facts.timezone}."
    return markup.section("What they are worth", intro, *figures, table)


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
    figure = markup.figure(
        charts.latencies(labels, [step.requests for step in shown]),
        "Requests by how long they took, up to",
    )
    cells = {
        "requests": f"{requests.count:,}",
        "of these, retries": f"{requests.retries:,}",
        "half took at most": words.duration(requests.half_within),
        "95 of 100 took at most": words.duration(requests.most_within),
        "the longest took": words.duration(requests.longest),
    }
    table = markup.table("", ["", ""], [Row(name, [cell]) for name, cell in cells.items()])
    return markup.section("Requests", "", figure, table)
