"""Gathers what the history says as of now; nothing in it reads a clock or a file."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from target_liveintent.reporting.history import (
    BACKFILL,
    USUAL,
    DayFigures,
    History,
    RunFigures,
    StreamFigures,
    sum_of,
)
from target_liveintent.reporting.history.judge import unusual_now
from target_liveintent.reporting.history.rules import Case
from target_liveintent.reporting.history.usual import Range, comparable, range_of
from target_liveintent.reporting.overview.advice import advise, undo
from target_liveintent.reporting.overview.changes import changes_of
from target_liveintent.reporting.overview.figures import FIGURES, Figure
from target_liveintent.reporting.overview.health import figure_causes, run_causes
from target_liveintent.reporting.overview.model import (
    AS_USUAL,
    DAYS_SHOWN,
    HIGH,
    LEAST_DAYS,
    LOW,
    VERSION,
    Compared,
    ComparedReason,
    ComparedStream,
    Day,
    LastRun,
    Month,
    Number,
    Overview,
    Point,
    Usual,
    Worth,
)
from target_liveintent.reporting.overview.trend import worse_since
from target_liveintent.reporting.overview.words import figure_words
from target_liveintent.reporting.run_report.model import FAILED, Facts
from target_liveintent.reporting.run_report.tally import HOUR

_MONTHS = 3
"""Months that the 91 days before today cover to their first day."""
_MOST_CURRENCIES = 4
_THIRTY = 30
SCHEDULED = (USUAL, BACKFILL)
"""Kinds of runs that a schedule starts; others are somebody's at a terminal."""


def overview_of(
    history: History,
    account: tuple[str, int | None],
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> Overview:
    """Return what a history says.

    Args:
        history: That of the account.
        account: The account with its API host, and the pixel.
        now: The moment, in the zone of the setting `timezone`.
        max_age: How old the last run may be.
    """
    gathered = _Gathered(history, now)
    figures = gathered.figures()
    scheduled = [run for run in gathered.all_runs if run.kind in SCHEDULED]
    unusual = unusual_now(history)
    reasons = gathered.reasons()
    letters = next(one for one in figures if one.figure == "dead_letters")
    first = gathered.first_day
    changes = changes_of((one.figures, one.usual) for one in gathered.days.values())
    return Overview(
        version=VERSION,
        account=account[0],
        pixel_id=account[1],
        timezone=str(now.tzinfo),
        as_of=now,
        first_day=first,
        comparable_from=None if first is None else first + dt.timedelta(days=LEAST_DAYS),
        last_run=_last_run(scheduled),
        causes=[
            *run_causes(scheduled, now, max_age),
            *figure_causes(unusual, letters, gathered.recent, gathered.runs_a_day),
        ],
        unusual=unusual,
        advice=[
            *undo(figures, changes),
            *advise(gathered.last_days(_THIRTY), facts_of(history)),
        ],
        figures=figures,
        reasons=reasons,
        streams=gathered.streams(),
        months=gathered.months(),
        days=[gathered.day(day) for day in gathered.shown],
        changes=changes,
    )


def facts_of(history: History) -> Facts | None:
    """Return the report of the last run; None if the history does not have it any more."""
    if history.entry is None:
        return None
    try:
        return msgspec.json.decode(history.entry.facts, type=Facts)
    except msgspec.ValidationError:  # Another version wrote it.
        return None


class _DayRuns:
    """A day, its runs and its usual runs; the runs are decoded once."""

    def __init__(self, figures: DayFigures) -> None:
        self.figures = figures
        self.runs = figures.runs
        self.usual = [run for run in self.runs if run.kind == USUAL]
        self.total = sum_of(figures.usual.values())
        self.special = sum(one.delivered for one in figures.others.values())


class _Gathered:
    """A history by day, with what several parts of the overview need."""

    def __init__(self, history: History, now: dt.datetime) -> None:
        self.today = now.date()
        self.days = {one.day: _DayRuns(one) for one in history.days if one.day <= self.today}
        self.first_day = min(self.days, default=None)
        # Where runs have another `timezone`, the newest may be of tomorrow.
        later = [run for one in history.days if one.day > self.today for run in one.runs]
        self.all_runs = [run for one in self.days.values() for run in one.runs] + later
        first = self.today - dt.timedelta(days=DAYS_SHOWN - 1)
        first = max(first, self.first_day or self.today)
        self.shown = [first + dt.timedelta(days=n) for n in range((self.today - first).days + 1)]
        hour = now.timestamp() // HOUR  # Whole hours, as in `history.rules`.
        self.recent = [
            run
            for run in self.all_runs
            if run.kind == USUAL and hour - 24 < run.ended_at.timestamp() // HOUR <= hour
        ]
        self.now = sum_of(figures for run in self.recent for figures in run.streams.values())
        self.samples = [(day, one.total) for day, one in self.days.items() if one.usual]

    @property
    def runs_a_day(self) -> float:
        """How many usual runs there are on a day that has some; 0 on a first day."""
        counts = [len(one.usual) for one in self.days.values() if one.usual]
        return statistics.median(counts[:-1] or [0])

    def last_days(self, count: int) -> StreamFigures:
        """Return the sum of the usual runs of the last days, today included."""
        first = self.today - dt.timedelta(days=count - 1)
        return sum_of(total for day, total in self.samples if day >= first)

    def day(self, day: dt.date) -> Day:
        found = self.days.get(day)
        if found is None:
            return Day(day, 0, 0, 0)
        failed = sum(run.ending == FAILED for run in found.usual)
        return Day(day, len(found.usual), failed, found.special)

    # Against what is usual

    def figures(self) -> list[Compared]:
        currencies = self._currencies()
        return [
            self._compared(figure, currency)
            for figure in FIGURES.values()
            for currency in (currencies if figure.of_currency else [""])
        ]

    def _currencies(self) -> list[str]:
        events: Counter[str] = Counter()
        for _, total in self.samples:
            events.update({currency: one.events for currency, one in total.values.items()})
        return [currency for currency, _ in events.most_common(_MOST_CURRENCIES)]

    def _compared(self, figure: Figure, currency: str) -> Compared:
        def of(figures: StreamFigures) -> Number | None:
            return figure.of(figures, currency)

        now, usual = of(self.now), self._usual_now(self.samples, of)
        verdict = None
        if now is not None and usual is not None:
            verdict = LOW if now < usual.low else HIGH if now > usual.high else AS_USUAL
            end = {LOW: usual.low, HIGH: usual.high}.get(verdict)
            if figure_words(figure.name, now) == figure_words(figure.name, end):
                verdict = AS_USUAL  # Nobody sees a difference.
        values = {day: of(total) for day, total in self.samples}
        numbers = [(day, float(value)) for day, value in values.items() if value is not None]
        finished = [one for one in numbers if one[0] < self.today]
        return Compared(
            figure=figure.name,
            subject=currency,
            now=now,
            usual=usual,
            verdict=verdict,
            worse=worse_since(finished, figure.worse, is_share=figure.is_share),
            days=[Point(values.get(day), self._usual(numbers, day)) for day in self.shown],
        )

    def _usual(self, numbers: Sequence[tuple[dt.date, float]], day: dt.date) -> Usual | None:
        """Return the range of a figure on a day, if there is enough history before it."""
        if self.first_day is None or (day - self.first_day).days < LEAST_DAYS:
            return None
        return _usual(range_of(comparable(numbers, day)))

    def _usual_now(
        self,
        samples: Sequence[tuple[dt.date, StreamFigures]],
        of: Callable[[StreamFigures], Number | None],
    ) -> Usual | None:
        """Return the range for the last 24 hours, which lie in today and in yesterday."""
        yesterday = self.today - dt.timedelta(days=1)
        if self.first_day is None or (self.today - self.first_day).days < LEAST_DAYS:
            return None
        earlier = [one for one in samples if one[0] < yesterday]
        days = comparable(earlier, self.today), comparable(earlier, yesterday)
        case = Case(StreamFigures(), frozenset(), days)
        return _usual(case.usual(lambda one: _float(of(one))))

    def reasons(self) -> list[ComparedReason]:
        recent = self.last_days(_THIRTY).dead_letters
        known = {reason for _, total in self.samples for reason in total.dead_letters}
        found = [self._reason(reason, recent.get(reason, 0)) for reason in known]
        return sorted(found, key=lambda one: (-one.thirty_days, one.reason))

    def _reason(self, reason: str, thirty_days: int) -> ComparedReason:
        values = {day: total.not_sent.get(reason, 0) for day, total in self.samples}
        return ComparedReason(
            reason=reason,
            now=self.now.not_sent.get(reason, 0),
            usual=self._usual_now(self.samples, lambda one: one.not_sent.get(reason, 0)),
            thirty_days=thirty_days,
            last_day=max(day for day, records in values.items() if records),
            days=[values.get(day) for day in self.shown],
        )

    def streams(self) -> list[ComparedStream]:
        first = self.today - dt.timedelta(days=_THIRTY - 1)
        known = {name for one in self.days.values() for name in one.figures.usual}
        found = []
        for stream in known:
            samples = [
                (day, self.days[day].figures.usual.get(stream, StreamFigures()))
                for day, _ in self.samples
            ]
            found.append(
                ComparedStream(
                    stream=stream,
                    now=sum_of(
                        run.streams[stream] for run in self.recent if stream in run.streams
                    ).delivered,
                    usual=self._usual_now(samples, lambda one: one.delivered),
                    thirty_days=sum(one.delivered for day, one in samples if day >= first),
                )
            )
        return sorted(found, key=lambda one: (-one.thirty_days, one.stream))

    # What LiveIntent got

    def months(self) -> list[Month]:
        found = []
        month = self.today.replace(day=1)
        for _ in range(_MONTHS):
            days = [one for day, one in self.days.items() if day.replace(day=1) == month]
            if days:
                found.append(_month(max(month, self.first_day or month), days))
            month = (month - dt.timedelta(days=1)).replace(day=1)
        return found


def _month(first_day: dt.date, days: Sequence[_DayRuns]) -> Month:
    total = sum_of(
        figures
        for one in days
        for group in (one.figures.usual, one.figures.others)
        for figures in group.values()
    )
    values = [Worth(currency, one.events, one.total) for currency, one in total.values.items()]
    return Month(
        first_day=first_day,
        delivered=total.delivered,
        special=sum(one.special for one in days),
        with_email_hash=total.with_email_hash,
        with_decision_id=total.with_decision_id,
        values=sorted(values, key=lambda one: (-one.events, one.currency)),
    )


def _last_run(scheduled: Sequence[RunFigures]) -> LastRun | None:
    if not scheduled:
        return None
    run = scheduled[-1]
    return LastRun(run.run_id, run.ended_at, run.ending, run.message, run.version)


def _usual(found: Range | None) -> Usual | None:
    return None if found is None else Usual(*found)


def _float(number: Number | None) -> float | None:
    return None if number is None else float(number)
