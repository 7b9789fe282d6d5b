"""Converts the values of a tap to values that the API accepts: one pure function for each type.

A coercion returns the value to send, None for an empty value, or `UNUSABLE` for a value that cannot
be read. A coercion never guesses, and no value makes it raise an exception. `FIELDS` in fields.py
says which coercion a column has.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import pathlib
import re
import socket
import unicodedata
import uuid
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from target_liveintent.conversions.event_model import DAY, WINDOWS
from target_liveintent.files import word_table
from target_liveintent.privacy.characters import INVISIBLE_CHARACTERS
from target_liveintent.privacy.identity import is_placeholder
from target_liveintent.privacy.redaction import LONGEST_TEXT
from target_liveintent.remarks import Shape, UnusableCause


@dataclasses.dataclass(frozen=True)
class Unusable:
    """The result for a value that cannot be read, or that no event can have.

    Attributes:
        cause: Why a helper of expressions cannot read the value. A coercion gives no cause, because
            `FIELDS` has the code of the cause for each column.
    """

    cause: UnusableCause | None = None

    def __str__(self) -> str:
        """Return the text that a dead letter contains in place of the value."""
        return "unusable"

    def __bool__(self) -> bool:
        """Raise a `ValueError`: a filter must not treat an unreadable value as true or false."""
        msg = "a value that cannot be read is neither true nor false"
        raise ValueError(msg)


UNUSABLE: Final = Unusable()


def shape(value: Any) -> Shape:
    """Return the form of a value without the data: each digit becomes 9, and each word becomes x.

    The shape of a boolean, a list, an object or a huge number is only the name of the type.
    """
    is_huge = isinstance(value, int) and value.bit_length() > _LONGEST_ID_BITS
    if is_huge or isinstance(value, (bool, dict, list, tuple)):
        return Shape(type=type(value).__name__)
    plain = re.sub(r"[^\W\d_]+", "x", re.sub(r"\d", "9", str(value)[:LONGEST_TEXT].strip()))
    cut = plain if len(plain) <= _LONGEST_SHAPE else f"{plain[:_LONGEST_SHAPE]}…"
    return Shape("".join(c if c.isprintable() else "?" for c in cut))


def cause_of_source(value: Any) -> UnusableCause | None:
    """Return why a value of `source` cannot be used; None if the record has no value.

    The cause contains the value if it is a word, such as `pos` or `in-store`. For any other value,
    such as a full name, the cause contains only the shape.
    """
    plain = text(value)
    if plain is None:
        return None
    is_word = isinstance(plain, str) and _SHORT_WORD.fullmatch(plain)
    return (
        UnusableCause("other_source", fact=str(plain)) if is_word else cause_of(value, "not_source")
    )


def cause_of(value: Any, code: str) -> UnusableCause:
    """Return why a value cannot be used: the cause from a helper, or else a cause of this code."""
    if isinstance(value, Unusable) and value.cause is not None:
        return value.cause
    return UnusableCause(code, shape(value))


# Texts that stand for null: a stream map's str(null) is `None`; taps write `null` and `NaN`.
_EMPTY_TEXTS = frozenset({"", "None", "null", "NULL", "NaN", "nan"})
_INFINITE_TEXTS = frozenset({"Infinity", "-Infinity", "inf", "-inf"})
"""How programs write infinite numbers. No column can have such a text."""
_LONGEST_SHAPE = 24
_SHORT_WORD = re.compile(r"[^\W\d]{1,40}(?:-[^\W\d]{1,40})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INT64 = 2**63
_LONGEST_ID_BITS = 128
_WHOLE = re.compile(r"0*(\d{1,19})(?:\.0)?", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?(?:([Zz])|([+-]\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_AMOUNT = re.compile(
    r"([+-]?)(\D?)\s?([+-]?)((?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)",
    re.ASCII,
)
_SPACED_THOUSANDS = re.compile(r"(?<=\d)[ '\u2019](?=\d)", re.ASCII)
_SPACES: dict[int, Any] = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2212": "-"})
_DECIMAL_SIGNS = {".": _SPACES, ",": _SPACES | str.maketrans(",.", ".,")}
UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NOT_IN_DECISION_ID = re.compile(rf"[\s{{}}{INVISIBLE_CHARACTERS}]|%%")
"""Matches white space, invisible characters, and signs of a placeholder that was not replaced."""
_LI_DID = re.compile(  # (A pattern that begins with a plain text is fast.)
    rf"li_did=(?<![^?&;#/ ]li_did=)(?:({UUID_FORM.pattern})(?![\w.-]))?", re.ASCII
)
"""Matches the parameter `li_did`, with its value if this is a UUID, but not `old_li_did`."""
_LEVELS = 5
"""How many levels of encoding in a URL are searched. The first level is the URL itself."""
DECIMALS = {
    code: int(exponent)
    for exponent, codes in word_table(pathlib.Path(__file__).with_name("currencies.txt")).items()
    for code in codes
}
"""The number of decimals of each currency of ISO 4217."""
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), 1),
    **dict.fromkeys(("false", "f", "no", "n", "0"), 0),
}
_UNITS = (1, 1_000, 1_000_000)
"""The numbers of seconds, milliseconds and microseconds in a second."""
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
"""The beginning of these years in Unix seconds. A number that is outside of these years in every
unit is not a Unix time."""


_NOT_PUBLIC = re.compile(
    r"(?:0|10|127|22[4-9]|2[3-5][0-9])[.]|192[.](?:0[.]0|168)[.]|169[.]254[.]"
    r"|172[.](?:1[6-9]|2[0-9]|3[01])[.]|100[.](?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]"
)
"""Matches IPv4 addresses that are not public according to IANA. Proxies, tills and offices
have such addresses, which do not distinguish buyers. Addresses for documentation are accepted."""
_PUBLIC_IPV6 = 0b001
"""The first three bits of all public IPv6 addresses, 2000::/3, from which IANA assigns networks."""
_MAPPED = bytes(10) + b"\xff\xff"
"""The beginning of an IPv6 address that contains an IPv4 address."""


def text(value: Any) -> str | Unusable | None:
    """Return a scalar as text: `1007.0` becomes `1007`.

    Lists, objects, infinite numbers, numbers of 128 bits or more, texts longer than `LONGEST_TEXT`,
    and texts with surrogates are unusable.
    """
    if isinstance(value, str):
        return _stripped(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return _number_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else UNUSABLE


def _stripped(value: str) -> str | Unusable | None:
    stripped = value.strip()
    if stripped in _EMPTY_TEXTS:
        return None
    if len(stripped) > LONGEST_TEXT or stripped in _INFINITE_TEXTS:
        return UNUSABLE
    if not stripped.isascii() and _SURROGATE.search(stripped):
        return UNUSABLE
    return stripped


def _number_text(value: float | Decimal) -> str | Unusable | None:
    if isinstance(value, int):
        return str(value) if value.bit_length() < _LONGEST_ID_BITS else UNUSABLE
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if number.is_nan():
        return None
    if not number.is_finite() or not -38 < number.adjusted() < 38:  # noqa: PLR2004 (128 bits)
        return UNUSABLE
    return str(int(number)) if number == number.to_integral_value() else format(number, "f")


class TimeRead(NamedTuple):
    """The result of reading a time.

    Attributes:
        seconds: The Unix time in whole seconds, rounded down.
        is_local: Whether the time has no offset, so the setting `timezone` decided its zone.
    """

    seconds: int | Unusable | None
    is_local: bool = False


def unix_time(value: Any, zone: dt.tzinfo) -> int | Unusable | None:
    """Return a time in whole Unix seconds, rounded down. `read_time` explains the arguments."""
    return read_time(value, zone).seconds


def read_time(value: Any, zone: dt.tzinfo) -> TimeRead:
    """Return a time in Unix seconds, and whether the time had no offset.

    Args:
        value: ISO 8601 text in the forms that taps send, a datetime or date, or Unix seconds,
            milliseconds or microseconds from 2000 to 2099, as a number or as text.
        zone: The zone of times without an offset. A date means midnight in this zone.
    """
    if isinstance(value, str):
        value = _moment_or_number(value.strip())
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if isinstance(value, dt.datetime):
        return TimeRead(_unix_seconds(value, zone), is_local=value.tzinfo is None)
    return TimeRead(_time_of_number(value))


def _moment_or_number(plain: str) -> dt.datetime | Decimal | Unusable | None:
    """Return the time, or the number, in a text without white space around it."""
    if plain in _EMPTY_TEXTS:
        return None
    parts = _TIME.fullmatch(plain)
    if parts is None:
        return Decimal(plain) if _NUMBER.fullmatch(plain) else UNUSABLE
    day, minute, second, fraction, utc, hours, minutes = parts.groups()
    offset = f"{hours}:{minutes or '00'}" if hours else ""
    if utc:
        offset = "+00:00"
    time = f"{minute or '00:00'}:{second or '00'}.{(fraction or '')[:6]:0<6}{offset}"
    try:
        return dt.datetime.fromisoformat(f"{day}T{time}")
    except ValueError:
        return UNUSABLE


def _unix_seconds(moment: dt.datetime, zone: dt.tzinfo) -> int | Unusable:
    try:
        passed = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - EPOCH
        return passed.days * DAY + passed.seconds
    except (OverflowError, ValueError):  # A zone may shift the time before year 1 or after 9999.
        return UNUSABLE


def _time_of_number(value: Any) -> int | Unusable | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return UNUSABLE
    if _is_nan(value):
        return None
    for unit in _UNITS:
        if _YEAR_2000 * unit <= value < _YEAR_2100 * unit:
            return int(value // unit)
    return UNUSABLE


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else value != value  # noqa: PLR0124 (a NaN)


def read_amount(value: Any, decimal: str = ".") -> float | Decimal | Unusable | None:
    """Return an amount as a finite number with all of its digits.

    A text must use the decimal sign `decimal`. With `.`, the function reads `"$12.50"`,
    `"1,234.50"` and `"12.50 $"`, but not `"12,50"`. With `,`, the function reads `"12,50"`,
    `"1.234,50"` and `"1 234,50 €"`, but not `"12.50"`.

    Raises:
        ValueError: If the decimal sign is neither `,` nor `.`.
    """
    if decimal not in _DECIMAL_SIGNS:
        msg = "the decimal sign must be ',' or '.'"
        raise ValueError(msg)
    if value is None:
        return None
    if isinstance(value, str):
        if decimal == "," or not value.isascii():  # (Translating a text is slow.)
            value = value.translate(_DECIMAL_SIGNS[decimal])
        return _amount_of_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return UNUSABLE
    return None if _is_nan(value) else _finite(value)


def _amount_of_text(plain: str) -> float | Decimal | Unusable | None:
    """Return the number in a text that has a decimal point, and no white space around the text."""
    if plain in _EMPTY_TEXTS:
        return None
    parts = _AMOUNT.fullmatch(plain) or _AMOUNT.fullmatch(_tidied(plain))
    if parts is None:
        return UNUSABLE
    sign, symbol, inner_sign, digits = parts.groups()
    if (sign and inner_sign) or (symbol.strip() and unicodedata.category(symbol) != "Sc"):
        return UNUSABLE
    return _finite(Decimal((sign or inner_sign) + digits.replace(",", "")))


def _tidied(plain: str) -> str:
    """Return a text with its currency symbol in front, and commas between its thousands."""
    if unicodedata.category(plain[-1]) == "Sc":
        plain = plain[-1] + plain[:-1].rstrip()
    return _SPACED_THOUSANDS.sub(",", plain)


def _finite(value: float | Decimal) -> float | Decimal | Unusable:
    """Return a number; `UNUSABLE` if it is not finite as a double, which most JSON readers use."""
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    return value if finite else UNUSABLE


def exact(value: float | Decimal) -> Decimal:
    """Return an amount as a decimal number with the digits that are sent."""
    return Decimal(str(value))


def positive_integer(value: Any) -> int | Unusable | None:
    """Return an integer from 1 to 2^63-1. The value may also be text, or a float like `44489.0`."""
    if not isinstance(plain := text(value), str):
        return plain
    found = _WHOLE.fullmatch(plain)
    number = int(found[1]) if found else 0
    return number if 0 < number < _INT64 else UNUSABLE


def source(value: Any) -> str | Unusable | None:
    """Return `web`, `app` or `offline` in lower case. The value may be in any case."""
    if not isinstance(plain := text(value), str):
        return plain
    return plain.lower() if plain.lower() in WINDOWS else UNUSABLE


def currency_code(value: Any) -> str | Unusable | None:
    """Return a currency code of ISO 4217 in upper case. The value may be in any case."""
    if not isinstance(plain := text(value), str):
        return plain
    code = plain.upper()  # (Some letters that are not ASCII have an upper case that is ASCII.)
    return code if plain.isascii() and code in DECIMALS else UNUSABLE


def ip(value: Any) -> str | Unusable | None:
    """Return a public IPv4 or IPv6 address; from a list with commas, the first public address.

    Proxies write such lists. An IPv4 address in IPv6 form, such as `::ffff:203.0.113.9`, becomes
    IPv4.
    """
    if not isinstance(plain := text(value), str):
        return plain
    for part in plain.split(","):
        if (address := _public(part.strip())) is not None:
            return address
    return UNUSABLE


def _public(plain: str) -> str | None:
    """Return a public IP address in its usual form; None for any other text."""
    try:
        if ":" not in plain:
            socket.inet_pton(socket.AF_INET, plain)
            return None if _NOT_PUBLIC.match(plain) else plain
        address = socket.inet_pton(socket.AF_INET6, plain)
    except (OSError, ValueError):
        return None
    if address.startswith(_MAPPED):
        return _public(socket.inet_ntop(socket.AF_INET, address[12:]))
    return socket.inet_ntop(socket.AF_INET6, address) if address[0] >> 5 == _PUBLIC_IPV6 else None


def device_id(value: Any) -> str | Unusable | None:
    """Return a UUID unchanged; None for the UUID of zeros, which means "no tracking" on phones.

    The guide does not say that the API accepts only UUIDs. This rule is inferred from the examples
    in the guide's schema. The `idfa` in the guide's example request is not a UUID.
    """
    if not isinstance(plain := text(value), str):
        return plain
    if not UUID_FORM.fullmatch(plain):
        return UNUSABLE
    return None if is_placeholder(plain) else plain


def flag(value: Any) -> int | Unusable | None:
    """Return 1 for true, 1, and texts that mean yes; 0 for false, 0, and texts that mean no."""
    plain = text(value)
    return _FLAGS.get(plain.lower(), UNUSABLE) if isinstance(plain, str) else plain


_GRANTED = frozenset({"true", "1", "yes", "granted"})


def consent(value: Any) -> bool:
    """Return whether a value grants consent. Only true, 1, `yes` and `granted` mean consent."""
    return str(text(value)).lower() in _GRANTED


def decision_id(value: Any) -> str | Unusable | None:
    """Return a decision ID: text without white space, and not a placeholder such as `undefined`."""
    plain = text(value)
    if plain is None:  # (The text `null` also gives None, but is an unusable decision ID.)
        return UNUSABLE if isinstance(value, str) and value.strip() else None
    if not isinstance(plain, str) or is_placeholder(plain):
        return UNUSABLE
    return UNUSABLE if _NOT_IN_DECISION_ID.search(plain) else plain


def decision_id_of_url(url: str) -> str | Unusable | None:
    """Return the UUID in the parameter `li_did` of a URL; None without the parameter.

    The parameter may be in the query, in the fragment, or in a URL inside another parameter. The
    least encoded parameter with a UUID counts. If no such parameter has a UUID, the result is
    `UNUSABLE`.

    The meaning of the parameter is inferred: LiveIntent's own pixel stores it as "decision id".
    """
    if "li_did" not in url:  # Most URLs do not have the parameter.
        return None
    has_parameter = False
    for _ in range(_LEVELS):
        for parameter in _LI_DID.finditer(url):
            value: str | None = parameter[1]
            if value is not None and not is_placeholder(value):
                return value
            has_parameter = True
        url = unquote(url)
    return UNUSABLE if has_parameter else None
