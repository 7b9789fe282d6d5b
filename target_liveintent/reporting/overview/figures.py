"""The figures that are compared: how each is computed, and when it is worse."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from target_liveintent.reporting.history import StreamFigures
from target_liveintent.reporting.overview.model import HIGH, LOW, Number

CONVERSIONS, EMAIL_HASH, DECISION_ID, LATE = "conversions", "email_hash", "decision_id", "late"
DEAD_LETTERS, TOTAL_VALUE, AVERAGE_VALUE = "dead_letters", "total_value", "average_value"


class Figure(NamedTuple):
    """A figure.

    Attributes:
        name: In the JSON.
        of: Returns it, None where there is nothing to compute it from; the second argument is the
            currency.
        worse: Whether it is worse when it is `LOW` or `HIGH`; None if neither is.
        is_share: Whether it is a share of the conversions.
        of_currency: Whether each currency has one.
    """

    name: str
    of: Callable[[StreamFigures, str], Number | None]
    worse: str | None = LOW
    is_share: bool = False
    of_currency: bool = False


def _share(part: Callable[[StreamFigures], int]) -> Callable[[StreamFigures, str], Number | None]:
    return lambda one, _: part(one) / one.delivered if one.delivered else None


def _total(figures: StreamFigures, currency: str) -> Number:
    value = figures.values.get(currency)
    return Decimal(0) if value is None else value.total


def _average(figures: StreamFigures, currency: str) -> Number | None:
    value = figures.values.get(currency)
    return None if value is None else value.average


FIGURES: dict[str, Figure] = {
    one.name: one
    for one in (
        Figure(CONVERSIONS, lambda one, _: one.delivered),
        Figure(EMAIL_HASH, _share(lambda one: one.with_email_hash), is_share=True),
        Figure(DECISION_ID, _share(lambda one: one.with_decision_id), is_share=True),
        Figure(LATE, _share(lambda one: one.late), HIGH, is_share=True),
        Figure(DEAD_LETTERS, lambda one, _: sum(one.dead_letters.values()), HIGH),
        Figure(TOTAL_VALUE, _total, of_currency=True),
        Figure(AVERAGE_VALUE, _average, None, of_currency=True),
    )
}
"""The figures by name, in the order in which they are shown."""
