"""The overview of an account and pixel, from which all reports are made.

A new figure of the reports is a new `FigureKind`. Nothing in this module reads a clock or a file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from target_liveintent.conversions.amounts import money, money_in
from target_liveintent.reporting import findings, usual_range
from target_liveintent.reporting.history import (
    DAYS_READ,
    SCHEDULED,
    History,
    Range,
    RunRecord,
    Unusual,
    total_of,
)
from target_liveintent.reporting.ledger import (
    NOT_ARRIVED,
    Ledger,
    ledger_of,
    of_24_hours,
    rows_by_day,
)
from target_liveintent.reporting.rules import DECLINE, still_true, unusual_now
from target_liveintent.reporting.usual_range import Number, share
from target_liveintent.reporting.words import range_words, share_words
from target_liveintent.run.counts import ALL_SOURCES, StreamCounts, add
from target_liveintent.settings import Settings
from target_liveintent.store.places import ARRIVED, LEFT_OUT, PlaceRow

DAYS_SHOWN = 90
"""Days of the chart, today included."""
CONVERSIONS, TOTAL_VALUE, BOTH_HASHES = "conversions", "total_value", "both_hashes"
"""Names of figures."""
_MOST_CURRENCIES = 4
"""Currencies whose values are compared with usual days."""
_RECENT_DAYS = 30
"""Days of which the overview says what conversions lack, and why records did not arrive."""


class DayFigures(NamedTuple):
    """The figures of a day: what its runs counted, and its ledger."""

    counts: StreamCounts
    ledger: Ledger


class FigureKind(NamedTuple):
    """What a figure is: `of` computes it of a currency; None if there is nothing to compute."""

    name: str
    of: Callable[[str, DayFigures], Number | None]
    is_share: bool = False
    of_currency: bool = False


def _share_of(name: str, part: Callable[[StreamCounts], int]) -> FigureKind:
    """Return the kind of a share of the conversions that runs have sent."""
    return FigureKind(
        name, lambda _, day: share(part(day.counts), day.counts.delivered), is_share=True
    )


def _sent_from(source: str, _: str, day: DayFigures) -> int | None:
    return day.counts.having("events", (source,)) or None


FIGURES: dict[str, FigureKind] = {
    CONVERSIONS: FigureKind("Arrived", lambda _, day: day.ledger.arrived),
    "dead_letters": FigureKind("Can be replayed, or lost", lambda _, day: day.ledger.not_arrived),
    TOTAL_VALUE: FigureKind(
        "Value",
        lambda currency, day: day.ledger.values[ARRIVED].get(currency, Decimal(0)),
        of_currency=True,
    ),
    "average_value": FigureKind(
        "Average value",
        lambda currency, day: usual_range.mean_value(currency, day.counts),
        of_currency=True,
    ),
    BOTH_HASHES: _share_of("With both hashes", lambda counts: counts.having("both")),
    "email_hash": _share_of(
        "With a hash of an e-mail address", lambda counts: counts.with_email_hash
    ),
    "decision_id": _share_of("With a decision ID", lambda counts: counts.having("decision_id")),
    "late": _share_of("Sent more than an hour late", lambda counts: counts.late),
    **{source: FigureKind(f"From {source}", partial(_sent_from, source)) for source in ALL_SOURCES},
}
"""The figures by their names in the JSON, in the order in which they are shown."""


def worse_figure(item: Unusual) -> tuple[str, str]:
    """Return the name and the currency of the figure that a rule finds worse."""
    subject = item.finding.subject
    if item.rule == "coverage":
        return BOTH_HASHES if subject in {"md5", "sha2"} else subject, ""
    if item.rule == DECLINE:
        return TOTAL_VALUE if subject else CONVERSIONS, subject
    return item.rule, subject


class Compared(msgspec.Struct, frozen=True):
    """A figure of the last 24 hours, and of each of `Overview.days`, with what is usual.

    Attributes:
        subject: The currency; empty if the figure has no currency.
        week_ago: The figure of the 24 hours that ended a week ago; None before the first day.
        is_worse: Whether a rule finds that the figure is worse than usual, and not by chance.
        days: The figure of each day; None if there was no run, or nothing to compute it from.
    """

    figure: str
    subject: str
    now: Number | None
    week_ago: Number | None
    usual: Range | None
    is_worse: bool
    days: list[Number | None]

    @property
    def kind(self) -> FigureKind:
        """What is known of the figure."""
        return FIGURES[self.figure]

    @property
    def name(self) -> str:
        """The name of the figure, with its currency."""
        currency = f" {money_in(self.subject)}" if self.kind.of_currency else ""
        return f"{self.kind.name}{currency}"

    def words(self, number: Number | None) -> str:
        """Return a number of this figure; "-" where there is none."""
        if number is None:
            return "-"
        if self.kind.is_share:
            return share_words(float(number))
        return money(number, self.subject) if self.kind.of_currency else f"{number:,.0f}"

    @property
    def usual_words(self) -> str:
        """The usual range: "190 to 260"; "-" where there is none."""
        return range_words(self.usual, self.words)


class DayOfRuns(msgspec.Struct, frozen=True):
    """The number of usual runs of a day (0 is a gap), its ledger, and how many usually arrive."""

    day: dt.date
    runs: int
    ledger: Ledger
    usual: Range | None


class Overview(msgspec.Struct):
    """The overview of the history of one account and pixel.

    Attributes:
        first_day: The first day of the history that was read; None if the history is empty.
        comparable_from: The first day that can be compared; None if the history is empty.
        last_run: The newest run that a schedule started, or else the newest run of any kind.
        next_run: When the next run is due, if enough runs show how much time is between them.
        causes: Why `health` ends with exit code 3, the worst first.
        ledger: The ledger of the last 24 hours.
        gaps: What conversions of the last 30 days lack, the most useful first.
        reasons: The ledgers of the last 30 days by reason; what waits or arrived has no reason.
        months: The ledgers of three months, by their first days with events, the newest first.
        days: The last 90 days, or those since the first day. The last one is today, so far.
    """

    account: str
    pixel_id: int | None
    as_of: dt.datetime
    first_day: dt.date | None
    comparable_from: dt.date | None
    last_run: RunRecord | None
    next_run: dt.datetime | None
    causes: list[findings.Problem]
    ledger: Ledger
    gaps: list[findings.Gap]
    figures: list[Compared]
    reasons: dict[str, Ledger]
    months: dict[dt.date, Ledger]
    days: list[DayOfRuns]
    changes: dict[dt.date, list[findings.Change]]

    def figure(self, name: str, subject: str = "") -> Compared:
        """Return the figure of a name and subject."""
        (figure,) = (f for f in self.figures if (f.figure, f.subject) == (name, subject))
        return figure


def overview_of(
    history: History,
    rows: Sequence[PlaceRow],
    settings: Settings,
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> Overview:
    """Return the overview of the account and pixel of settings, at a time in its zone.

    It is made of the history, and of where the events of these days are now. If the last run is
    older than `max_age`, this is a cause. With None, the usual time between runs decides.
    """
    gathered = _Gathered(history, rows, now)
    scheduled = [run for run in history.runs if run.kind in SCHEDULED]
    month_ago = now.date() - dt.timedelta(days=_RECENT_DAYS - 1)
    month = [run for run in history.usual_runs if run.day >= month_ago]
    causes = findings.causes_of(scheduled, gathered.unusual, now, max_age)
    gap = findings.usual_gap(scheduled)
    return Overview(
        account=settings.account.words,
        pixel_id=settings.pixel_id,
        as_of=now,
        first_day=gathered.first_day,
        comparable_from=gathered.comparable_from if gathered.first_day else None,
        last_run=next(iter((scheduled or history.runs)[-1:]), None),
        next_run=None if gap is None else scheduled[-1].ended_at + gap,
        causes=[findings.problem_of(cause, rows) for cause in causes],
        ledger=gathered.now.ledger,
        gaps=findings.gaps_in(total_of(month)),
        figures=gathered.figures(),
        reasons=_by_reason(row for day, row in gathered.rows if day >= month_ago),
        months=gathered.months(),
        days=[gathered.day(day) for day in gathered.shown],
        changes=findings.changes_of(history.usual_runs),
    )


class _Gathered:
    """A history and its ledgers by day, with what several parts of the overview need."""

    def __init__(self, history: History, rows: Sequence[PlaceRow], now: dt.datetime) -> None:
        today = now.date()
        oldest = today - dt.timedelta(days=DAYS_READ)
        # Where runs have another `timezone`, the newest may be of tomorrow.
        self.runs = {day.day: day for day in history.days if day.day <= today}
        by_day = {day: of for day, of in rows_by_day(rows, now.tzinfo).items() if day >= oldest}
        self.rows = [(day, row) for day, of_day in by_day.items() for row in of_day]
        days = sorted({*self.runs, *by_day})
        self.known = {day: self._figures_of(day, by_day.get(day, ())) for day in days}
        self.first_day = days[0] if days else None
        days_back = min(DAYS_SHOWN - 1, (today - (self.first_day or today)).days)
        self.shown = [today - dt.timedelta(days=n) for n in range(days_back, -1, -1)]
        self.comparable_from = usual_range.comparable_from(history.days, today)
        self.usual = [(day, self.known[day]) for day in days if self._usual_runs(day)]
        begin = (now - dt.timedelta(hours=23)).date()
        self.groups = usual_range.groups_of(self.usual, begin, today, self.comparable_from)
        self.now = _figures_until(history, rows, now)
        then = now - dt.timedelta(days=7)
        self.week_ago = _figures_until(history, rows, then)
        self.knows_week_ago = (self.first_day or today) <= then.date()
        self.unusual = still_true(unusual_now(history), rows)

    def _figures_of(self, day: dt.date, rows: Iterable[PlaceRow]) -> DayFigures:
        runs = self.runs[day].runs if day in self.runs else ()
        return DayFigures(total_of(runs), ledger_of(rows))

    def _usual_runs(self, day: dt.date) -> int:
        return len(self.runs[day].usual_runs) if day in self.runs else 0

    def day(self, day: dt.date) -> DayOfRuns:
        """Return what is shown of a day."""
        ledger = self.known[day].ledger if day in self.known else ledger_of(())
        numbers = [(earlier, figures.ledger.arrived) for earlier, figures in self.usual]
        usual = (
            usual_range.range_of(usual_range.comparable(numbers, day))
            if day >= self.comparable_from
            else None
        )
        return DayOfRuns(day, self._usual_runs(day), ledger, usual)

    def figures(self) -> list[Compared]:
        """Return all figures against what is usual."""
        values = add(StreamCounts(), *(figures.counts for figures in self.known.values())).values
        most_used = sorted(values, key=lambda name: -values[name].conversions)[:_MOST_CURRENCIES]
        return [
            self._compared(name, figure, currency)
            for name, figure in FIGURES.items()
            for currency in (sorted(most_used) if figure.of_currency else [""])
        ]

    def _compared(self, name: str, figure: FigureKind, currency: str) -> Compared:
        of = partial(figure.of, currency)
        return Compared(
            figure=name,
            subject=currency,
            now=of(self.now),
            week_ago=of(self.week_ago) if self.knows_week_ago else None,
            usual=usual_range.usual_in(self.groups, of),
            is_worse=(name, currency) in {worse_figure(item) for item in self.unusual},
            days=[of(self.known[day]) if day in self.known else None for day in self.shown],
        )

    def months(self) -> dict[dt.date, Ledger]:
        """Return the ledger of each month, the newest first."""
        rows: dict[dt.date, list[PlaceRow]] = {day.replace(day=1): [] for day in self.known}
        for day, row in self.rows:
            rows.setdefault(day.replace(day=1), []).append(row)
        months = sorted(rows, reverse=True)[:3]  # The history covers these in any case.
        return {max(day, self.first_day or day): ledger_of(rows[day]) for day in months}


def _by_reason(rows: Iterable[PlaceRow]) -> dict[str, Ledger]:
    """Return the ledgers of what has a reason, the largest first."""
    by_reason: dict[str, list[PlaceRow]] = {}
    for row in rows:
        if row.place in (*NOT_ARRIVED, LEFT_OUT):
            by_reason.setdefault(row.reason, []).append(row)
    ledgers = {reason: ledger_of(of_reason) for reason, of_reason in by_reason.items()}
    return dict(sorted(ledgers.items(), key=lambda item: (-item[1].read, item[0])))


def _figures_until(history: History, rows: Sequence[PlaceRow], end: dt.datetime) -> DayFigures:
    """Return the figures of the 24 hours before a moment."""
    runs = [run for run in history.runs if usual_range.is_recent(run.ended_at, end)]
    return DayFigures(total_of(runs), ledger_of(of_24_hours(rows, end.timestamp())))
