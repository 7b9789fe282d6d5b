"""Finds e-mail addresses in texts, plain or in the escapes of JSON, HTML and URLs.

A text is decoded only to look into it; what is written keeps all of it but the address.
"""

from __future__ import annotations

import hashlib
import html
import re
from urllib.parse import unquote

_DOMAIN = r"(?:[\w-]{1,63}[.]){1,10}(?:[^\W\d_]{2,63}|xn--[\w-]{2,59})"
_LOCAL = r"[\w\u0300-\u036f.%+'!#$*^`{}~-]"
# `_WITHIN` accepts the last character before the @ as well, so that every text that is hashed as an
# address is also found as one. UTF-8 cannot encode the surrogates that JSON may hold.
ADDRESS = re.compile(rf"[^\s@<>()\[\],;:\"\\\ud800-\udfff]{{0,127}}{_LOCAL}@{_DOMAIN}")
# The same for the characters of ASCII, in two thirds of the time: Python looks up a set in a table
# if it has no classes such as \w.
ASCII_ADDRESS = re.compile(
    r"[^\x00- \x7f@<>()\[\],;:\"\\]{0,127}[A-Za-z0-9_.%+'!#$*^`{}~-]"
    r"@(?:[A-Za-z0-9_-]{1,63}[.]){1,10}(?:[A-Za-z]{2,63}|xn--[A-Za-z0-9_-]{2,59})"
)
# All repetitions are bounded, so that a long text without an address costs linear time.
_IPV4 = r"[0-9]{1,3}(?:[.][0-9]{1,3}){3}"
_WITHIN = re.compile(
    rf"(?:\"[^\"\n]{{1,64}}\"|{_LOCAL}{{1,128}})@(?:{_DOMAIN}"
    rf"|(?i:localhost)(?![\w-])|{_IPV4}(?![\w-]|[.][0-9])"
    rf"|\[(?:{_IPV4}|(?i:ipv6:)[0-9a-fA-F:.]{{2,45}})\])"
)
_INVISIBLE = r"[\u00ad\u200b-\u200f\u2060\ufeff]"
"""Soft hyphens, zero-width spaces and direction marks, which come with text copied from a page."""
_ESCAPE = re.compile(
    r"\\{1,8}(?:U0000[0-9a-fA-F]{4}|[uU][0-9a-fA-F]{4}|[xX][0-9a-fA-F]{2})"
    r"|&(?:#[0-9]{1,32}|#[xX][0-9a-fA-F]{1,32}|[A-Za-z]{2,31}(?=;));?"
    r"|(?:%[89a-fA-F][0-9a-fA-F]){1,16}|%[0-7][0-9a-fA-F]"
    rf"|{_INVISIBLE}{{1,16}}"
)
INVISIBLE = re.compile(_INVISIBLE)
_WIDE = str.maketrans("＠﹫．。｡", "@@...")  # noqa: RUF001 (these look like others)
# Percent codes are usual in URLs, so they only matter where an @ is, or may be behind them: `%40`,
# or `\`, `&` and the wide characters.
_SIGN = re.compile(  # (A pattern that begins with one set of characters is fast.)
    r"[\\&%](?:(?<=\\)|(?<=&)(?:#|[A-Za-z]{2,31};)|(?<=%)(?:25){0,8}(?:40|5[cC]|26|[eE][fF]))"
)
_LEVELS = 4
"""How often a text is decoded: `&amp;#64;` needs two."""


def holds_address(text: str) -> bool:
    """Return whether the text contains an e-mail address, plain or escaped in any usual way."""
    if not _may_hold_address(text):
        return False
    if not _may_have_escapes(text):
        return "@" in text and _WITHIN.search(text) is not None
    return any(_WITHIN.search(reading) for reading in (text, decoded_text(text)[0]))


def scrub(text: str) -> str:
    """Replace each e-mail address in a text with the SHA-256 of its lower-case form."""
    if not _may_hold_address(text):
        return text
    if _may_have_escapes(text):
        decoded, places = decoded_text(text)
        written: list[str] = []
        done = 0
        for found in _WITHIN.finditer(decoded):
            written += (text[done : places[found.start()][0]], _digest(found))
            done = places[found.end() - 1][1]
        text = "".join((*written, text[done:]))
    return _WITHIN.sub(_digest, text)


def _digest(found: re.Match[str]) -> str:
    return hashlib.sha256(found[0].lower().encode(errors="replace")).hexdigest()


def _may_hold_address(text: str) -> bool:
    """Return whether a text may contain an @, plain or escaped; this check is cheap."""
    return (
        "@" in text
        or "%" in text
        or "\\" in text
        or ("&" in text and ("#" in text or "commat" in text or "COMMAT" in text))
        or (not text.isascii() and ("＠" in text or "﹫" in text))  # noqa: RUF001
    )


def _may_have_escapes(text: str) -> bool:
    """Return whether an address in a text may have escapes, so that it has to be decoded."""
    return not text.isascii() or _SIGN.search(text) is not None or ("%" in text and "@" in text)


def decoded_text(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Decode a text until nothing is escaped, and normalize wide and invisible characters.

    Returns:
        The decoded text, and for each of its characters where it begins and ends in the text.
    """
    places = [(index, index + 1) for index in range(len(text))]
    for _ in range(_LEVELS):
        decoded: list[str] = []
        places_of_it: list[tuple[int, int]] = []
        done = 0
        for escape in _ESCAPE.finditer(text):
            start, end = escape.span()
            characters = _character(escape)
            decoded += (text[done:start], characters)
            places_of_it += places[done:start]
            places_of_it += [(places[start][0], places[end - 1][1])] * len(characters)
            done = end
        decoded.append(text[done:])
        places_of_it += places[done:]
        if (whole := "".join(decoded)) == text:
            break
        text, places = whole, places_of_it
    return text.translate(_WIDE), places


def _character(escape: re.Match[str]) -> str:
    code = escape[0]
    if code[0] == "\\":
        return chr(int(code.lstrip("\\")[1:], 16))
    if code[0] == "%":
        return unquote(code)
    if code[0] != "&":
        return ""  # Invisible characters.
    # A program that writes texts in upper case does not spare the names of entities.
    return html.unescape(code.lower())
