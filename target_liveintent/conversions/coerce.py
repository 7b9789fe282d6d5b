"""What a tap sends, coerced to what the API takes: one pure function a type, never an exception.

Each function answers with the coerced value, with None where the column says nothing, or with
`UNUSABLE` where it says something that cannot be read. Nothing is guessed.
"""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import math
import re
import socket
import unicodedata
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class _Unusable(enum.Enum):
    """The type of `UNUSABLE`."""

    UNUSABLE = "unusable"


UNUSABLE: Final = _Unusable.UNUSABLE
Unusable = Literal[_Unusable.UNUSABLE]

SOURCES = ("web", "app", "offline")

# A stream map's str(null) is the text None; taps write null and NaN.
_NOTHING = frozenset({"", "None", "null", "NULL", "NaN", "nan"})
_LONGEST_NOTHING = max(map(len, _NOTHING))
_INT64 = 2**63
_LONGEST_ID_BITS = 128
LONGEST_TEXT = 8_192
"""Characters of a value that is taken for one: no order ID, page or browser is that long."""
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?(Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_DAY = 86_400
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_AMOUNT = re.compile(
    r"([+-]?)(\D?)\s?([+-]?)((?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ZERO_UUID = str(uuid.UUID(int=0))
_CURRENCY_LENGTH = 3
_FLAGS = {"true": 1, "1": 1, "false": 0, "0": 0}
# Unix times by size: seconds up to the year 5138, then milliseconds, then microseconds.
_UNITS = ((10**11, 1), (10**14, 1_000), (10**17, 1_000_000))


def text(value: Any) -> str | Unusable | None:  # noqa: PLR0911 (a table of types)
    """Any scalar as text: `1007.0` as `1007`. Lists, objects and lone surrogates are unusable."""
    if isinstance(value, str):
        stripped = value.strip()
        length = len(stripped)
        if length <= _LONGEST_NOTHING and stripped in _NOTHING:  # (Hashing a page takes a while.)
            return None
        if length > LONGEST_TEXT:
            return UNUSABLE
        return stripped if stripped.isascii() or _encodes(stripped) else UNUSABLE
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() < _LONGEST_ID_BITS else UNUSABLE
    if isinstance(value, (float, Decimal)):
        return _number_text(value)
    if isinstance(value, (dt.date, uuid.UUID)):
        return value.isoformat() if isinstance(value, dt.date) else str(value)
    return UNUSABLE


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number_text(value: float | Decimal) -> str | Unusable | None:
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if number.is_nan():
        return None
    if not number.is_finite() or not -38 < number.adjusted() < 38:  # noqa: PLR2004 (128 bits)
        return UNUSABLE
    return str(int(number)) if number == number.to_integral_value() else format(number, "f")


def unix_time(value: Any, zone: dt.tzinfo) -> int | Unusable | None:  # noqa: PLR0911 (a table)
    """A moment as whole Unix seconds, rounded down.

    Args:
        value: ISO 8601 text in the forms that taps send, a datetime or date, or Unix seconds,
            milliseconds or microseconds as a number or as text.
        zone: The zone of times that bring none; a date is its midnight there.
    """
    if isinstance(value, str):
        if not value[26:27].isdigit():  # A seventh digit would be rounded here, and not cut.
            try:  # C code that reads the same as the pattern, at a fifth of the time.
                passed = msgspec.convert(value, dt.datetime) - _EPOCH
            except (msgspec.ValidationError, UnicodeError, TypeError):  # (TypeError: no zone.)
                pass
            else:
                return passed.days * _DAY + passed.seconds
        return _time_of_text(value.strip(), zone)
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return _seconds(value, zone)
    if isinstance(value, dt.date):
        return _seconds(dt.datetime(value.year, value.month, value.day), zone)  # noqa: DTZ001
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return UNUSABLE
    return _time_of_number(value)


def _time_of_text(value: str, zone: dt.tzinfo) -> int | Unusable | None:
    if value in _NOTHING:
        return None
    if found := _TIME.fullmatch(value):
        year, month, day, hour, minute, second, fraction, offset = found.groups()
        try:
            moment = dt.datetime(  # noqa: DTZ001 (the zone follows)
                int(year),
                int(month),
                int(day),
                int(hour or 0),
                int(minute or 0),
                int(second or 0),
                int((fraction or "0")[:6].ljust(6, "0")),
            )
            return _seconds(moment.replace(tzinfo=_offset(offset)) if offset else moment, zone)
        except ValueError:
            return UNUSABLE
    return _time_of_number(Decimal(value)) if _NUMBER.fullmatch(value) else UNUSABLE


def _offset(text_: str) -> dt.timezone:
    if text_ in "Zz":
        return dt.timezone.utc
    digits = text_[1:].replace(":", "").ljust(4, "0")
    gap = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return dt.timezone(-gap if text_[0] == "-" else gap)


def _seconds(moment: dt.datetime, zone: dt.tzinfo) -> int | Unusable:
    try:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return math.floor(aware.timestamp())
    except (OverflowError, ValueError):  # The year 1 or 9999 shifted out of the calendar.
        return UNUSABLE


def _time_of_number(value: float | Decimal) -> int | Unusable | None:
    if _is_nan(value):
        return None
    for limit, unit in _UNITS:
        if 0 < value < limit:
            return int(value // unit)
    return UNUSABLE


def _is_nan(value: float | Decimal) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float) and math.isnan(value)


def amount(value: Any) -> float | Decimal | Unusable | None:
    """A finite number that keeps its digits: `"$12.50"`, `"1,234.50"`, but not `"12,50"`."""
    if isinstance(value, str):
        return _amount_of_text(value.strip())
    if isinstance(value, float) and math.isfinite(value):
        return value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return UNUSABLE
    return None if _is_nan(value) else _finite(value)


def _amount_of_text(value: str) -> float | Decimal | Unusable | None:
    if value in _NOTHING:
        return None
    found = _AMOUNT.fullmatch(value)
    if found is None:
        return UNUSABLE
    sign, symbol, inner_sign, digits = found.groups()
    if (sign and inner_sign) or (symbol.strip() and unicodedata.category(symbol) != "Sc"):
        return UNUSABLE
    return _finite(Decimal((sign or inner_sign) + digits.replace(",", "")))


def _finite(value: float | Decimal) -> float | Decimal | Unusable:
    """The number, if a JSON reader that uses doubles can hold it."""
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        return UNUSABLE
    if not finite:
        return UNUSABLE
    # The JSON encoder takes integers of 64 bits only.
    return Decimal(value) if isinstance(value, int) and abs(value) >= _INT64 else value


def positive_integer(value: Any) -> int | Unusable | None:
    """An integer of 1 to 2^63-1, also where it comes as `44489.0` or as text."""
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    whole = plain.removesuffix(".0")
    if whole.isascii() and whole.isdigit() and 0 < int(whole[:20]) < _INT64:
        return int(whole)
    return UNUSABLE


def source(value: Any) -> str | Unusable | None:
    """`web`, `app` or `offline`, in any case."""
    if isinstance(value, str) and value in SOURCES:
        return value
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    return plain.lower() if plain.lower() in SOURCES else UNUSABLE


def currency(value: Any) -> str | Unusable | None:
    """Three letters, upper-cased."""
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    if len(plain) == _CURRENCY_LENGTH and plain.isascii() and plain.isalpha():
        return plain.upper()
    return UNUSABLE


def ip(value: Any) -> str | Unusable | None:
    """An IPv4 or IPv6 address; `::ffff:1.2.3.4` as IPv4."""
    if isinstance(value, str):
        try:  # The usual case, at a tenth of what the parser in Python below costs.
            socket.inet_pton(socket.AF_INET, value)
        except (OSError, ValueError):
            pass
        else:
            return value
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return UNUSABLE
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return UNUSABLE
        return str(address.ipv4_mapped or address)
    return str(address)


def device_id(value: Any) -> str | Unusable | None:
    """A UUID as it came; the all-zero one, which phones send for "no tracking", is nothing."""
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    if not _UUID.fullmatch(plain):
        return UNUSABLE
    return None if plain == _ZERO_UUID else plain


def flag(value: Any) -> int | Unusable | None:
    """A boolean, 0, 1, or text of these, as 0 or 1."""
    plain = text(value)
    if not isinstance(plain, str):
        return plain
    return _FLAGS.get(plain.lower(), UNUSABLE)


def decision_id_of_url(url: str) -> str | None:
    """The UUID of a `li_did` parameter.

    Inferred: LiveIntent's own pixel keeps `li_did` of a click's URL under the name "decision id".
    """
    if "li_did=" not in url:
        return None
    try:
        found = parse_qs(urlsplit(url).query).get("li_did", [])
    except ValueError:
        return None
    return next((value for value in found if _UUID.fullmatch(value)), None)


_GRANTED = frozenset({"true", "1", "yes", "granted"})


def consent(value: Any) -> bool:
    """Whether consent is given: true, 1, `yes` or `granted`; everything else is a no."""
    plain = text(value)
    return isinstance(plain, str) and plain.lower() in _GRANTED


OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "ip": ip,
    "user_agent": text,
    "idfa": device_id,
    "aaid": device_id,
    "tracking_enabled": flag,
    "currency": currency,
    "value": amount,
    "order_id": text,
    "source_url": text,
    "app_bundle": text,
    "decision_id": text,
}
"""The optional columns: what is null, empty or unusable is left out, never sent as null."""
