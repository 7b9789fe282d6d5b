"""The values of conversions by currency: exact, in plain words, and with a word of warning."""

import pickle
from decimal import Decimal
from typing import Any

import pytest
from unit_support import conversion, order

from target_liveintent.conversions.amounts import (
    MOST_CURRENCIES,
    OTHERS,
    Amount,
    Amounts,
    CurrencyFigures,
    counted,
    currency_figures,
    money,
)
from target_liveintent.conversions.coerce import DECIMALS
from target_liveintent.run.counts import StreamCounts, add


def delivered(*records: dict[str, Any]) -> StreamCounts:
    """The figures of the conversions that mapped records give."""
    counts = StreamCounts()
    events = [conversion(order(**record)).event for record in records]
    counts.count_delivered(events, [event.event_time for event in events])
    return counts


def amounts(*records: dict[str, Any]) -> Amounts:
    """The values of the conversions that mapped records give."""
    return delivered(*records).values


def of(currency: str, *values: Any) -> list[dict[str, Any]]:
    return [{"value": value, "currency": currency} for value in values]


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 record"), (1_234, "1,234 records")],
    ids=["one record", "more than a thousand"],
)
def test_counted(count: int, words: str) -> None:
    assert counted(count, "record") == words


def test_figures() -> None:
    """Each currency has how many conversions, their average, the lowest and the highest value."""
    found = currency_figures(
        amounts(*of("usd", "1e4", 2.5, -3, *[0] * 3), *of("EUR", "7.25"), {"value": 5}, {})
    )
    assert found == [
        CurrencyFigures("USD", 6, Decimal("1666.58333333333"), Decimal(-3), Decimal("1E+4"), 1),
        CurrencyFigures("", 1, *[Decimal(5)] * 3, 0),
        CurrencyFigures("EUR", 1, *[Decimal("7.25")] * 3, 0),
    ]
    ends = "lowest value -3.00, highest value 10,000.00"
    assert [one.words for one in found if one.currency] == [
        f"6 conversions in USD, average value 1,666.58, {ends}, 1 of them below zero",
        "1 conversion in EUR, average value 7.25, lowest value 7.25, highest value 7.25",
    ]
    assert found[1].words.startswith("1 conversion without a currency, average value 5.00, lowest")


def test_batches_add_up() -> None:
    """The figures of batches are those of all their conversions together, refunds included.

    The total of a run is added up every second, and its streams stay as they are.
    """
    records = [*of("USD", 5, "1.5"), *of("EUR", -1), *of("USD", -9, 0.5), *of("EUR", 7), *of("", 3)]
    one, two = delivered(*records[:3]), delivered(*records[3:])
    assert add(StreamCounts(), one, two) == delivered(*records)
    assert (one, two) == (delivered(*records[:3]), delivered(*records[3:]))
    assert one.values["USD"].total == Decimal("6.5")
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 (Spark's tasks send it)


def test_sums_are_exact() -> None:
    """Amounts of any size are added up to the last digit."""
    small, large = (delivered(*of("USD", n)).values["USD"] for n in ("0.00000001", "1e30"))
    assert (small + large).total - large.total == small.total == Decimal("1e-8")
    assert delivered(*of("USD", 0.125, 2, "-0.0001")).values["USD"].total == Decimal("2.1249")


def test_many_currencies() -> None:
    """Fifty are told apart; of further ones, only the number of conversions is known."""
    names = sorted(DECIMALS)[:64]
    found = delivered(*(one for name in names for one in of(name, 1, 1))).values
    assert len(found) == MOST_CURRENCIES + 1
    assert found[OTHERS] == Amount(2 * (len(names) - MOST_CURRENCIES))
    rest = next(one for one in currency_figures(found) if one.currency == OTHERS)
    assert rest.words == f"{2 * (len(names) - MOST_CURRENCIES)} conversions in other currencies"


@pytest.mark.parametrize(
    ("values", "average"),
    [
        pytest.param([0.1] * 10, "0.10", id="floats that are not exact"),
        pytest.param(["0.1", 0.2, 1], "0.43", id="texts, floats and integers together"),
        pytest.param([1e308, 1e308], "1.000e+308", id="a sum beyond any float"),
        pytest.param(["0.004", "0.005"], "0.00", id="rounded to zero"),
        pytest.param([0, 0], "0.00", id="zeros"),
        pytest.param([Decimal("1E-999999999"), 2], "1.00", id="a number close to zero"),
        pytest.param(["9999.994"], "9,999.99", id="commas from a thousand on"),
        pytest.param(["-1234567890123.6"], "-1,234,567,890,123.60", id="a negative value"),
        pytest.param([10**15], "1.000e+15", id="so many digits"),
    ],
)
def test_averages(values: list[Any], average: str) -> None:
    """Numbers of all types are added without loss; none is too large or too small for words."""
    (found,) = currency_figures(amounts(*of("USD", *values)))
    assert money(found.average_value, "USD") == average


@pytest.mark.parametrize(
    ("currency", "value", "words"),
    [("JPY", 4168, "4,168"), ("KWD", "12.3450", "12.345"), ("EUR", 12_000, "12,000.00")],
    ids=["no decimals", "three decimals", "two decimals"],
)
def test_decimals_of_a_currency(currency: str, value: Any, words: str) -> None:
    """The log and `explain` show as many as ISO 4217 says."""
    (found,) = currency_figures(amounts(*of(currency, value)))
    said = ", ".join(f"{which} value {words}" for which in ("average", "lowest", "highest"))
    assert found.words == f"1 conversion in {currency}, {said}"


def test_usual_amounts_are_added_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of amounts with cents, only the lowest and the highest become exact numbers one by one."""
    made: list[float] = []
    monkeypatch.setattr(
        "target_liveintent.conversions.amounts.exact", lambda one: made.append(one) or one
    )
    assert Amount.of([12.25, 0.1, 99.99]).total == Decimal("112.34")
    assert made == [0.1, 99.99]
