"""Simulated shops: no false warnings in 60 days, and each planted fault is found within a day."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

import pytest
from simulated_shop import Shop

from target_liveintent.reporting.history.model import ValueSum

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_liveintent.reporting.history.model import StreamFigures

SHOPS = (20, 200, 20_000)
"""Conversions a day."""
WARM_UP, JUDGED = 14, 60
HOLIDAY = range(44, 54)
"""Days on which a third of the conversions stays away."""
PLANTED_ON = 30


@functools.cache
def settled(a_day: int) -> Shop:
    """Return a shop that has been open for some weeks."""
    shop = Shop(a_day, seed=7)
    for _ in range(PLANTED_ON):
        assert not [*shop.day(judged=False)]
    return shop


@pytest.mark.parametrize("a_day", SHOPS)
def test_no_false_warnings(a_day: int) -> None:
    """At most one in 60 days, in which there is a holiday."""
    shop = Shop(a_day, seed=1, dip=HOLIDAY)
    for _ in range(WARM_UP):
        assert not [*shop.day(judged=False)]
    found = [one for _ in range(JUDGED) for run in shop.day() for one in run if one.said]
    assert len(found) <= 1, found


@pytest.mark.parametrize("a_day", SHOPS)
def test_no_false_warnings_before_weekdays_are_compared(a_day: int) -> None:
    """A Sunday in a holiday sells half of what the middle of all days is."""
    shop = Shop(a_day, seed=1, dip=range(17, 28))
    for _ in range(WARM_UP):
        assert not [*shop.day(judged=False)]
    found = [one for _ in range(14) for run in shop.day() for one in run if one.said]
    assert found == []


def few(share: float) -> Callable[[StreamFigures], None]:
    def change(figures: StreamFigures) -> None:
        for name in ("delivered", "within_an_hour", "within_a_day"):
            setattr(figures, name, int(getattr(figures, name) * share))
        figures.having = {name: int(count * share) for name, count in figures.having.items()}

    return change


def cents(figures: StreamFigures) -> None:
    figures.values = {
        currency: ValueSum(one.events, one.total * 100) for currency, one in figures.values.items()
    }


def without(*columns: str, keep: float = 0) -> Callable[[StreamFigures], None]:
    def change(figures: StreamFigures) -> None:
        figures.having |= {name: int(figures.having[name] * keep) for name in columns}

    return change


def rejected(figures: StreamFigures) -> None:
    figures.not_sent["invalid_source"] = 1


def late(figures: StreamFigures) -> None:
    figures.within_an_hour = 0


FAULTS = [
    pytest.param(few(0), "conversions", "", SHOPS, id="none"),
    pytest.param(few(0.4), "conversions", "", SHOPS[1:], id="few"),
    pytest.param(cents, "average_value", "EUR", SHOPS, id="cents"),
    pytest.param(without("md5", "sha2", "both"), "coverage", "md5", SHOPS, id="no addresses"),
    pytest.param(without("decision_id"), "coverage", "decision_id", SHOPS[1:], id="no decision"),
    pytest.param(without("ip", keep=0.7), "coverage", "ip", SHOPS[1:], id="fewer"),
    pytest.param(rejected, "new_reason", "invalid_source", SHOPS, id="reason"),
    pytest.param(late, "late", "", SHOPS, id="late"),
]


@pytest.mark.parametrize("days_later", [0, 5, 6])
@pytest.mark.parametrize(("change", "rule", "subject", "shops"), FAULTS)
def test_each_planted_fault_is_found_within_a_day(
    change: Callable[[StreamFigures], None],
    rule: str,
    subject: str,
    shops: tuple[int, ...],
    days_later: int,
) -> None:
    """On a weekday and on a weekend, by the run that ends 24 hours later at the latest."""
    for a_day in shops:
        shop = copy.deepcopy(settled(a_day))
        for _ in range(days_later):
            assert not [*shop.day(judged=False)]
        *_, last = shop.day(change)
        assert (rule, subject) in {(one.rule, one.subject) for one in last}
