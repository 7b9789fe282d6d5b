"""Simulated shops: no false warnings in 60 days, and each planted fault is found within a day."""

import copy
import datetime as dt
import functools
import math
import random
from collections import Counter
from typing import Any

import pytest
from reporting_support import amount, day, figures, named, on, unusual_after

from target_liveintent.reporting.history import Day, History, RunRecord, Unusual

FIRST_DAY = dt.date(2026, 1, 5)
_WEEK = (1.1, 1.0, 0.95, 1.0, 1.2, 1.05, 0.7)
_HOURS = [0.25 + max(0.0, math.sin((hour - 7) / 16 * math.pi)) for hour in range(24)]
HAVING = dict.fromkeys(("order_id", "value", "currency"), 1.0)
HAVING |= dict.fromkeys(("md5", "sha2", "both"), 0.92)
HAVING |= {"decision_id": 0.35, "ip": 0.97, "user_agent": 0.97, "device_id": 0.0}
REASONS = {"no_identity": 0.04, "already_sent": 0.05, "event_too_old": 0.01}


class Shop:
    """A shop whose conversions come by chance, with a rhythm, and are sent by hourly runs.

    `sold` is the share of the usual conversions that come, `having` and `fresh` are shares of
    conversions, `reasons` of records that are not sent; values are multiplied by `unit`.
    """

    def __init__(self, a_day: int, seed: int) -> None:
        self._a_day = a_day
        self._chance = random.Random(f"{a_day} {seed}")  # noqa: S311 (no secrets)
        self.days: list[Day] = []
        self.sold, self.having, self.reasons, self.fresh, self.unit = 1.0, HAVING, REASONS, 0.93, 1

    def days_go_by(self, count: int) -> None:
        """Go on for days of which nobody judges the runs."""
        for _ in range(count):
            self.days.append(day(self._today(), *map(self._run, range(24))))

    def judged_day(self) -> list[list[Unusual]]:
        """Go on for a day, and return what each run found."""
        runs: list[RunRecord] = []
        for hour in range(24):
            one = self._run(hour)
            history = History([*self.days, *([day(self._today(), *runs)] if runs else [])])
            one.unusual = unusual_after(history, one) or []
            runs.append(one)
        self.days.append(day(self._today(), *runs))
        return [one.unusual for one in runs]

    def _today(self) -> dt.date:
        return FIRST_DAY + dt.timedelta(days=len(self.days))

    def _run(self, hour: int) -> RunRecord:
        today = self._today()
        usual = self._a_day * _WEEK[today.weekday()] * _HOURS[hour] / sum(_HOURS)
        count = self._poisson(usual * self.sold)
        having = {name: self._binomial(count, share) for name, share in self.having.items()}
        reasons = self.reasons.items()
        not_sent = Counter({name: self._poisson(usual * part) for name, part in reasons})
        values = self._chance.lognormvariate(3.8, 0.9 / math.sqrt(count)) * count if count else 0
        total = amount(count, f"{values * self.unit:.2f}")
        orders = figures(
            count,
            within_an_hour=self._binomial(count, self.fresh),
            within_a_day=count,
            having=having,
            not_sent=dict(+not_sent),
            values={"EUR": total} if count else {},
        )
        return named(f"{today}-{hour}", on(today, hour, 5), orders=orders)

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


SHOPS = (20, 200, 20_000)
"""Conversions a day."""


def warnings(a_day: int, days: int, holiday: range) -> list[Unusual]:
    """Return what runs say, after two weeks; on days of a holiday, 30 % of conversions stay away.

    Nothing is wrong in the shop.
    """
    shop = Shop(a_day, seed=1)
    shop.days_go_by(14)
    found = []
    for number in range(14, 14 + days):
        shop.sold = 0.7 if number in holiday else 1
        found += [one for runs in shop.judged_day() for one in runs if one.is_new]
    return found


@pytest.mark.parametrize("a_day", SHOPS)
def test_no_false_warnings(a_day: int) -> None:
    """At most one in 60 days, in which there is a holiday."""
    assert len(warnings(a_day, 60, range(44, 54))) <= 1


@pytest.mark.parametrize("a_day", SHOPS)
def test_no_false_warnings_before_weekdays_are_compared(a_day: int) -> None:
    """A Sunday in a holiday sells half of what the middle of all days is."""
    assert warnings(a_day, 14, range(17, 28)) == []


@functools.cache
def settled(a_day: int) -> Shop:
    """Return a shop that has been open for some weeks."""
    shop = Shop(a_day, seed=7)
    shop.days_go_by(30)
    return shop


NO_ADDRESSES = HAVING | dict.fromkeys(("md5", "sha2", "both"), 0.0)
FAULTS: dict[str, tuple[dict[str, Any], str, str, tuple[int, ...]]] = {
    "none": ({"sold": 0}, "conversions", "", SHOPS),
    "few": ({"sold": 0.33}, "conversions", "", SHOPS[1:]),
    "cents": ({"unit": 100}, "average_value", "EUR", SHOPS),
    "no addresses": ({"having": NO_ADDRESSES}, "coverage", "md5", SHOPS),
    "no decision": ({"having": HAVING | {"decision_id": 0}}, "coverage", "decision_id", SHOPS[1:]),
    "fewer": ({"having": HAVING | {"ip": 0.6}}, "coverage", "ip", SHOPS[1:]),
    "reason": ({"reasons": REASONS | {"invalid_source": 1}}, "new_reason", "invalid_source", SHOPS),
    "late": ({"fresh": 0}, "late", "", SHOPS),
    "bad": ({"reasons": REASONS | {"no_identity": 0.6}}, "dead_letters", "", SHOPS),
}


@pytest.mark.parametrize("days_later", [0, 5, 6])
@pytest.mark.parametrize(("fault", "rule", "subject", "shops"), FAULTS.values(), ids=FAULTS)
def test_each_planted_fault_is_found_within_a_day(
    fault: dict[str, Any], rule: str, subject: str, shops: tuple[int, ...], days_later: int
) -> None:
    """On a weekday and on a weekend, by the run that ends 24 hours later at the latest."""
    for a_day in shops:
        shop = copy.deepcopy(settled(a_day))
        shop.days_go_by(days_later)
        for name, value in fault.items():
            setattr(shop, name, value)
        *_, last = shop.judged_day()
        assert (rule, subject) in {(one.rule, one.finding.subject) for one in last}
