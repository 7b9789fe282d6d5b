"""The overview of an account and pixel, from which all reports are made.

To add a figure to the page and the JSON, add it to `FIGURES`; the text names its figures itself, in
templates/report.txt. This module reads no clock and no file.
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
    REPLAY,
    SCHEDULED,
    History,
    Range,
    RunRecord,
    Unusual,
    total_of,
)
from target_liveintent.reporting.rules import DECLINE, still_true, unusual_now
from target_liveintent.reporting.usual_range import Number, share
from target_liveintent.reporting.words import range_words, share_words
from target_liveintent.run.counts import ALL_SOURCES, StreamCounts, add
from target_liveintent.settings import StoreSettings
from target_liveintent.store.ledger import (
    NOT_ARRIVED,
    Ledger,
    by_place_and_reason,
    ledger_of,
    of_24_hours,
    rows_by_day,
)
from target_liveintent.store.places import ARRIVED, LEFT_OUT, PlaceRow

DAYS_SHOWN = 90
"""How many days the chart shows, including today."""
CONVERSIONS, TOTAL_VALUE, BOTH_HASHES = "conversions", "total_value", "both_hashes"
"""Names of figures."""
_MOST_CURRENCIES = 4
"""Values in at most this many currencies, the most frequent ones, are compared with usual days."""
_RECENT_DAYS = 30
"""Over this many days, the overview counts what conversions lack, and why they did not arrive."""


class DayFigures(NamedTuple):
    """The figures of a day: what its runs counted, and where its events are, and why."""

    counts: StreamCounts
    ledger: Ledger
    by_place: dict[str, dict[str, int]]


class FigureKind(NamedTuple):
    """A kind of figure.

    Attributes:
        name: The name on the page.
        of: Computes the figure for a currency (or "") and a day; None if impossible.
        is_share: Whether it is a share from 0 to 1.
        of_currency: Whether there is a figure for each currency.
        whole: The name of the figure that this one is a part of; if both are equal, the page shows
            only that one.
    """

    name: str
    of: Callable[[str, DayFigures], Number | None]
    is_share: bool = False
    of_currency: bool = False
    whole: str = ""


def _share_of(name: str, part: Callable[[StreamCounts], int], whole: str = "") -> FigureKind:
    """Return the kind of figure that is the share of delivered conversions that `part` counts."""
    return FigureKind(
        name,
        lambda _, day: share(part(day.counts), day.counts.delivered),
        is_share=True,
        whole=whole,
    )


def _sent_from(source: str, _: str, day: DayFigures) -> int | None:
    return day.counts.having("events", (source,)) or None


FIGURES: dict[str, FigureKind] = {
    CONVERSIONS: FigureKind("Arrived", lambda _, day: day.ledger.arrived),
    "waiting": FigureKind("Waits", lambda _, day: day.ledger.waiting),
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
        "With a hash of an e-mail address", lambda counts: counts.with_email_hash, BOTH_HASHES
    ),
    "decision_id": _share_of("With a decision ID", lambda counts: counts.having("decision_id")),
    "late": _share_of("Sent after more than an hour", lambda counts: counts.late),
    **{
        source: FigureKind(f"From {source}", partial(_sent_from, source), whole=CONVERSIONS)
        for source in ALL_SOURCES
    },
}
"""The figures by their names in the JSON, in the order in which they are shown."""


def worse_figure(item: Unusual) -> tuple[str, str]:
    """Return the name and the currency of the figure that a rule finds worse than usual."""
    subject = item.finding.subject
    if item.rule == "coverage":
        return BOTH_HASHES if subject in {"md5", "sha2"} else subject, ""
    if item.rule == DECLINE:
        return TOTAL_VALUE if subject else CONVERSIONS, subject
    return item.rule, subject


class Compared(msgspec.Struct, frozen=True):
    """A figure of the last 24 hours and of each day, with what is usual; see `FIGURES`.

    Attributes:
        figure: The name of the figure.
        subject: The currency; empty if the figure has no currency.
        now: The figure of the last 24 hours.
        week_ago: The figure of the 24 hours that ended a week ago; None before the first day.
        usual: What is usual for the figure.
        is_worse: Whether a rule finds that the figure is worse than usual, and not by chance.
        days: The figure of each day of `days`; None if nothing is known of the day, or for this
            figure.
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
        """The kind of the figure."""
        return FIGURES[self.figure]

    @property
    def name(self) -> str:
        """The name of the figure, with its currency."""
        currency = f" {money_in(self.subject)}" if self.kind.of_currency else ""
        return f"{self.kind.name}{currency}"

    def words(self, number: Number | None) -> str:
        """Return a number of this figure in words; "-" for None."""
        if number is None:
            return "-"
        if self.kind.is_share:
            return share_words(float(number))
        return money(number, self.subject) if self.kind.of_currency else f"{number:,.0f}"

    @property
    def usual_words(self) -> str:
        """What is usual: "190 to 260"; "-" if this is not known."""
        return range_words(self.usual, self.words)


class DayOfRuns(msgspec.Struct, frozen=True):
    """A day of the chart.

    Attributes:
        day: The date.
        runs: How many runs of a schedule ended on this day.
        ledger: Where the events of this day are.
        by_place: How many can be replayed, are lost or left out: by place, then by reason.
        usual: How many conversions usually arrive.
    """

    day: dt.date
    runs: int
    ledger: Ledger
    by_place: dict[str, dict[str, int]]
    usual: Range | None


class LastDay(msgspec.Struct, frozen=True):
    """Why events of the last 24 hours have not arrived, and what a replay sent.

    Attributes:
        by_place: How many can be replayed, are lost or left out: by place, then by reason.
        replay: The newest replay, if it ended in the last 24 hours; otherwise None. It has the
            fields of `last_run`.
    """

    by_place: dict[str, dict[str, int]]
    replay: RunRecord | None


class Overview(msgspec.Struct):
    """The overview of the history of one account and pixel.

    Attributes:
        account: The account, as a text.
        pixel_id: The pixel ID of the settings.
        as_of: The time of the report.
        comparable_from: The first day that can be compared with usual days; None without history.
        last_run: The newest run that a schedule started, or else the newest run of any kind.
        next_run: When the next run is due; None until five runs show how much time is between them.
        causes: Why `health` ends with exit code 3, the worst first.
        ledger: Where the events of the last 24 hours are.
        last_24_hours: Why these events have not arrived, and what a replay sent.
        gaps: What conversions of the last 30 days lack, the most useful first.
        figures: The figures of the last 24 hours, and what is usual for them.
        reasons: The ledgers of the last 30 days by reason, without events that arrived or wait.
        months: The ledgers of three months by their first days in the history, the newest first.
        days: The last 90 days, or those since the first day of the history. Today is the last one,
            and is not over.
        changes: Which settings changed, and whether the version changed, by day.
    """

    account: str
    pixel_id: int | None
    as_of: dt.datetime
    comparable_from: dt.date | None
    last_run: RunRecord | None
    next_run: dt.datetime | None
    causes: list[findings.Problem]
    ledger: Ledger
    last_24_hours: LastDay
    gaps: list[findings.Gap]
    figures: list[Compared]
    reasons: dict[str, Ledger]
    months: dict[dt.date, Ledger]
    days: list[DayOfRuns]
    changes: dict[dt.date, list[findings.Change]]

    def figure(self, name: str, subject: str = "") -> Compared:
        """Return the figure with this name and this subject."""
        (figure,) = (f for f in self.figures if (f.figure, f.subject) == (name, subject))
        return figure


def overview_of(
    history: History,
    rows: Sequence[PlaceRow],
    settings: StoreSettings,
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> Overview:
    """Return the overview of the account and the pixel of the settings.

    `rows` say where the events of the history's days are now. The zone of `now` decides when days
    begin. `findings.causes_of` describes `max_age`.
    """
    gathered = _Gathered(history, rows, now)
    scheduled = [run for run in history.runs if run.kind in SCHEDULED]
    month_ago = now.date() - dt.timedelta(days=_RECENT_DAYS - 1)
    month = [run for run in history.usual_runs if run.day >= month_ago]
    causes = findings.causes_of(scheduled, gathered.unusual, now, max_age)
    gap = findings.usual_gap(scheduled)
    return Overview(
        account=settings.account.words,
        pixel_id=settings.events.pixel_id,
        as_of=now,
        comparable_from=gathered.comparable_from if gathered.first_day else None,
        last_run=next(iter((scheduled or history.runs)[-1:]), None),
        next_run=None if gap is None else scheduled[-1].ended_at + gap,
        causes=[findings.problem_of(cause, rows) for cause in causes],
        ledger=gathered.now.ledger,
        last_24_hours=LastDay(gathered.now.by_place, _recent_replay(history, now)),
        gaps=findings.gaps_in(total_of(month)),
        figures=gathered.figures(),
        reasons=_by_reason(row for day, row in gathered.rows if day >= month_ago),
        months=gathered.months(),
        days=[gathered.day(day) for day in gathered.shown],
        changes=findings.changes_of(history.usual_runs),
    )


def with_examples(overview: Overview, newest: Callable[[str], str | None]) -> Overview:
    """Return an overview whose causes have examples: see `findings.with_example`."""
    causes = [findings.with_example(problem, newest) for problem in overview.causes]
    return msgspec.structs.replace(overview, causes=causes)


class _Gathered:
    """What several parts of the overview need, computed from the history and the rows."""

    def __init__(self, history: History, rows: Sequence[PlaceRow], now: dt.datetime) -> None:
        today = now.date()
        oldest = today - dt.timedelta(days=DAYS_READ)
        # If runs have another `timezone`, their newest day may be tomorrow.
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
        return _day_figures(runs, [*rows])

    def _usual_runs(self, day: dt.date) -> int:
        return len(self.runs[day].usual_runs) if day in self.runs else 0

    def day(self, day: dt.date) -> DayOfRuns:
        """Return what the chart shows of a day."""
        known = self.known.get(day) or _day_figures((), ())
        numbers = [(earlier, figures.ledger.arrived) for earlier, figures in self.usual]
        usual = (
            usual_range.range_of(usual_range.comparable(numbers, day))
            if day >= self.comparable_from
            else None
        )
        return DayOfRuns(day, self._usual_runs(day), known.ledger, known.by_place, usual)

    def figures(self) -> list[Compared]:
        """Return all figures, with what is usual for each."""
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
        """Return the ledgers of the last three months, the newest first."""
        rows: dict[dt.date, list[PlaceRow]] = {day.replace(day=1): [] for day in self.known}
        for day, row in self.rows:
            rows.setdefault(day.replace(day=1), []).append(row)
        months = sorted(rows, reverse=True)[:3]  # 91 days cover all of these months.
        return {max(day, self.first_day or day): ledger_of(rows[day]) for day in months}


def _by_reason(rows: Iterable[PlaceRow]) -> dict[str, Ledger]:
    """Return the ledgers of what can be replayed, is lost or left out, by reason."""
    by_reason: dict[str, list[PlaceRow]] = {}
    for row in rows:
        if row.place in (*NOT_ARRIVED, LEFT_OUT):
            by_reason.setdefault(row.reason, []).append(row)
    ledgers = {reason: ledger_of(of_reason) for reason, of_reason in by_reason.items()}
    return dict(sorted(ledgers.items(), key=lambda item: (-item[1].read, item[0])))


def _recent_replay(history: History, now: dt.datetime) -> RunRecord | None:
    replays = [run for run in history.runs if run.kind == REPLAY]
    is_recent = bool(replays) and usual_range.is_recent(replays[-1].ended_at, now)
    return replays[-1] if is_recent else None


def _figures_until(history: History, rows: Sequence[PlaceRow], end: dt.datetime) -> DayFigures:
    """Return the figures of the 24 hours before a moment."""
    runs = [run for run in history.runs if usual_range.is_recent(run.ended_at, end)]
    return _day_figures(runs, of_24_hours(rows, end.timestamp()))


def _day_figures(runs: Iterable[RunRecord], rows: Sequence[PlaceRow]) -> DayFigures:
    return DayFigures(total_of(runs), ledger_of(rows), by_place_and_reason(rows))
