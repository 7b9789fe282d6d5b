"""The overview of the history of an account and pixel, from which all reports are made.

A new figure of the reports is a new `FigureKind`. Nothing in this module reads a clock or a file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from target_liveintent.reporting.findings import (
    Cause,
    Change,
    Gap,
    causes_of,
    changes_of,
    gaps_in,
    usual_gap,
)
from target_liveintent.reporting.history import (
    SCHEDULED,
    USUAL,
    History,
    Range,
    RunRecord,
    Unusual,
    total_of,
)
from target_liveintent.reporting.rules import DECLINE, MANY_DEAD_LETTERS, unusual_now
from target_liveintent.reporting.usual_range import (
    HIGH,
    LOW,
    Number,
    case_of,
    comparable,
    comparable_from,
    is_recent,
    mean_value,
    range_of,
    share,
)
from target_liveintent.reporting.words import range_words, share_words
from target_liveintent.run.amounts import money, money_in
from target_liveintent.run.counts import StreamCounts, add
from target_liveintent.settings import Account

DAYS_SHOWN = 90
"""Days of the charts, today included."""
AS_USUAL = "as_usual"
CONVERSIONS, LETTERS, TOTAL_VALUE = "conversions", "dead_letters", "total_value"
"""Names of figures."""
_HASHES = ("md5", "sha2")
_MONTHS = 3
"""How many months, including the present one, the 91 days before today cover in any case."""
_MOST_CURRENCIES = 4
"""Currencies whose values are compared with usual days."""
_RECENT_DAYS = 30
"""Days of which the overview says what conversions lack, and why records were not sent."""


class FigureKind(NamedTuple):
    """What a figure is, of each currency or of all conversions.

    Attributes:
        of: Computes the figure of a currency; None if there is nothing to compute it from.
        rules: The rules that find that the figure is worse.
        subjects: The subjects of their findings; None if each finding of them counts. Of a figure
            of a currency, the subject is the currency.
    """

    name: str
    of: Callable[[str, StreamCounts], Number | None]
    rules: tuple[str, ...]
    subjects: tuple[str, ...] | None = None
    is_share: bool = False
    of_currency: bool = False


def _share_of(name: str, part: Callable[[StreamCounts], int], *lost: str) -> FigureKind:
    """Return the kind of a share, which is worse if columns are lost."""

    def share_in(_: str, counts: StreamCounts) -> float | None:
        return share(part(counts), counts.delivered)

    return FigureKind(name, share_in, ("coverage",), lost, is_share=True)


def _share_late(_: str, counts: StreamCounts) -> float | None:
    return share(counts.late, counts.delivered)


def _total(currency: str, counts: StreamCounts) -> Number:
    return counts.values[currency].total if currency in counts.values else Decimal(0)


FIGURES: dict[str, FigureKind] = {
    CONVERSIONS: FigureKind(
        "Conversions", lambda _, counts: counts.delivered, ("conversions", DECLINE), ("",)
    ),
    "both_hashes": _share_of("With both hashes", lambda counts: counts.having("both"), *_HASHES),
    "email_hash": _share_of(
        "With a hash of an e-mail address", lambda counts: counts.with_email_hash, *_HASHES
    ),
    "decision_id": _share_of(
        "With a decision ID", lambda counts: counts.having("decision_id"), "decision_id"
    ),
    "late": FigureKind("Sent more than an hour late", _share_late, ("late",), is_share=True),
    LETTERS: FigureKind(
        "Could not be sent", lambda _, counts: counts.letters.total(), (MANY_DEAD_LETTERS,)
    ),
    TOTAL_VALUE: FigureKind("Value", _total, (DECLINE,), of_currency=True),
    "average_value": FigureKind("Average value", mean_value, ("average_value",), of_currency=True),
}
"""The figures by their names in the JSON, in the order in which they are shown."""


class Point(msgspec.Struct, frozen=True):
    """A figure on a day; None if there was no run, or the day does not have the figure."""

    value: Number | None = None
    usual: Range | None = None


class Compared(msgspec.Struct, frozen=True):
    """A figure of the last 24 hours, and of each of `Overview.days`, with what is usual.

    Attributes:
        subject: The currency; empty if the figure has no currency.
        is_worse: Whether a rule finds that the figure is worse than usual, and not by chance.
    """

    figure: str
    subject: str
    now: Number | None
    usual: Range | None
    verdict: str | None
    is_worse: bool
    days: list[Point]

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
        return money(number) if self.kind.of_currency else f"{number:,.0f}"

    @property
    def usual_words(self) -> str:
        """The usual range: "190 to 260"; "-" where there is none."""
        return range_words(self.usual, self.words)


class Period(msgspec.Struct, frozen=True):
    """What LiveIntent received in a month or in 24 hours, from runs of all kinds.

    Attributes:
        special: How many conversions came by runs that are not usual.
        not_sent: Records that could not be sent, by reason; one that came again counts once.
        missing: The values of those records by currency, where they have both.
        values: The same of the conversions; the name of no currency is empty.
    """

    first_day: dt.date
    delivered: int
    special: int
    with_both_hashes: int
    with_decision_id: int
    not_sent: dict[str, int]
    missing: dict[str, Decimal]
    values: dict[str, Decimal]

    @property
    def could_not_be_sent(self) -> int:
        """The sum of `not_sent`."""
        return sum(self.not_sent.values())


def period_of(first_day: dt.date, runs: Sequence[RunRecord]) -> Period:
    """Return what LiveIntent received from some runs."""
    total, missing = total_of(runs), dict[str, Decimal]()
    for run in runs:
        for currency, value in run.missing.items():
            missing[currency] = missing.get(currency, Decimal(0)) + value
    currencies = sorted(total.values, key=lambda name: (-total.values[name].conversions, name))
    return Period(
        first_day=first_day,
        delivered=total.delivered,
        special=_special(runs),
        with_both_hashes=total.having("both"),
        with_decision_id=total.having("decision_id"),
        not_sent=dict(total.letters.most_common()),
        missing=missing,
        values={currency: total.values[currency].total for currency in currencies},
    )


def _special(runs: Iterable[RunRecord]) -> int:
    return total_of(run for run in runs if run.kind != USUAL).delivered


class DayOfRuns(msgspec.Struct, frozen=True):
    """The number of usual runs of a day (0 is a gap), and how much other runs sent."""

    day: dt.date
    runs: int
    special: int


class Overview(msgspec.Struct):
    """The overview of the history of one account and pixel.

    Attributes:
        first_day: The first day of the history that was read; None if the history is empty.
        comparable_from: The first day that can be compared; None if the history is empty.
        last_run: The newest run that a schedule started, or else the newest run of any kind.
        next_run: When the next run is due, if enough runs show how much time is between them.
        causes: Why `health` ends with exit code 3, the worst first.
        gaps: What conversions of the last 30 days lack, the most useful first.
        reasons: How many records could not be sent in the last 30 days, by reason.
        days: The last 90 days, or those since the first day. The last one is today, so far.
    """

    account: str
    pixel_id: int | None
    as_of: dt.datetime
    first_day: dt.date | None
    comparable_from: dt.date | None
    last_run: RunRecord | None
    next_run: dt.datetime | None
    causes: list[Cause]
    gaps: list[Gap]
    last_24_hours: Period
    figures: list[Compared]
    reasons: dict[str, int]
    months: list[Period]
    days: list[DayOfRuns]
    changes: dict[dt.date, list[Change]]

    @property
    def timezone(self) -> str:
        """The name of the zone of the days, and of all that is shown."""
        return str(self.as_of.tzinfo)

    def figure(self, name: str, subject: str = "") -> Compared:
        """Return the figure of a name and subject."""
        (figure,) = (f for f in self.figures if (f.figure, f.subject) == (name, subject))
        return figure


def overview_of(
    history: History,
    account: Account,
    pixel_id: int | None,
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> Overview:
    """Return the overview of the history of an account and pixel, at a time in its zone.

    If the last run is older than `max_age`, this is a cause. With None, the usual time between runs
    decides.
    """
    gathered = _Gathered(history, now)
    scheduled = [run for run in history.runs if run.kind in SCHEDULED]
    return Overview(
        account=account.words,
        pixel_id=pixel_id,
        as_of=now,
        first_day=gathered.first_day,
        comparable_from=gathered.comparable_from if gathered.first_day else None,
        last_run=_last_run(scheduled, history.runs),
        next_run=_next_run(scheduled),
        causes=causes_of(scheduled, gathered.unusual, now, max_age),
        gaps=gaps_in(total_of(run for run in gathered.month if run.kind == USUAL)),
        last_24_hours=gathered.last_24_hours,
        figures=gathered.figures(),
        reasons=dict(total_of(gathered.month).letters.most_common()),
        months=gathered.months(),
        days=[gathered.day(day) for day in gathered.shown],
        changes=changes_of(history.usual_runs),
    )


def _last_run(scheduled: Sequence[RunRecord], runs: Sequence[RunRecord]) -> RunRecord | None:
    """Return the newest run that a schedule started, or else the newest of all runs."""
    if scheduled:
        return scheduled[-1]
    return runs[-1] if runs else None


def _next_run(scheduled: Sequence[RunRecord]) -> dt.datetime | None:
    gap = usual_gap(scheduled)
    return None if gap is None else scheduled[-1].ended_at + gap


class _Gathered:
    """A history by day, with what several parts of the overview need."""

    def __init__(self, history: History, now: dt.datetime) -> None:
        self.history, self.today = history, now.date()
        # Where runs have another `timezone`, the newest may be of tomorrow.
        self.days = {day.day: day for day in history.days if day.day <= self.today}
        self.recent = [run for run in history.runs if is_recent(run.ended_at, now)]
        self.last_24_hours = period_of((now - dt.timedelta(hours=23)).date(), self.recent)
        self.first_day = min(self.days, default=None)
        self.comparable_from = comparable_from(history.days, self.today)
        month_ago = self.today - dt.timedelta(days=_RECENT_DAYS - 1)
        self.month = [run for run in history.runs if run.day >= month_ago]
        oldest = self.first_day or self.today
        days_back = min(DAYS_SHOWN - 1, (self.today - oldest).days)
        self.shown = [self.today - dt.timedelta(days=n) for n in range(days_back, -1, -1)]
        self.usual = {
            day: add(StreamCounts(), *runs_of_day.usual.values())
            for day, runs_of_day in self.days.items()
            if runs_of_day.usual_runs
        }
        self.case = case_of(history.days, now)
        self.unusual = unusual_now(history)

    def day(self, day: dt.date) -> DayOfRuns:
        """Return what is shown of the runs of a day."""
        runs = self.days[day].runs if day in self.days else []
        return DayOfRuns(day, sum(run.kind == USUAL for run in runs), _special(runs))

    def figures(self) -> list[Compared]:
        """Return all figures against what is usual."""
        values = add(StreamCounts(), *self.usual.values()).values
        known = sorted(values, key=lambda name: -values[name].conversions)[:_MOST_CURRENCIES]
        return [
            self._compared(name, figure, currency)
            for name, figure in FIGURES.items()
            for currency in (known if figure.of_currency else [""])
        ]

    def _compared(self, name: str, figure: FigureKind, currency: str) -> Compared:
        of = partial(figure.of, currency)
        values = {day: of(counts) for day, counts in self.usual.items()}
        numbers = [(day, float(value)) for day, value in values.items() if value is not None]
        now, usual = of(self.case.now), self.case.usual(of)
        ranges = {
            day: range_of(comparable(numbers, day))
            for day in self.shown
            if day >= self.comparable_from
        }
        return Compared(
            figure=name,
            subject=currency,
            now=now,
            usual=usual,
            verdict=_verdict(figure, now, usual),
            is_worse=_is_worse(figure, currency, self.unusual),
            days=[Point(values.get(day), ranges.get(day)) for day in self.shown],
        )

    def months(self) -> list[Period]:
        """Return what LiveIntent received in each month."""
        by_month: dict[dt.date, list[RunRecord]] = {}
        for run in self.history.runs:
            by_month.setdefault(run.day.replace(day=1), []).append(run)
        newest = sorted(by_month.items(), reverse=True)[:_MONTHS]
        return [period_of(max(month, self.first_day or month), runs) for month, runs in newest]


def _is_worse(figure: FigureKind, currency: str, unusual: Sequence[Unusual]) -> bool:
    """Return whether a rule finds that a figure is worse."""
    subjects = (currency,) if figure.of_currency else figure.subjects
    return any(
        item.rule in figure.rules and (subjects is None or item.finding.subject in subjects)
        for item in unusual
    )


def _verdict(figure: FigureKind, now: Number | None, usual: Range | None) -> str | None:
    """Compare a figure with its range, both rounded as they are shown."""
    if now is None or usual is None:
        return None
    digits = 2 if figure.is_share or figure.of_currency else 0
    low, number, high = (round(float(n), digits) for n in (usual.low, now, usual.high))
    if number < low:
        return LOW
    return HIGH if number > high else AS_USUAL
