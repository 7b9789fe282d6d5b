"""What conversions are worth, by currency: how many, their sum, lowest and highest value.

A wrong unit shows in these figures: cents that were taken for euros make a high average.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext

import msgspec

from target_liveintent.conversions import exact

MOST_CURRENCIES = 50
"""Currencies that are told apart: a currency is any three letters."""
OTHERS = "others"
"""Stands for all further currencies, of which only the number of conversions is known."""
_HUGE = Decimal(10) ** 15
_SMALL = Decimal("0.01")
_LEAST_POWER, _MOST_POWER = -9, 15
"""Amounts below and above these powers of ten are not money."""
_MOST_DIGITS = 30
_MOST_CENTS = 10**12
"""Amounts below this have at most 15 digits with their cents."""
_digits = Context(prec=100)
"""Exact, because no sum of amounts has so many digits."""
_rough = Context(prec=15)
"""Rounds off the digits of an average that are too small for money."""


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """The values of conversions in one currency.

    Attributes:
        conversions: How many there are.
        total: Their exact sum.
        negative: How many of them are below zero.
    """

    conversions: int
    total: Decimal = Decimal(0)
    lowest: Decimal = Decimal(0)
    highest: Decimal = Decimal(0)
    negative: int = 0

    @classmethod
    def of(cls, values: Sequence[float | Decimal]) -> Amount:
        """Return the figures of at least one value."""
        lowest, highest = exact(min(values)), exact(max(values))
        negative = sum(value < 0 for value in values) if lowest < 0 else 0
        total = None
        if lowest > -_MOST_CENTS and highest < _MOST_CENTS:
            total = _sum_of_cents(values)
        if total is None:
            with localcontext(_digits):
                total = sum(map(exact, values), Decimal(0))
        return cls(len(values), total, lowest, highest, negative)

    def __add__(self, other: Amount) -> Amount:
        """Return the figures of both together."""
        return Amount(
            self.conversions + other.conversions,
            _digits.add(self.total, other.total),
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.negative + other.negative,
        )

    @property
    def mean(self) -> Decimal:
        """The average value, not rounded."""
        return _digits.divide(self.total, self.conversions)

    @property
    def average(self) -> Decimal:
        """The average value, rounded to two decimals; if it is small, to two significant digits."""
        mean = self.mean
        if abs(mean) >= _HUGE:
            return _rough.plus(mean).normalize()
        places = Decimal(f"{mean:.1e}") if 0 < abs(mean) < _SMALL else _SMALL
        return mean.quantize(places, context=_digits)


def _sum_of_cents(values: Sequence[float | Decimal]) -> Decimal | None:
    """Return the exact sum of floats with at most two decimals, in a third of the time.

    It is None for other values. A float that equals a number of cents divided by 100 is what these
    digits are read as; floats tell 15 digits apart.
    """
    cents = [round(value * 100) for value in values]
    if [number / 100 for number in cents] != values:
        return None
    return Decimal(sum(cents)).scaleb(-2)


Amounts = dict[str, Amount]
"""The values of conversions by currency; the empty text stands for none."""


def add_amounts(amounts: Amounts, more: Iterable[tuple[str, Amount]]) -> None:
    """Add the values of further conversions, whose number of currencies is not limited."""
    for currency, amount in more:
        if currency not in amounts and len(amounts) >= MOST_CURRENCIES:
            currency, amount = OTHERS, Amount(amount.conversions)  # noqa: PLW2901
        known = amounts.get(currency)
        amounts[currency] = amount if known is None else known + amount


class CurrencyFigures(msgspec.Struct):
    """The values of conversions in one currency, for JSON; amounts are exact, as text.

    Attributes:
        currency: Three letters, empty without a currency.
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
        if self.currency == OTHERS:
            return f"{counted(self.conversions, 'conversion')} in other currencies"
        money = f"in {self.currency}" if self.currency else "without a currency"
        below = self.negative_values
        negative = f", {below:,} of them below zero" if below else ""
        return (
            f"{counted(self.conversions, 'conversion')} {money},"
            f" average value {amount_words(self.average_value)},"
            f" lowest value {amount_words(self.lowest_value)},"
            f" highest value {amount_words(self.highest_value)}{negative}"
        )


def currency_figures(amounts: Amounts) -> list[CurrencyFigures]:
    """Return the figures of each currency, those of the most conversions first."""
    found = [
        CurrencyFigures(name, one.conversions, one.average, one.lowest, one.highest, one.negative)
        for name, one in amounts.items()
    ]
    return sorted(found, key=lambda one: (-one.conversions, not one.currency, one.currency))


def amount_words(number: Decimal) -> str:
    """Return an amount with its digits, at least two after the point, or in powers of ten."""
    if not number:
        return "0.00"
    # (`abs` would round; a number such as 1E-999999999 must not be written out.)
    if not _LEAST_POWER <= number.adjusted() < _MOST_POWER:
        return f"{number:.3e}"
    rounded, whole = f"{number:,.2f}", f"{number:,f}"
    says_all = Decimal(rounded.replace(",", "")) == number
    return rounded if says_all or len(whole) > _MOST_DIGITS else whole


def counted(count: int, noun: str) -> str:
    """Return a number of things: "1 record", "1,234 records"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
