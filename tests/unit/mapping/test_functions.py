"""The helper functions of expressions: null-safe, exact, and never guessing."""

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit_support import each_of, name_of

from target_liveintent.conversions.coerce import Unusable
from target_liveintent.mapping.functions import (
    amount,
    coalesce,
    excel_time,
    getter,
    is_true,
    local_time,
    lower,
    minor_units,
    number,
    parse_time,
    strip,
)
from target_liveintent.remarks import Shape, UnusableCause

RECORD: dict[str, Any] = {
    "customer": {"email": "ann@example.com", "name": None, "0": "zero"},
    "items": [{"sku": "A-1"}, None, []],
    "nothing": None,
    "": "no name",
}


NOTHING = (
    *("customer.name", "customer.name.first", "customer.email.0", "customer.phone", "nobody", ".."),
    *("items.1.sku", "items.2.0", "items.3", "items.-4", "items.sku", "items.\u0660"),
    *("items." + "9" * 5000, "nothing.at.all"),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("customer.email", "ann@example.com"),
        ("customer", RECORD["customer"]),
        ("customer.0", "zero"),
        ("items.0.sku", "A-1"),
        ("items.-3.sku", "A-1"),
        ("", "no name"),
        *((path, None) for path in NOTHING),
    ],
    ids=name_of,
)
def test_get_follows_a_path_to_what_is_there(path: str, value: Any) -> None:
    """A path leads to what is there, and to None where anything on the way is absent or null."""
    assert getter(RECORD)(path) == value


@each_of(
    "values, first",
    {
        "after blanks": ((None, "", " \t", "a", "b"), "a"),
        "no values": ((), None),
        "only blanks": ((None, ""), None),
        "zero": ((0, 1), 0),
        "false": ((False, 1), False),
        "empty list": (([], 1), []),
        "white space around": ((" a ",), " a "),
    },
)
def test_coalesce_gives_the_first_value_that_says_something(
    values: tuple[Any, ...], first: Any
) -> None:
    """The first that says something; 0 and false do."""
    assert coalesce(*values) == first


@each_of(
    "amount, currency, value",
    {
        "two decimals": (1250, "usd", "12.50"),
        "currency with white space": (1250, " EUR ", "12.50"),
        "no decimals": (1250, "JPY", "1250"),
        "no decimals, lower case": (1250, "krw", "1250"),
        "three decimals": (1250, "KWD", "1.250"),
        "three decimals, lower case": (1250, "bhd", "1.250"),
        "four decimals": (1250, "CLF", "0.1250"),
        "zero": (0, "usd", "0.00"),
        "negative": (-5, "usd", "-0.05"),
        "less than one unit": (7, "kwd", "0.007"),
        "whole decimal": (Decimal("1250.0"), "usd", "12.50"),
        "whole float": (1250.0, "usd", "12.50"),
        "text": ("1250", "usd", "12.50"),
        "negative text": (" -1250 ", "usd", "-12.50"),
        "largest int64": (2**63 - 1, "usd", "92233720368547758.07"),
    },
)
def test_minor_units_have_the_decimals_of_their_currency(
    amount: Any, currency: str, value: str
) -> None:
    """By the currency's own decimals, and exact to the last digit, also in JSON."""
    made = minor_units(amount, currency)
    assert str(made) == value
    assert msgspec.json.Encoder(decimal_format="number").encode(made) == value.encode()


NO_AMOUNTS: list[Any] = [
    *("x", "12.50", "9" * 19, True, [1], 12.5, Decimal("12.5"), 10**5000, math.inf, 2**63),
    *(-(2**63), Decimal("9E+999999999999")),
]
NO_CURRENCIES: list[Any] = [
    *(None, "", "USDT", "XYZ", "XAU", "XXX", "us", "dollars", "$", 840, ["USD"]),
    *("\uff35\uff33\uff24", "\u0131ls"),
]


@pytest.mark.parametrize(
    ("amount", "currency"),
    [*((one, "USD") for one in NO_AMOUNTS), *((1250, one) for one in NO_CURRENCIES)],
    ids=name_of,
)
def test_minor_units_guess_neither_amount_nor_currency(amount: Any, currency: Any) -> None:
    """Nothing is guessed: the value is left out, and the cause is known."""
    assert isinstance(minor_units(amount, currency), Unusable)


def why(value: Any) -> str:
    """Return why a helper cannot read a value, in words."""
    assert isinstance(value, Unusable)
    assert value.cause is not None
    return value.cause.words


@each_of(
    "amount",
    {
        "null": None,
        "empty": "",
        "space": " ",
        "null as text": "null",
        "NaN": math.nan,
        "decimal NaN": Decimal("NaN"),
    },
)
def test_minor_units_of_a_blank_amount_are_null(amount: Any) -> None:
    """Blank is not unreadable, whatever the currency is."""
    assert minor_units(amount, "USD") is None
    assert minor_units(amount, "x") is None


@each_of(
    "amount, currency, cause",
    {
        "fraction": (
            "134.37",
            "USD",
            "a value of the form 999.99 is not a whole number, but minor_units needs one",
        ),
        "no currency": (7, None, "minor_units cannot use the currency, because it is blank"),
        "unknown currency": (
            7,
            "euro",
            "minor_units cannot use the currency, because a value of the form x is not in ISO 4217",
        ),
    },
)
def test_minor_units_say_why_they_cannot_be_used(amount: Any, currency: Any, cause: str) -> None:
    """The cause shows how the value is written, and none of its data."""
    assert why(minor_units(amount, currency)) == cause


YES: list[Any] = [True, 1, 1.0, "1", "true", "TRUE", " t ", "yes", "Y"]
NO: list[Any] = [False, 0, 0.0, "0", "false", "F", "no", "n", None, "", " ", "null"]


@pytest.mark.parametrize("value", [*YES, *NO], ids=repr)
def test_is_true_reads_flags_that_are_texts(value: Any) -> None:
    """Text from CSV files means what it says; blank values are not true."""
    assert is_true(value) is any(value is one for one in YES)


@pytest.mark.parametrize("value", ["maybe", 2, "2", [1], "10"], ids=repr)
def test_is_true_fails_for_a_value_that_is_no_flag(value: Any) -> None:
    """Nothing is guessed: the expression fails, which rejects the record."""
    with pytest.raises(ValueError, match="is_true can read"):
        is_true(value)


@each_of(
    "serial",
    {"float": 46354.67, "text": "46354.67", "decimal": Decimal("46354.67")},
)
def test_excel_time_counts_days_as_excel_does(serial: Any) -> None:
    """Days since 1899-12-30, as Excel counts them, with the time as the fraction."""
    assert excel_time(serial) == dt.datetime(2026, 11, 28, 16, 4, 48)  # noqa: DTZ001 (local)
    assert excel_time(None) is None
    assert excel_time(36526) == dt.datetime(2000, 1, 1)  # noqa: DTZ001 (local)


@pytest.mark.parametrize("value", [36525, 73051, "x", True, "2026-11-28", math.inf])
def test_excel_time_reads_only_serial_numbers_of_this_century(value: Any) -> None:
    """Only serial numbers of this century are times."""
    assert isinstance(excel_time(value), Unusable)


@each_of(
    "value, form",
    {
        "digits in a text": ("20261128160448", "%Y%m%d%H%M%S"),
        "integer": (20261128160448, "%Y%m%d%H%M%S"),
        "German form, white space around": (" 28.11.2026 16:04:48 ", "%d.%m.%Y %H:%M:%S"),
    },
)
def test_parse_time_reads_only_times_of_its_form(value: Any, form: str) -> None:
    assert parse_time(value, form) == dt.datetime(2026, 11, 28, 16, 4, 48)  # noqa: DTZ001 (local)
    assert parse_time("", form) is None
    cause = f"a value of the form 99/99 does not have the form {form}"
    assert why(parse_time("28/11", form)) == cause


NOON = dt.datetime(2026, 8, 1, 12)  # noqa: DTZ001 (a time without a zone)


@each_of(
    "value, wanted",
    {
        "UTC offset": ("2026-08-01T12:00:00+00:00", "2026-08-01T12:00:00"),
        "fraction of a second": ("2026-08-01T12:00:00.617280+00:00", "2026-08-01T12:00:00.617280"),
        "offset of hours, short fraction": (
            "2026-08-01 12:00:00.61728+00",
            "2026-08-01 12:00:00.61728",
        ),
        "no seconds, no colon": ("2026-08-01 12:00+0000", "2026-08-01 12:00"),
        "negative zero offset": ("2026-08-01T12:00:00-00:00", "2026-08-01T12:00:00"),
        "white space around Z": (" 2026-08-01t12:00:00 Z\n", "2026-08-01t12:00:00"),
        "small Z": ("2026-08-01T12:00:00z", "2026-08-01T12:00:00"),
        "datetime in UTC": (NOON.replace(tzinfo=dt.timezone.utc), NOON),
        # What is not marked as UTC stays: another offset is known to be right.
        "null": (None, None),
        "empty": ("", ""),
        "no zone": ("2026-08-01T12:00:00", "2026-08-01T12:00:00"),
        "offset to the east": ("2026-08-01T12:00:00+02:00", "2026-08-01T12:00:00+02:00"),
        "date only": ("2026-08-01", "2026-08-01"),
        "offset to the west": ("2026-08-01T12:00:00-04:00", "2026-08-01T12:00:00-04:00"),
        "offset of half an hour": ("2026-08-01T12:00:00+00:30", "2026-08-01T12:00:00+00:30"),
        "no such day": ("2026-08-00", "2026-08-00"),
        "list": ([1], [1]),
        "no time, but Z": ("a day in May, Z", "a day in May, Z"),
        "Unix time": (1_785_600_000, 1_785_600_000),
        "datetime without zone": (NOON, NOON),
        "date object": (dt.date(2026, 8, 1), dt.date(2026, 8, 1)),
        "datetime to the east": (
            NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
            NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
        ),
    },
)
def test_local_time_removes_only_the_mark_of_utc(value: Any, wanted: Any) -> None:
    """The mark of UTC is taken away, in all forms in which taps write it, and nothing else is."""
    made = local_time(value)
    assert (made, type(made)) == (wanted, type(wanted))


@each_of(
    "read, value, wanted",
    {
        # Without another decimal sign it is a comma, and numbers stay as they are.
        "decimal comma": (amount, "1.234,50", Decimal("1234.50")),
        "decimal point, as asked": (
            lambda text: amount(text, decimal="."),
            "1,234.50",
            Decimal("1234.50"),
        ),
        "null as amount": (amount, None, None),
        "integer as amount": (amount, 7, 7),
        "decimal as amount": (amount, Decimal("1.50"), Decimal("1.50")),
        "number as text": (number, "12", 12),
        "number": (number, 12, 12),
        "blank number": (number, " ", None),
        # What cannot be read is no null: an event that goes without it counts the column.
        "unusable as text": (lambda text: str(amount(text)), "12.50", "unusable"),
        "point instead of comma": (
            amount,
            "12.50",
            Unusable(UnusableCause("no_decimal_comma", Shape("99.99"))),
        ),
        "comma in a number": (number, "12,5", Unusable(UnusableCause("not_number", Shape("99,9")))),
    },
)
def test_amount_and_number_read_their_decimal_sign(
    read: Callable[[Any], Any], value: Any, wanted: Any
) -> None:
    assert read(value) == wanted


@each_of(
    "value",
    {"null": None, "number": 5, "list": [1]},
)
def test_lower_and_strip_change_only_texts(value: Any) -> None:
    assert (lower(" Ab "), strip(" Ab ")) == (" ab ", "Ab")
    assert (lower(value), strip(value)) == (value, value)
