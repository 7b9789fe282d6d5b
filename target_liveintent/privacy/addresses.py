r"""Finds e-mail addresses in texts, plain or in the escapes of JSON, HTML, URLs and e-mail.

A text is decoded only to look into it; what is written keeps all of it but the address.

Not among the escapes are UTF-7, Base64, and percent codes that UTF-8 forbids (`%C1%80`): nothing
that shows a text to a person reads an address from them by itself.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from target_liveintent.privacy.characters import visible

# Patterns. All repetitions are bounded, so that a long text without an address costs linear time.

_MARKS = (
    # Accents and vowel signs, which stand behind a letter, and which \w leaves out. Some ranges
    # also have letters in them, and signs of a script that no address has.
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c2\u05c4-\u05c7\u0610-\u061a\u064b-\u065f"
    r"\u0670\u06d6-\u06ed\u0711-\u07f3\u07fd\u0816-\u082d\u0859-\u085b\u0897-\u0963\u0981-\u09e3"
    r"\u09fe-\u0a75\u0a81-\u0ae3\u0afa-\u0b63\u0b82-\u0bd7\u0c00-\u0c63\u0c81-\u0df3\u0e31-\u0e3a"
    r"\u0e47-\u0e4e\u0eb1-\u0ece\u0f18-\u0f39\u0f3e-\u0f84\u0f86-\u0fc6\u102b-\u103e\u1056-\u109d"
    r"\u135d-\u135f\u1712-\u1734\u1752-\u17d3\u17dd\u180b-\u193b\u1a17-\u1a1b\u1a55-\u1a7f"
    r"\u1ab0-\u1b44\u1b6b-\u1b73\u1b80-\u1bf3\u1c24-\u1c37\u1cd0-\u1dff\u20d0-\u20f0\u2cef-\u2cf1"
    r"\u2d7f-\u2dff\u302a-\u302f\u3099\u309a\ua66f-\ua67d\ua69e-\ua6f1\ua802-\ua82c\ua880-\ua8c5"
    r"\ua8e0-\ua92d\ua947-\ua953\ua980-\ua9c0\ua9e5-\uaa4d\uaa7b-\uaaef\uaaf5\uaaf6\uabe3-\uabed"
    r"\ufb1e\ufe00-\ufe2f\U00010a01-\U00010a3f\U00010d24-\U00010f85\U00011000-\U00011ef6"
    r"\U00016af0-\U00016ff1\U0001e000-\U0001e94a\U000e0100-\U000e01ef"
    # Signs within words that domains may have, such as the middle dot of Catalan.
    r"\u00b7\u0375\u05f3\u05f4\u06fd\u06fe\u0f0b\u3007\u30fb"
    # Pictures, which some domains have.
    r"\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
)


def _domain(longest: int) -> str:
    """Return a pattern of a domain whose labels have at most so many characters."""
    return (
        rf"(?:[\w{_MARKS}-]{{1,{longest}}}[.]){{1,40}}"
        rf"(?:(?:(?![\d_])[\w{_MARKS}]){{2,{longest}}}|[xX][nN]--[\w-]{{2,59}})"
    )


_LOCAL = rf"[\w{_MARKS}.%+'!#$*^`{{}}~-]"
# `_SERVER` and `_LOCAL_PART` accept what these two do, so that every text that is hashed as an
# address is also found as one. UTF-8 cannot encode the surrogates that JSON may hold.
ADDRESS = re.compile(rf"[^\s@<>()\[\],;:\"\\\ud800-\udfff]{{0,127}}{_LOCAL}@{_domain(63)}")
# The same for the characters of ASCII, in two thirds of the time: Python looks up a set in a table
# if it has no classes such as \w.
ASCII_ADDRESS = re.compile(
    r"[^\x00- \x7f@<>()\[\],;:\"\\]{0,127}[A-Za-z0-9_.%+'!#$*^`{}~-]"
    r"@(?:[A-Za-z0-9_-]{1,63}[.]){1,40}(?:[A-Za-z]{2,63}|[xX][nN]--[A-Za-z0-9_-]{2,59})"
)
_LONGEST_LOCAL = 256  # An accent can be a character of its own, as in labels of 255.
_IPV4 = r"[0-9]{1,3}(?:[.][0-9]{1,3}){3}"
_SERVER = re.compile(
    rf"@(?<=[\w{_MARKS}.%+'!#$*^`{{}}~\"-]@)(?:{_domain(255)}"
    rf"|(?i:localhost)(?![\w-])|{_IPV4}(?![\w-]|[.][0-9])"
    rf"|\[(?:{_IPV4}|(?i:ipv6:)[0-9a-fA-F:.]{{2,45}})\])"
)
"""The @ of an address and what is behind it; the pattern is fast because it begins with the @."""
_LOCAL_PART = re.compile(rf"\"[^\"\n]{{1,64}}\"|{_LOCAL}+")
"""What is before the @, of a text that is turned around."""

_HEX = "[0-9a-fA-F]"


def _bytes(sign: str) -> str:
    """Return a pattern of a byte, or the bytes of a character in UTF-8, each behind a sign."""
    behind = f"(?:{sign}[89abAB]{_HEX})"
    return (
        f"{sign}[fF][0-7]{behind}{{3}}|{sign}[eE]{_HEX}{behind}{{2}}|{sign}[c-dC-D]{_HEX}{behind}"
        f"|{sign}{_HEX}{{2}}"
    )


_ESCAPE = (
    # JSON within JSON doubles backslashes; Markdown puts one before signs.
    rf"(?:\\\\)+|\\(?:U00(?:0{_HEX}|10){_HEX}{{4}}|[uU]{_HEX}{{4}}|[uUxX]\{{0*{_HEX}{{1,5}}\}}"
    rf"|[xX]{_HEX}{{2}}|[0-3][0-7]{{2}}|[@._+-])"
    # Digits without a semicolon wait until an escape behind them, maybe of a digit, is decoded.
    r"|&(?:#[0-9]{1,32}(?:;|(?![0-9\\%]))|#[xX][0-9a-fA-F]{1,32}(?:;|(?![0-9a-fA-F\\%]))"
    r"|[A-Za-z]{2,31};|(?i:amp)(?=#))"
    rf"|%[uU]{_HEX}{{4}}|{_bytes('%')}"
    r"|[\ud800-\udbff][\udc00-\udfff]"
)
_ESCAPES = (re.compile(_ESCAPE), re.compile(rf"{_ESCAPE}|{_bytes('=')}|=\r?\n"))
"""Escapes, and those together with the ones of e-mail (quoted-printable). A text is first decoded
without the latter, because an = is more often something else."""
_OWN_NAME = re.compile(r"[^=&;?#\s]*(?:;pma)?[?&#](?![qQ]\?)")
"""A parameter's name, turned around, whose = is no escape; not the `?q?` of an e-mail's header."""
_LONGEST_NAME = 64
# What few texts have but those with an escaped address. Many URLs have percent codes: those matter
# of @, of what begins an escape, and of characters that look like one of these, or like nothing.
_PERCENT = re.compile(
    r"%(?:(?:25){16}|(?:25)*(?:40|26|3[dD]|5[cC]|[uU]|[0-9a-fA-F]?%"
    r"|[cC][2cCdD]|[dD][89a-fA-F]|[eEfF]))"
)
_ENTITY = re.compile(r"&(?:#|[A-Za-z]{2,31}[;#])")
_QUOTED = re.compile(r"=(?:40|3[dD]|2[56]|5[cC]|EF)")
_WORD = re.compile(r"\S+")
_ROUNDS = 16
_REMEMBERED = 10_000


def holds_address(text: str) -> bool:
    """Return whether the text contains an e-mail address, plain or escaped in any usual way.

    This is also true of a text that is escaped so deeply that nobody can say.
    """
    if not may_hold_address(text):
        return False
    readings = _readings(text, _decoded, _ESCAPES)
    return any(reading is None or any(_addresses(reading)) for reading in readings)


def scrub(text: str) -> str:
    """Replace each e-mail address in a text with the SHA-256 of its lower-case form.

    What is escaped too deeply to be read is replaced as well.
    """
    for _ in range(_ROUNDS):
        if not holds_address(text):
            return text
        text = _replaced(text, *_found(text))
    return _digest(text)


def _digest(address: str) -> str:
    lowered = unicodedata.normalize("NFKC", address).lower()
    return hashlib.sha256(lowered.encode(errors="replace")).hexdigest()


def may_hold_address(text: str) -> bool:
    """Return whether a text may contain an @, plain or escaped; this check is cheap."""
    if not text.isascii():
        text = text.translate(_SEEN)
    if "@" in text or "\\" in text:
        return True
    if "%" in text and _PERCENT.search(text):
        return True
    if "&" in text and ("#" in text or ";" in text) and _ENTITY.search(text):
        return True
    if "=" not in text or not _QUOTED.search(text):
        return False
    return not all(map(_is_of_parameter, _QUOTED.finditer(text)))


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield where addresses begin and end in a text that is decoded."""
    for server in _SERVER.finditer(text):
        at = server.start()
        before = text[max(0, at - _LONGEST_LOCAL) : at]
        if local := _LOCAL_PART.match(before[::-1]):
            yield at - local.end(), server.end()


# What a person would see of a text


class _Seen(dict[int, str]):
    """What a person would see of a character, by its code; remembered, as most texts are alike."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        seen = unicodedata.normalize("NFKC", visible(chr(code))).replace("\u3002", ".")
        self[code] = seen
        return seen


_SEEN = _Seen()
_UNUSUAL = re.compile(r"[^\t\n\r -~]")
"""A character of which a person may see something else."""


class _Placed(NamedTuple):
    """What is read in a text, and where each of its characters begins and ends in the text."""

    text: str
    places: list[tuple[int, int]]


_Reading = TypeVar("_Reading", str, _Placed)


def _readings(
    text: _Reading,
    decode: Callable[[_Reading, re.Pattern[str]], _Reading],
    escapes: Sequence[re.Pattern[str]],
) -> Iterator[_Reading | None]:
    """Yield a text as it is, and as it is decoded once, twice, and so on until nothing changes.

    None is the last one if the text still changes after as many rounds as there may be.
    """
    rounds = iter(range(_ROUNDS))
    yield text
    for escape in escapes:
        for _ in rounds:
            decoded = decode(text, escape)
            if decoded == text:
                break
            text = decoded
            yield text
        else:
            yield None
            return


def _decoded(text: str, escape: re.Pattern[str]) -> str:
    """Decode once what a person would see of a text."""
    return escape.sub(_character, text.translate(_SEEN))


def _decoded_placed(reading: _Placed, escape: re.Pattern[str]) -> _Placed:
    """Do the same, and know the places."""
    seen = _substituted(reading, _UNUSUAL, lambda found: _SEEN[ord(found[0])])
    return _substituted(seen, escape, _character)


def _substituted(
    reading: _Placed, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]
) -> _Placed:
    decoded: list[str] = []
    places: list[tuple[int, int]] = []
    done = 0
    for found in pattern.finditer(reading.text):
        start, end = found.span()
        characters = replace(found)
        decoded += (reading.text[done:start], characters)
        places += reading.places[done:start]
        places += [(reading.places[start][0], reading.places[end - 1][1])] * len(characters)
        done = end
    decoded.append(reading.text[done:])
    return _Placed("".join(decoded), places + reading.places[done:])


def _found(text: str) -> tuple[_Placed, list[tuple[int, int]]]:
    """Return a reading of a text that holds an address, and where it does.

    This is the one that is decoded most, without the escapes of e-mail if possible. If the text is
    escaped too deeply to be read, the words count that still have escapes.
    """
    written = _Placed(text, [(index, index + 1) for index in range(len(text))])
    for escapes in (_ESCAPES[:1], _ESCAPES):
        readings = [one for one in _readings(written, _decoded_placed, escapes) if one]
        for reading in reversed(readings):
            if spans := [*_addresses(reading.text)]:
                return reading, spans
    deepest = readings[-1]
    words = _WORD.finditer(deepest.text)
    return deepest, [word.span() for word in words if _ESCAPES[-1].search(word[0])]


def _replaced(text: str, reading: _Placed, spans: Sequence[tuple[int, int]]) -> str:
    """Replace what stands in these spans of a reading, in the text as it is written."""
    written: list[str] = []
    done = 0
    for start, end in spans:
        first, last = reading.places[start][0], reading.places[end - 1][1]
        if first >= done:  # (`a@b.example@c.example` is replaced as one.)
            written += (text[done:first], _digest(reading.text[start:end]))
        done = last
    return "".join((*written, text[done:]))


def _character(escape: re.Match[str]) -> str:
    """Return what an escape stands for."""
    code = escape[0]
    if code[0] == "=" and _is_of_parameter(escape):
        return code
    return _MEANINGS.get(code[0], _of_surrogates)(code)


def _is_of_parameter(escape: re.Match[str]) -> bool:
    """Return whether the = of an escape is that between a parameter's name and its value."""
    before = escape.string[max(0, escape.start() - _LONGEST_NAME) : escape.start()]
    return _OWN_NAME.match(before[::-1]) is not None


def _of_backslash(code: str) -> str:
    digits = code[1:]
    if digits[-1] == "\\":
        return "\\" * (len(code) // 2)
    if len(digits) == 1:  # A sign stands for itself.
        return digits
    return chr(int(digits, 8) if digits[0].isdigit() else int(digits.strip("uUxX{}"), 16))


def _of_bytes(code: str) -> str:
    digits = code[1:]
    if digits[0] in "uU":
        return chr(int(digits.lstrip("uU"), 16))
    if digits[0] in "\r\n":
        return ""
    octets = bytes.fromhex(digits.replace(code[0], ""))
    try:
        return octets.decode()
    except UnicodeDecodeError:  # Older pages and mails are in Latin-1.
        return octets.decode("latin-1")


def _of_entity(code: str) -> str:
    """Return what an entity stands for; some programs write all names in upper case."""
    character = html.unescape(code)
    return character if character != code else html.unescape(code.lower())


def _of_surrogates(code: str) -> str:
    return code.encode("utf-16", "surrogatepass").decode("utf-16")


_MEANINGS: dict[str, Callable[[str], str]] = {
    "\\": _of_backslash,
    "%": _of_bytes,
    "=": _of_bytes,
    "&": _of_entity,
}
"""What escapes stand for, by the sign that they begin with."""
