r"""Finds e-mail addresses in texts, plain or in the escapes of JSON, HTML, URLs and e-mails.

This module decodes a text only for the search. If addresses are replaced, the rest of the original
text stays unchanged.

This module does not decode UTF-7, Base64, or percent codes that UTF-8 forbids (`%C1%80`), because
programs that show a text to a person do not decode these either.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from target_liveintent.privacy.characters import WORD_MARKS, visible

# Addresses. The repetitions in the patterns, or the searched texts, are bounded. So the time for a
# long text without an address grows only linearly.


def _domain(longest: int) -> str:
    """Return a pattern of a domain whose labels have at most `longest` characters."""
    return (
        rf"(?:[\w{WORD_MARKS}-]{{1,{longest}}}[.]){{1,40}}"
        rf"(?:(?:(?![\d_])[\w{WORD_MARKS}]){{2,{longest}}}|[xX][nN]--[\w-]{{2,59}})"
    )


_LOCAL = rf"[\w{WORD_MARKS}.%+'!#$*^`{{}}~-]"
# The next two patterns match a whole address, which the program hashes. `_SERVER` and `_LOCAL_PART`
# accept all that these patterns accept, so the search finds every address that can be hashed. The
# first pattern excludes surrogates, which JSON may contain, because UTF-8 cannot encode them.
ADDRESS = re.compile(rf"[^\s@<>()\[\],;:\"\\\ud800-\udfff]{{0,127}}{_LOCAL}@{_domain(63)}")
# With ASCII sets, a match takes two thirds of the time: Python looks up a set in a table if the set
# has no classes such as \w.
ASCII_ADDRESS = re.compile(
    r"[^\x00- \x7f@<>()\[\],;:\"\\]{0,127}[A-Za-z0-9_.%+'!#$*^`{}~-]"
    r"@(?:[A-Za-z0-9_-]{1,63}[.]){1,40}(?:[A-Za-z]{2,63}|[xX][nN]--[A-Za-z0-9_-]{2,59})"
)
_LONGEST_LOCAL = 256  # Twice as long as in these patterns: accents may be separate characters.
_IPV4 = r"[0-9]{1,3}(?:[.][0-9]{1,3}){3}"
_SERVER = re.compile(
    rf"@(?<=[\w{WORD_MARKS}.%+'!#$*^`{{}}~\"-]@)(?:{_domain(255)}"
    rf"|(?i:localhost)(?![\w-])|{_IPV4}(?![\w-]|[.][0-9])"
    rf"|\[(?:{_IPV4}|(?i:ipv6:)[0-9a-fA-F:.]{{2,45}})\])"
)
"""Matches the @ of an address and the server after the @. A pattern that begins with @ is fast."""
_LOCAL_PART = re.compile(rf"\"[^\"\n]{{1,64}}\"|{_LOCAL}+")
"""Matches the part of an address before the @, in a reversed text."""

_HEX = "[0-9a-fA-F]"


def _bytes(sign: str) -> str:
    """Return a pattern of the bytes of a character, each as `sign` and two hexadecimal digits.

    With the sign `%`, the pattern matches `%C3%A9` (é in UTF-8), and also the single byte `%E9`.
    """
    behind = f"(?:{sign}[89abAB]{_HEX})"
    return (
        f"{sign}[fF][0-7]{behind}{{3}}|{sign}[eE]{_HEX}{behind}{{2}}|{sign}[c-dC-D]{_HEX}{behind}"
        f"|{sign}{_HEX}{{2}}"
    )


_ESCAPE = (
    # JSON within JSON doubles backslashes; Markdown puts a backslash before signs.
    rf"(?:\\\\)+|\\(?:U00(?:0{_HEX}|10){_HEX}{{4}}|[uU]{_HEX}{{4}}|[uUxX]\{{0*{_HEX}{{1,5}}\}}"
    rf"|[xX]{_HEX}{{2}}|[0-3][0-7]{{2}}|[@._+-])"
    # If digits without a semicolon are followed by another escape, the other escape is decoded
    # first, because it may mean a further digit.
    r"|&(?:#[0-9]{1,32}(?:;|(?![0-9\\%]))|#[xX][0-9a-fA-F]{1,32}(?:;|(?![0-9a-fA-F\\%]))"
    r"|[A-Za-z]{2,31};|(?i:amp)(?=#))"
    rf"|%[uU]{_HEX}{{4}}|{_bytes('%')}"
    r"|[\ud800-\udbff][\udc00-\udfff]"
)
_ESCAPES = (re.compile(_ESCAPE), re.compile(rf"{_ESCAPE}|{_bytes('=')}|=\r?\n"))
"""Patterns of escapes, without and with the escapes of e-mail (quoted-printable). A text is first
decoded without the escapes of e-mail, because an = usually has another meaning."""
_OWN_NAME = re.compile(r"[^=&;?#\s]*(?:;pma)?[?&#](?![qQ]\?)")
"""Matches the reversed name of a parameter, after which an = is not an escape. It does not match
`?q?`, which occurs in encoded headers of e-mails."""
_LONGEST_NAME = 64
# Signs of an escaped address, which few other texts have. Many URLs have percent codes. Only codes
# of these characters matter: @, the first character of an escape, characters that look like @ or
# like this first character, and invisible characters.
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
    """Return whether the text contains an e-mail address, plain or in one of the known escapes.

    The result is also True if the text has too many levels of escapes to decide.
    """
    if not may_hold_address(text):
        return False
    readings = _readings(text, _decoded, _ESCAPES)
    return any(reading is None or any(_addresses(reading)) for reading in readings)


def scrub(text: str) -> str:
    """Replace each e-mail address in a text with the SHA-256 of its lower-case form.

    Words with too many levels of escapes to be read are replaced as well.
    """
    for _ in range(_ROUNDS):
        if not holds_address(text):
            return text
        reading = _reading_with_address(text)
        text = _replaced(text, reading, _spans_to_replace(reading.text))
    return _digest(text)


def _digest(address: str) -> str:
    lowered = unicodedata.normalize("NFKC", address).lower()
    return hashlib.sha256(lowered.encode(errors="replace")).hexdigest()


def may_hold_address(text: str) -> bool:
    """Return whether a text may contain an @, plain or escaped, by a fast check."""
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
    """Yield the start and the end of each address in a decoded text."""
    for server in _SERVER.finditer(text):
        at = server.start()
        before = text[max(0, at - _LONGEST_LOCAL) : at]
        if local := _LOCAL_PART.match(before[::-1]):
            yield at - local.end(), server.end()


# What a person sees when a program shows a text


class _Seen(dict[int, str]):
    """Maps the code of a character to the text that a person sees.

    The map remembers recent results, because most texts have the same characters.
    """

    def __missing__(self, code: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        seen = unicodedata.normalize("NFKC", visible(chr(code))).replace("\u3002", ".")
        self[code] = seen
        return seen


_SEEN = _Seen()
_UNUSUAL = re.compile(r"[^\t\n\r -~]")
"""Matches a character that may look like another character, or be invisible."""


class _Reading(NamedTuple):
    """A decoded text, and the start and end of each of its characters in the original text."""

    text: str
    places: list[tuple[int, int]]


_Text = TypeVar("_Text", str, _Reading)


def _readings(
    text: _Text,
    decode: Callable[[_Text, re.Pattern[str]], _Text],
    escapes: Sequence[re.Pattern[str]],
) -> Iterator[_Text | None]:
    """Yield a text as it is, decoded once, decoded twice, and so on until nothing changes.

    The last reading is None if the text still changes after `_ROUNDS` rounds.
    """
    yield text
    rounds = 0
    for escape in escapes:
        while rounds < _ROUNDS:
            rounds += 1
            decoded = decode(text, escape)
            if decoded == text:
                break
            text = decoded
            yield text
        else:
            yield None
            return


def _decoded(text: str, escape: re.Pattern[str]) -> str:
    """Return a text after one round of decoding, with the characters that a person sees."""
    return escape.sub(_character, text.translate(_SEEN))


def _decoded_reading(reading: _Reading, escape: re.Pattern[str]) -> _Reading:
    """Return a reading whose text is decoded as by `_decoded`, with the places in the original."""
    seen = _substituted(reading, _UNUSUAL, lambda unusual: _SEEN[ord(unusual[0])])
    return _substituted(seen, escape, _character)


def _substituted(
    reading: _Reading, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]
) -> _Reading:
    """Return a reading with replaced matches. New characters get the place of the whole match."""
    texts: list[str] = []
    places: list[tuple[int, int]] = []
    done = 0
    for match in pattern.finditer(reading.text):
        start, end = match.span()
        characters = replace(match)
        texts += (reading.text[done:start], characters)
        places += reading.places[done:start]
        places += [(reading.places[start][0], reading.places[end - 1][1])] * len(characters)
        done = end
    texts.append(reading.text[done:])
    return _Reading("".join(texts), places + reading.places[done:])


def _reading_with_address(text: str) -> _Reading:
    """Return the most decoded reading of a text that contains an address.

    Only if no reading without the escapes of e-mail contains an address, these escapes are decoded,
    too. If this reveals no address either, the result is the last reading.
    """
    written = _Reading(text, [(index, index + 1) for index in range(len(text))])
    readings: list[_Reading] = []
    for escapes in (_ESCAPES[:1], _ESCAPES):
        readings = list(filter(None, _readings(written, _decoded_reading, escapes)))
        for reading in reversed(readings):
            if any(_addresses(reading.text)):
                return reading
    return readings[-1]


def _spans_to_replace(text: str) -> list[tuple[int, int]]:
    """Return the spans of the addresses in a decoded text, or else of the words with escapes."""
    if spans := list(_addresses(text)):
        return spans
    return [word.span() for word in _WORD.finditer(text) if _ESCAPES[-1].search(word[0])]


def _replaced(text: str, reading: _Reading, spans: Sequence[tuple[int, int]]) -> str:
    """Return the original text with hashes in place of these spans of a reading."""
    texts: list[str] = []
    done = 0
    for start, end in spans:
        first, last = reading.places[start][0], reading.places[end - 1][1]
        if first >= done:  # (`a@b.example@c.example` is replaced as one address.)
            texts += (text[done:first], _digest(reading.text[start:end]))
        done = last
    return "".join((*texts, text[done:]))


def _character(escape: re.Match[str]) -> str:
    """Return the text that an escape means; an = of a parameter stays unchanged."""
    code = escape[0]
    if code[0] == "=" and _is_of_parameter(escape):
        return code
    return _MEANINGS.get(code[0], _of_surrogates)(code)


def _is_of_parameter(escape: re.Match[str]) -> bool:
    """Return whether the = of an escape separates the name of a parameter from the value."""
    before = escape.string[max(0, escape.start() - _LONGEST_NAME) : escape.start()]
    return _OWN_NAME.match(before[::-1]) is not None


def _of_backslash(code: str) -> str:
    digits = code[1:]
    if digits[-1] == "\\":
        return "\\" * (len(code) // 2)
    if len(digits) == 1:  # An escaped sign means the sign itself.
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
    """Return the character that an entity of HTML means, even if its name is in upper case."""
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
"""The functions that decode escapes, by the first sign of the escape."""
