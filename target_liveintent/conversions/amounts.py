"""The values of conversions by currency: their number, sum, lowest and highest value.

These figures reveal a wrong unit: if cents are sent as euros, the average is too high.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext

import msgspec

from target_liveintent.conversions.coerce import DECIMALS, exact
from target_liveintent.conversions.event_model import Event

MOST_CURRENCIES = 50
"""The maximum number of currencies for which a run keeps separate figures."""
OTHERS = "others"
"""The key for all other currencies together. Only the number of their conversions is counted."""
_HUGE_DIGITS = 15
_ADDED_IN_CENTS_BELOW = 10**12
"""Amounts below this can be added in cents. With their cents, they have at most 14 digits, and a
float is exact to 15 digits."""
_digits = Context(prec=100)
"""Computes sums with up to 100 digits. Real amounts need fewer digits, so their sums are exact."""
_rough = Context(prec=15)
"""Rounds an average to 15 digits, because further digits do not matter."""


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures about the values of conversions in one currency.

    Attributes:
        conversions: The number of conversions with a value.
        total: The exact sum of the values.
        negative: How many of the values are below zero.
    """

    conversions: int
    total: Decimal = Decimal(0)
    lowest: Decimal = Decimal(0)
    highest: Decimal = Decimal(0)
    negative: int = 0

    @classmethod
    def of(cls, values: Sequence[float | Decimal]) -> Amount:
        """Return the figures of values; there must be at least one value."""
        lowest, highest = exact(min(values)), exact(max(values))
        negative = sum(value < 0 for value in values) if lowest < 0 else 0
        are_usual = lowest > -_ADDED_IN_CENTS_BELOW and highest < _ADDED_IN_CENTS_BELOW
        total = _sum_of_cents(values) if are_usual else None
        if total is None:
            with localcontext(_digits):
                total = sum(map(exact, values), Decimal(0))
        return cls(len(values), total, lowest, highest, negative)

    def __add__(self, other: Amount) -> Amount:
        """Return the figures of both amounts together."""
        return Amount(
            self.conversions + other.conversions,
            _digits.add(self.total, other.total),
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.negative + other.negative,
        )

    @property
    def mean(self) -> Decimal:
        """The average value, with 15 significant digits."""
        return _rough.divide(self.total, self.conversions)


def _sum_of_cents(values: Sequence[float | Decimal]) -> Decimal | None:
    """Return the exact sum of values, computed in whole cents; None if a value has more decimals.

    This is faster than adding decimal numbers.
    """
    cents = [round(value * 100) for value in values]
    if [number / 100 for number in cents] != values:
        return None
    return Decimal(sum(cents)).scaleb(-2)


Amounts = dict[str, Amount]
"""Figures about the values of conversions, by currency; the empty text means no currency."""


def amounts_of(events: Sequence[Event]) -> dict[str, Amount]:
    """Return the figures of the values of events, by currency; empty means no currency."""
    values: defaultdict[str, list[float | Decimal]] = defaultdict(list)
    for event in events:
        purchase = event.purchase_data
        if purchase.value is not None:
            values[purchase.currency or ""].append(purchase.value)
    return {currency: Amount.of(of_currency) for currency, of_currency in values.items()}


def add_amounts(amounts: Amounts, more: Iterable[tuple[str, Amount]]) -> None:
    """Add the figures of further conversions.

    If there are already `MOST_CURRENCIES` currencies, a new currency is counted under `OTHERS`.
    """
    for currency, amount in more:
        if currency not in amounts and len(amounts) >= MOST_CURRENCIES:
            currency, amount = OTHERS, Amount(amount.conversions)  # noqa: PLW2901
        known = amounts.get(currency)
        amounts[currency] = amount if known is None else known + amount


class CurrencyFigures(msgspec.Struct):
    """The figures of an `Amount` for JSON.

    Attributes:
        currency: The currency; empty for values without a currency. After fifty currencies, the
            rest as `others`.
        conversions: How many conversions have a value.
        average_value: The average of the values.
        lowest_value: The lowest value.
        highest_value: The highest value.
        negative_values: How many of the values are below zero.
    """

    currency: str
    conversions: int
    average_value: Decimal
    lowest_value: Decimal
    highest_value: Decimal
    negative_values: int

    @property
    def words(self) -> str:
        """The figures in words: "2 conversions in EUR, average value 2.00, …"."""
        conversions = counted(self.conversions, "conversion")
        if self.currency == OTHERS:
            return f"{conversions} in other currencies"
        below = f", {self.negative_values:,} of them below zero" if self.negative_values else ""
        average, lowest, highest = (
            money(number, self.currency)
            for number in (self.average_value, self.lowest_value, self.highest_value)
        )
        return (
            f"{conversions} {money_in(self.currency)}, average value {average}, lowest value"
            f" {lowest}, highest value {highest}{below}"
        )


def currency_figures(amounts: Amounts) -> list[CurrencyFigures]:
    """Return the figures of each currency; the currency with the most conversions comes first."""
    figures = [
        CurrencyFigures(
            currency,
            amount.conversions,
            amount.mean,
            amount.lowest,
            amount.highest,
            amount.negative,
        )
        for currency, amount in amounts.items()
    ]
    return sorted(figures, key=lambda figure: (-figure.conversions, figure.currency))


def money(amount: float | Decimal, currency: str) -> str:
    """Return an amount with the decimals of its currency (ISO 4217): "12.345" in Kuwaiti dinars."""
    value = Decimal(amount)
    if value.adjusted() >= _HUGE_DIGITS:
        return f"{value:.3e}"
    return f"{value:,.{DECIMALS.get(currency, 2)}f}"


def money_in(currency: str) -> str:
    """Return words for a currency: "in EUR", "without a currency"."""
    return f"in {currency}" if currency else "without a currency"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: "1 record", "1,234 records"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
