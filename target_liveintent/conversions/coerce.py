"""Coercions of a tap's values to values that the API accepts: one pure function for each type.

A coercion returns the value to send, None for an empty value, or `UNUSABLE` for a value that it
cannot read. It never raises an exception, and never guesses. `FIELDS` in fields.py says which
coercion a column has.
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
    """Stands for a value that cannot be read and that no event can have.

    Attributes:
        cause: Why a helper of expressions cannot read the value. For a column of an event, `FIELDS`
            has the code of the cause.
    """

    cause: UnusableCause | None = None

    def __str__(self) -> str:
        """Return the text for the dead letter if an expression returned this for a column."""
        return "unusable"

    def __bool__(self) -> bool:
        """Raise an error: a filter must not treat an unreadable value as true or false."""
        msg = "the value cannot be read"
        raise ValueError(msg)


UNUSABLE: Final = Unusable()


def shape(value: Any) -> Shape:
    """Return how a value is written, without its data: digits are 9, and words are x."""
    is_huge = isinstance(value, int) and value.bit_length() > _LONGEST_ID_BITS
    if is_huge or isinstance(value, (bool, dict, list, tuple)):
        return Shape(type=type(value).__name__)
    plain = re.sub(r"[^\W\d_]+", "x", re.sub(r"\d", "9", str(value)[:LONGEST_TEXT].strip()))
    cut = plain if len(plain) <= _LONGEST_SHAPE else f"{plain[:_LONGEST_SHAPE]}…"
    return Shape("".join(c if c.isprintable() else "?" for c in cut))


def cause_of_source(value: Any) -> UnusableCause | None:
    """Return why a value of `source` cannot be used; None if the record has none.

    The cause has the value itself if it is a short word. Any other value, such as a name, is
    replaced by its shape.
    """
    plain = text(value)
    if plain is None:
        return None
    is_word = isinstance(plain, str) and _SHORT_WORD.fullmatch(plain)
    return (
        UnusableCause("other_source", fact=str(plain)) if is_word else cause_of(value, "not_source")
    )


def cause_of(value: Any, code: str) -> UnusableCause:
    """Return why a value cannot be used: a cause of this code, unless a helper found another."""
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
"""White space, invisible characters, and the signs of a placeholder that was not replaced."""
_LI_DID = re.compile(  # (A pattern that begins with a plain text is fast.)
    rf"li_did=(?<![^?&;#/ ]li_did=)(?:({UUID_FORM.pattern})(?![\w.-]))?", re.ASCII
)
"""The parameter, with its value if the value is a UUID. `old_li_did` is another parameter."""
_LEVELS = 5
"""How many levels of encoding of a URL are read; the URL itself is the first level."""
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
"""How many units of a Unix time are a second: seconds, milliseconds, microseconds."""
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
"""Unix seconds. Numbers outside of these years in each unit are dates in another form."""


_NOT_PUBLIC = re.compile(
    r"(?:0|10|127|22[4-9]|2[3-5][0-9])[.]|192[.](?:0[.]0|168)[.]|169[.]254[.]"
    r"|172[.](?:1[6-9]|2[0-9]|3[01])[.]|100[.](?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]"
)
"""IPv4 networks that are not public, from the registry of IANA. Proxies, tills and offices have
their addresses, which do not distinguish buyers. The ranges for documentation are accepted."""
_PUBLIC_IPV6 = 0b001
"""The first three bits of all public IPv6 addresses, 2000::/3, from which IANA assigns networks."""
_MAPPED = bytes(10) + b"\xff\xff"
"""The beginning of an IPv6 address that contains an IPv4 address."""


def text(value: Any) -> str | Unusable | None:
    """Return any scalar as text, `1007.0` as `1007`; lists, objects, surrogates are unusable."""
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
    """A moment as whole Unix seconds, rounded down.

    Attributes:
        is_local: Whether the time has no offset, so that it was read in the zone of the setting.
    """

    seconds: int | Unusable | None
    is_local: bool = False


def unix_time(value: Any, zone: dt.tzinfo) -> int | Unusable | None:
    """Return a moment as whole Unix seconds: see `read_time`."""
    return read_time(value, zone).seconds


def read_time(value: Any, zone: dt.tzinfo) -> TimeRead:
    """Read a moment.

    Args:
        value: ISO 8601 text in the forms that taps send, a datetime or date, or Unix seconds,
            milliseconds or microseconds from 2000 to 2099, as a number or as text.
        zone: The zone of times without an offset; a date means midnight there.
    """
    if isinstance(value, str):
        value = _moment_or_number(value.strip())
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if isinstance(value, dt.datetime):
        return TimeRead(_unix_seconds(value, zone), is_local=value.tzinfo is None)
    return TimeRead(_time_of_number(value))


def _moment_or_number(plain: str) -> dt.datetime | Decimal | Unusable | None:
    """Return the time or Unix time in a text that has no white space around it."""
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
    except (OverflowError, ValueError):  # A zone shifts the year 1 or 9999 out of the calendar.
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
    return value.is_nan() if isinstance(value, Decimal) else value != value  # noqa: PLR0124


def read_amount(value: Any, decimal: str = ".") -> float | Decimal | Unusable | None:
    """Return a finite number with its digits. A text must use the decimal sign `decimal`.

    With `.`: `"$12.50"`, `"1,234.50"` and `"12.50 $"`, but not `"12,50"`. With `,`: `"12,50"`,
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
    """Return the number in a text with a decimal point, and without white space around it."""
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
    """Return the number if it is finite as a double, which JSON readers use."""
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    return value if finite else UNUSABLE


def exact(value: float | Decimal) -> Decimal:
    """Return an amount with the digits that are sent."""
    return Decimal(str(value))


def positive_integer(value: Any) -> int | Unusable | None:
    """Return an integer from 1 to 2^63-1, which may come as `44489.0` or as text."""
    if not isinstance(plain := text(value), str):
        return plain
    found = _WHOLE.fullmatch(plain)
    number = int(found[1]) if found else 0
    return number if 0 < number < _INT64 else UNUSABLE


def source(value: Any) -> str | Unusable | None:
    """Return `web`, `app` or `offline`, which may come in upper case."""
    if not isinstance(plain := text(value), str):
        return plain
    return plain.lower() if plain.lower() in WINDOWS else UNUSABLE


def currency_code(value: Any) -> str | Unusable | None:
    """Return a code of ISO 4217 in upper case."""
    if not isinstance(plain := text(value), str):
        return plain
    code = plain.upper()  # (Some letters that are not ASCII have an upper case that is ASCII.)
    return code if plain.isascii() and code in DECIMALS else UNUSABLE


def ip(value: Any) -> str | Unusable | None:
    """Return a public IPv4 or IPv6 address; from a list with commas, the first public address.

    Proxies write these lists. `::ffff:203.0.113.9` becomes IPv4.
    """
    if not isinstance(plain := text(value), str):
        return plain
    for part in plain.split(","):
        if (address := _public(part.strip())) is not None:
            return address
    return UNUSABLE


def _public(plain: str) -> str | None:
    """Return a public IP address in its usual form; None if the text is anything else."""
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
    """Return a UUID as it came. The UUID of zeros, which means "no tracking" on phones, is empty.

    The guide does not say that the API accepts only UUIDs: this rule is inferred from the examples
    in its schema. The `idfa` of the guide's example request is not a UUID.
    """
    if not isinstance(plain := text(value), str):
        return plain
    if not UUID_FORM.fullmatch(plain):
        return UNUSABLE
    return None if is_placeholder(plain) else plain


def flag(value: Any) -> int | Unusable | None:
    """Return 0 or 1 for a boolean, 0, 1, or a text that means yes or no."""
    plain = text(value)
    return _FLAGS.get(plain.lower(), UNUSABLE) if isinstance(plain, str) else plain


_GRANTED = frozenset({"true", "1", "yes", "granted"})


def consent(value: Any) -> bool:
    """Return whether consent is given: true, 1, `yes` or `granted`; everything else means no."""
    return str(text(value)).lower() in _GRANTED


def decision_id(value: Any) -> str | Unusable | None:
    """Return a decision ID: a text without spaces that is no placeholder such as `undefined`."""
    plain = text(value)
    if plain is None:  # (For the text `null`, too, which is an unusable decision ID.)
        return UNUSABLE if isinstance(value, str) and value.strip() else None
    if not isinstance(plain, str) or is_placeholder(plain):
        return UNUSABLE
    return UNUSABLE if _NOT_IN_DECISION_ID.search(plain) else plain


def decision_id_of_url(url: str) -> str | Unusable | None:
    """Return the UUID in the parameter `li_did` of a URL; None without the parameter.

    It may be in the query, in the fragment, and in a URL that is itself a parameter. The least
    encoded parameter with a UUID counts. Without a UUID, the result is `UNUSABLE`.

    This is inferred: LiveIntent's own pixel stores that parameter as "decision id".
    """
    if "li_did" not in url:  # Most URLs do not have it.
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
