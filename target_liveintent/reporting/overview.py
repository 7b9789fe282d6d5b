"""The overview of the history of an account and pixel: the JSON of `report --format=json`.

docs/reference/cli.md describes all fields. Increase `VERSION` when the meaning of one changes.
Nothing in this module reads a clock or a file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from target_liveintent.reporting.findings import Cause, advise, causes_of, changes_of
from target_liveintent.reporting.history import (
    SCHEDULED,
    USUAL,
    Day,
    History,
    RunRecord,
    by_stream,
    total_of,
)
from target_liveintent.reporting.rules import unusual_now
from target_liveintent.reporting.usual import (
    HIGH,
    LEAST_DAYS,
    LOW,
    Case,
    Number,
    Range,
    Sample,
    case_of,
    comparable,
    is_recent,
    mean_value,
    range_of,
    share,
)
from target_liveintent.run.counts import StreamCounts, add
from target_liveintent.settings import Settings

VERSION = 1
DAYS_SHOWN = 90
"""Days of the charts, today included."""
AS_USUAL = "as_usual"
CONVERSIONS, DEAD_LETTERS, TOTAL_VALUE = "conversions", "dead_letters", "total_value"
_MONTHS = 3
"""How many months, including the present one, the 91 days before today cover in any case."""
_MOST_CURRENCIES = 4
"""Currencies whose values are compared with usual days."""
_THIRTY = 30


class Figure(NamedTuple):
    """A figure, of each currency or of all conversions.

    Attributes:
        name: What people call it; a currency can follow.
        of: Returns it, None where there is nothing to compute it from; the first argument is the
            currency.
        worse: Whether it is worse when it is `LOW` or `HIGH`; None if neither is.
    """

    name: str
    of: Callable[[str, StreamCounts], Number | None]
    worse: str | None = LOW
    is_share: bool = False
    of_currency: bool = False


def _share_of(name: str, part: Callable[[StreamCounts], int], worse: str = LOW) -> Figure:
    return Figure(name, lambda _, one: share(part(one), one.delivered), worse, is_share=True)


def _total(currency: str, one: StreamCounts) -> Number:
    return one.values[currency].total if currency in one.values else Decimal(0)


FIGURES: dict[str, Figure] = {
    CONVERSIONS: Figure("Conversions", lambda _, one: one.delivered),
    "both_hashes": _share_of("With both hashes", lambda one: one.having("both")),
    "email_hash": _share_of("With a hash of an e-mail address", lambda one: one.with_email_hash),
    "decision_id": _share_of("With a decision ID", lambda one: one.having("decision_id")),
    "late": _share_of("Sent more than an hour late", lambda one: one.late, HIGH),
    DEAD_LETTERS: Figure("Could not be sent", lambda _, one: one.letters.total(), HIGH),
    TOTAL_VALUE: Figure("Value", _total, of_currency=True),
    "average_value": Figure("Average value", mean_value, None, of_currency=True),
}
"""The figures by their names in the JSON, in the order in which they are shown."""


class Point(msgspec.Struct, frozen=True):
    """A figure on a day; None if there was no run, or the day does not have the figure."""

    value: Number | None = None
    usual: Range | None = None


class Compared(msgspec.Struct, frozen=True):
    """A figure of the last 24 hours, compared with what is usual, and of `Overview.days`.

    `figure` is a key of `FIGURES`, and `subject` the currency, empty where a figure has none.
    """

    figure: str
    subject: str
    now: Number | None
    usual: Range | None
    verdict: str | None
    days: list[Point]

    @property
    def kind(self) -> Figure:
        """Which figure it is."""
        return FIGURES[self.figure]

    @property
    def is_worse(self) -> bool:
        """Whether the last 24 hours are worse than usual."""
        return self.verdict is not None and self.verdict == self.kind.worse


class Part(msgspec.Struct, frozen=True):
    """A stream's conversions, or the records that could not be sent for one reason.

    They are those of the last 24 hours, of a usual day, and of the last 30 days.
    """

    name: str
    now: int
    usual: Range | None
    thirty_days: int


class Worth(msgspec.Struct, frozen=True):
    """The conversions with a value in one currency, or without one (empty), and their sum."""

    currency: str
    conversions: int
    total: Decimal


class Period(msgspec.Struct, frozen=True):
    """What LiveIntent received in a month or in 24 hours, from runs of all kinds.

    Attributes:
        first_day: The first day of it, or of the history.
        special: How many conversions came by runs that are not usual.
        not_sent: Records that could not be sent, by reason, the most frequent first; one that came
            again counts once.
        missing: The values of those records by currency, where they have both.
        values: The values of the conversions, the most frequent currency first.
    """

    first_day: dt.date
    delivered: int
    special: int
    with_both_hashes: int
    with_decision_id: int
    not_sent: dict[str, int]
    missing: dict[str, Decimal]
    values: list[Worth]

    @property
    def could_not_be_sent(self) -> int:
        """How many records could not be sent."""
        return sum(self.not_sent.values())


def period_of(first_day: dt.date, runs: Iterable[RunRecord]) -> Period:
    """Return what LiveIntent received from some runs."""
    real = list(runs)
    total = total_of(real)
    values = [Worth(name, one.conversions, one.total) for name, one in total.values.items()]
    missing: dict[str, Decimal] = {}
    for currency, value in (one for run in real for one in run.missing.items()):
        missing[currency] = missing.get(currency, Decimal(0)) + value
    return Period(
        first_day=first_day,
        delivered=total.delivered,
        special=total_of(run for run in real if run.kind != USUAL).delivered,
        with_both_hashes=total.having("both"),
        with_decision_id=total.having("decision_id"),
        not_sent=dict(total.letters.most_common()),
        missing=missing,
        values=sorted(values, key=lambda one: (-one.conversions, one.currency)),
    )


class DayOfRuns(msgspec.Struct, frozen=True):
    """The number of usual runs of a day (0 is a gap), and how much other runs sent."""

    day: dt.date
    runs: int
    special: int


class Overview(msgspec.Struct):
    """The overview of the history of one account and pixel.

    Attributes:
        first_day: The first day of the history, as far as it is read; None if it is empty.
        comparable_from: The day from which on there is something usual; None if it is empty.
        last_run: The newest run that a schedule started, or else of any kind.
        causes: What keeps `health` from exit code 0, the worst first.
        reasons: Why records could not be sent, in runs of all kinds.
        days: The last 90 days, or those since the first day; the last one is today.
        changes: What changed in the settings or the version, by day, the newest first.
    """

    account: str
    pixel_id: int | None
    timezone: str
    as_of: dt.datetime
    first_day: dt.date | None
    comparable_from: dt.date | None
    last_run: RunRecord | None
    causes: list[Cause]
    advice: list[str]
    last_24_hours: Period
    figures: list[Compared]
    reasons: list[Part]
    streams: list[Part]
    months: list[Period]
    days: list[DayOfRuns]
    changes: dict[dt.date, list[str]]
    version: int = VERSION

    def figure(self, name: str, subject: str = "") -> Compared:
        """Return the figure of a name and subject."""
        return next(one for one in self.figures if (one.figure, one.subject) == (name, subject))


def overview_of(
    history: History, settings: Settings, at: float, max_age: dt.timedelta | None = None
) -> Overview:
    """Return the overview of a history at a Unix time.

    Without `max_age`, it is not judged how old the last run is.
    """
    now = dt.datetime.fromtimestamp(at, settings.events.zone)
    gathered = _Gathered(history, now)
    first = gathered.first_day
    last_24_hours = period_of((now - dt.timedelta(hours=23)).date(), gathered.recent)
    scheduled = [run for run in history.runs if run.kind in SCHEDULED]
    return Overview(
        account=f"{settings.customer_id} at {settings.account.host}",
        pixel_id=settings.pixel_id,
        timezone=str(now.tzinfo),
        as_of=now,
        first_day=first,
        comparable_from=None if first is None else first + dt.timedelta(days=LEAST_DAYS),
        last_run=[None, *history.runs, *scheduled][-1],
        causes=list(causes_of(scheduled, unusual_now(history), now, max_age)),
        advice=advise(total_of(run for run in gathered.month if run.kind == USUAL)),
        last_24_hours=last_24_hours,
        figures=gathered.figures(),
        reasons=gathered.reasons(last_24_hours),
        streams=gathered.streams(),
        months=gathered.months(history.runs),
        days=[gathered.day(day) for day in gathered.shown],
        changes=changes_of(history.usual_runs),
    )


class _Gathered:
    """A history by day, with what several parts of the overview need."""

    def __init__(self, history: History, now: dt.datetime) -> None:
        self.now, self.today = now, now.date()
        # Where runs have another `timezone`, the newest may be of tomorrow.
        self.days = {one.day: one for one in history.days if one.day <= self.today}
        self.recent = [run for run in history.runs if is_recent(run.ended_at, now)]
        self.first_day = min(self.days, default=None)
        month_ago = self.today - dt.timedelta(days=_THIRTY - 1)
        self.month = [run for run in history.runs if run.day >= month_ago]
        first = self.today - dt.timedelta(days=DAYS_SHOWN - 1)
        first = max(first, self.first_day or self.today)
        self.shown = [first + dt.timedelta(days=n) for n in range((self.today - first).days + 1)]
        self.samples, self.case = self._case(lambda streams: add(StreamCounts(), *streams.values()))

    def _case(
        self, of: Callable[[dict[str, StreamCounts]], StreamCounts]
    ) -> tuple[list[Sample[StreamCounts]], Case]:
        """Return the days that have usual runs, and the last 24 hours beside those before them.

        Without enough history, there are no days in the case.
        """
        samples = [(day, of(one.usual)) for day, one in self.days.items() if one.usual_runs]
        usual = [run for run in self.recent if run.kind == USUAL]
        timed = [(run.ended_at, of(run.streams)) for run in usual]
        before = samples if self._is_comparable(self.today) else []
        return samples, case_of(before, timed, self.now)

    def _is_comparable(self, day: dt.date) -> bool:
        return self.first_day is not None and (day - self.first_day).days >= LEAST_DAYS

    def day(self, day: dt.date) -> DayOfRuns:
        """Return what is shown of the runs of a day."""
        found = self.days.get(day, Day(day, [], [], {}))
        special = total_of(run for run in found.runs if run.kind != USUAL).delivered
        return DayOfRuns(day, len(found.usual_runs), special)

    def figures(self) -> list[Compared]:
        """Return all figures against what is usual."""
        values = add(StreamCounts(), *(one for _, one in self.samples)).values
        known = sorted(values, key=lambda name: -values[name].conversions)[:_MOST_CURRENCIES]
        return [
            self._compared(name, figure, currency)
            for name, figure in FIGURES.items()
            for currency in (known if figure.of_currency else [""])
        ]

    def _compared(self, name: str, figure: Figure, currency: str) -> Compared:
        of = partial(figure.of, currency)
        values = {day: of(one) for day, one in self.samples}
        numbers = [(day, float(value)) for day, value in values.items() if value is not None]
        now, usual = of(self.case.now), self.case.usual(of)
        ranges = {
            day: range_of(comparable(numbers, day)) if self._is_comparable(day) else None
            for day in self.shown
        }
        return Compared(
            figure=name,
            subject=currency,
            now=now,
            usual=usual,
            verdict=_verdict(figure, now, usual),
            days=[Point(values.get(day), ranges[day]) for day in self.shown],
        )

    def reasons(self, now: Period) -> list[Part]:
        """Return by reason how many records could not be sent; `now` is the last 24 hours."""
        return [
            Part(reason, now.not_sent.get(reason, 0), self.case.usual(partial(_letters, reason)), n)
            for reason, n in _largest_first(total_of(self.month).letters)
        ]

    def streams(self) -> list[Part]:
        """Return the conversions of usual runs by stream."""
        found = by_stream(run for run in self.month if run.kind == USUAL)
        sent = {stream: one.delivered for stream, one in found.items()}
        cases = {stream: self._case(partial(_figures_of, stream))[1] for stream in sent}
        return [
            Part(stream, cases[stream].now.delivered, cases[stream].usual(_delivered), n)
            for stream, n in _largest_first(sent)
        ]

    def months(self, runs: Iterable[RunRecord]) -> list[Period]:
        """Return what LiveIntent received in each month."""
        found: dict[dt.date, list[RunRecord]] = {}
        for run in runs:
            found.setdefault(run.day.replace(day=1), []).append(run)
        newest = sorted(found.items(), reverse=True)[:_MONTHS]
        return [period_of(max(month, self.first_day or month), runs) for month, runs in newest]


def _largest_first(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda one: (-one[1], one[0]))


def _figures_of(stream: str, streams: dict[str, StreamCounts]) -> StreamCounts:
    return streams.get(stream, StreamCounts())


def _delivered(one: StreamCounts) -> int:
    return one.delivered


def _letters(reason: str, one: StreamCounts) -> int:
    return one.letters[reason]


def _verdict(figure: Figure, now: Number | None, usual: Range | None) -> str | None:
    """Compare a figure with its range, both rounded as they are shown."""
    if now is None or usual is None:
        return None
    digits = 2 if figure.is_share or figure.of_currency else 0
    low, number, high = (round(float(n), digits) for n in (usual.low, now, usual.high))
    return LOW if number < low else HIGH if number > high else AS_USUAL
