"""Helper functions for the expressions of stream maps. They accept null, and never guess.

docs/reference/expressions.md quotes the docstrings of these functions.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from target_liveintent.conversions import coerce
from target_liveintent.conversions.coerce import UNUSABLE, Unusable, cause_of, shape
from target_liveintent.remarks import UnusableCause

_INDEX = re.compile(r"-?\d{1,9}", re.ASCII)
_UTC_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d[\d:.,]*)\s?(?:[Zz]|[+-]00(?::?00)?)", re.ASCII
)
_INT64 = 2**63
_EXCEL_DAY_0 = dt.datetime(1899, 12, 30)  # noqa: DTZ001 (a local time)
_EXCEL_2000, _EXCEL_2100 = 36_526, 73_051


def walk(value: Any, steps: Iterable[str]) -> Any:
    """Return the value inside another value, after steps through objects and lists.

    Each step is the key of an object, or an index of a list. The result is None if any step leads
    to nothing.
    """
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step):
            index = int(step)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def getter(record: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return the function `get` for a record; `get` raises an error if a path is not text."""

    def get(path: str) -> Any:
        """Return the value at a path through objects and lists.

        Write the path in quotes, with dots: `get('customer.email')`, `get('items.0.sku')`. If any
        part of the path is absent or null, the result is null.
        """
        return walk(record, path.split("."))

    return get


def coalesce(*values: Any) -> Any:
    """Return the first argument that is neither null nor blank text; null if all arguments are."""
    for value in values:
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return value
    return None


def minor_units(amount: Any, currency: Any) -> Decimal | Unusable | None:
    """Convert a whole number of minor units, such as cents, to an amount of the currency.

    The currency decides the number of decimals (ISO 4217): 1250 becomes `12.50` in USD, `1250` in
    JPY and `1.250` in KWD. If the amount is not a whole number, or the currency cannot be read, the
    event is sent without this value, and the run counts the missing value.
    """
    number = coerce.read_amount(amount, ".")
    if number is None:
        return None
    if isinstance(number, Unusable) or not -_INT64 < number < _INT64 or number % 1:
        return Unusable(UnusableCause("not_whole", shape(amount)))
    code = coerce.currency_code(currency)
    if not isinstance(code, str):
        is_blank = code is None
        return Unusable(
            UnusableCause("blank_currency")
            if is_blank
            else UnusableCause("unknown_currency", shape(currency))
        )
    # A Decimal made from text is exact, regardless of the precision of the context.
    return Decimal(f"{int(number)}E-{coerce.DECIMALS[code]}")


def local_time(value: Any) -> Any:
    """Remove `Z` or `+00:00` from a time, so that the time is in the zone of `timezone`.

    Use this function for taps that mark local times as UTC, as tap-postgres does for columns of the
    type `timestamp`. All other values stay unchanged, including times with other offsets.
    """
    if isinstance(value, str):
        found = _UTC_TIME.fullmatch(value.strip())
        return found[1] if found else value
    is_utc = isinstance(value, dt.datetime) and value.utcoffset() == dt.timedelta(0)
    return value.replace(tzinfo=None) if is_utc else value


def amount(value: Any, decimal: str = ",") -> Any:
    """Convert text with a decimal comma to a number: `1.234,50`, `1 234,50`, `12,50 €`.

    With `decimal='.'`, the function converts text with a decimal point: `1'234.50`. A number stays
    unchanged; blank text becomes null. If a text cannot be read, the event is sent without this
    value, and the run counts the missing value.
    """
    read = coerce.read_amount(value, decimal)
    if read is UNUSABLE:
        code = "no_decimal_comma" if decimal == "," else "not_number"
        return Unusable(cause_of(value, code))
    return read


def number(value: Any) -> Any:
    """Convert text with a decimal point to a number, for comparisons: `number(get('total')) > 0`.

    A number stays unchanged; blank text becomes null.
    """
    return amount(value, ".")


def is_true(value: Any) -> bool:
    """Return whether a value means yes: true, 1, or one of the texts `true`, `yes`, `t`, `y`, `1`.

    False, 0, the texts `false`, `no`, `f`, `n`, `0`, and blank values mean no. The expression fails
    for all other values. Use this function for CSV files, where every value is text: without
    `is_true`, the text `0` counts as true.
    """
    meaning = coerce.flag(value)
    if meaning is UNUSABLE:
        msg = "is_true can read only true/false, yes/no, t/f, y/n, 1/0 and blank values"
        raise ValueError(msg)
    return meaning == 1


def excel_time(value: Any) -> Any:
    """Convert a serial number of Excel, such as `46354.67`, to a time in the zone of `timezone`.

    A number outside the years from 2000 to 2099 is an unreadable time.
    """
    days = amount(value, ".")
    if days is None:
        return None
    if isinstance(days, Unusable) or not _EXCEL_2000 <= days < _EXCEL_2100:
        return Unusable(UnusableCause("not_excel_time", shape(value)))
    return _EXCEL_DAY_0 + dt.timedelta(seconds=round(float(days) * 86_400))


def parse_time(value: Any, form: str) -> Any:
    """Read a time that is not in ISO 8601: `parse_time(date, '%d.%m.%Y %H:%M')`.

    The form consists of Python's
    [format codes](https://docs.python.org/3/library/datetime.html#format-codes):
    `'%Y%m%d%H%M%S'` reads `20261128150428`. If the form has no zone, `timezone` applies.
    """
    plain = coerce.text(value)
    if plain is None:
        return None
    try:
        return dt.datetime.strptime(str(plain), form)  # noqa: DTZ007 (the setting `timezone` applies)
    except ValueError:
        return Unusable(UnusableCause("other_form", shape(value), form))


def lower(value: Any) -> Any:
    """Convert text to lower case. Any other value, including null, stays unchanged."""
    return value.lower() if isinstance(value, str) else value


def strip(value: Any) -> Any:
    """Remove the white space around text. Any other value stays unchanged."""
    return value.strip() if isinstance(value, str) else value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(getter({}), coalesce, minor_units, amount, number, is_true, parse_time, excel_time),
        *(local_time, lower, strip),
    )
}
"""The helper functions by name, in the order of the documentation."""
