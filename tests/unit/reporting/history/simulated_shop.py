"""A made-up shop: its conversions come by chance, with a rhythm by hour and weekday."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from target_liveintent.reporting.history.days import day_of
from target_liveintent.reporting.history.judge import judge
from target_liveintent.reporting.history.model import (
    USUAL,
    DayFigures,
    History,
    RunFigures,
    StreamFigures,
    Unusual,
    ValueSum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = ("a-1b2c at api.example.com", 4711)
FIRST_DAY = dt.date(2026, 1, 5)
_WEEK = (1.1, 1.0, 0.95, 1.0, 1.2, 1.05, 0.7)
_HOURS = [0.25 + max(0.0, math.sin((hour - 7) / 16 * math.pi)) for hour in range(24)]
_HAVING = {
    "md5": 0.92,
    "sha2": 0.92,
    "both": 0.92,
    "decision_id": 0.35,
    "ip": 0.97,
    "user_agent": 0.97,
    "device_id": 0.0,
    "order_id": 1.0,
    "value": 1.0,
    "currency": 1.0,
}
_REASONS = {"no_identity": 0.04, "already_sent": 0.05, "event_too_old": 0.01}
_WITHIN_AN_HOUR = 0.93


class Shop:
    """A shop whose conversions are sent by hourly runs.

    Args:
        a_day: Conversions on a usual day.
        seed: Of its chances.
        dip: From which day to which a holiday takes 30 % of them.
    """

    def __init__(self, a_day: int, seed: int, dip: range = range(0)) -> None:
        self._a_day = a_day
        self._chance = random.Random(f"{a_day} {seed}")  # noqa: S311 (no secrets)
        self._dip = dip
        self.days: list[DayFigures] = []

    def day(
        self, change: Callable[[StreamFigures], None] = lambda _: None, *, judged: bool = True
    ) -> Iterator[list[Unusual]]:
        """Go on for a day, and yield what each run found."""
        day = FIRST_DAY + dt.timedelta(days=len(self.days))
        runs: list[RunFigures] = []
        for hour in range(24):
            figures = self._hour(day, hour)
            change(figures)
            at = dt.datetime(day.year, day.month, day.day, hour, 5, tzinfo=dt.timezone.utc)
            run = RunFigures(
                f"{day}-{hour}", at, USUAL, "done", None, "0", "digest", {"orders": figures}
            )
            if judged:
                history = History([*self.days, *([self._today(day, runs)] if runs else [])])
                found = judge(history, run, dt.timezone.utc)
                run.unusual = [one for group in found.values() for one in group]
                yield run.unusual
            runs.append(run)
        self.days.append(self._today(day, runs))

    def _today(self, day: dt.date, runs: list[RunFigures]) -> DayFigures:
        return day_of(ACCOUNT, day, runs, {})

    def _hour(self, day: dt.date, hour: int) -> StreamFigures:
        rate = self._a_day * _WEEK[day.weekday()] * _HOURS[hour] / sum(_HOURS)
        if len(self.days) in self._dip:
            rate *= 0.7
        count = self._poisson(rate)
        having = {name: self._binomial(count, share) for name, share in _HAVING.items()}
        not_sent = Counter({name: self._poisson(rate * part) for name, part in _REASONS.items()})
        values = self._chance.lognormvariate(3.8, 0.9 / math.sqrt(count)) * count if count else 0
        return StreamFigures(
            read=count + not_sent.total(),
            delivered=count,
            within_an_hour=self._binomial(count, _WITHIN_AN_HOUR),
            within_a_day=count,
            having=having,
            not_sent=dict(+not_sent),
            values={"EUR": ValueSum(count, Decimal(f"{values:.2f}"))} if count else {},
        )

    def _poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(self._chance.gauss(mean, math.sqrt(mean))))
        count, product = 0, self._chance.random()
        while product > math.exp(-mean):
            count += 1
            product *= self._chance.random()
        return count

    def _binomial(self, count: int, share: float) -> int:
        if share in {0.0, 1.0}:
            return round(count * share)
        if count > 50:
            spread = math.sqrt(count * share * (1 - share))
            return min(count, max(0, round(self._chance.gauss(count * share, spread))))
        return sum(self._chance.random() < share for _ in range(count))
