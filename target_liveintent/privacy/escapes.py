"""Reads the escapes in which a text may hide an e-mail address: those of JSON, HTML and URLs.

A text is decoded only to look into it; what is written keeps all of it but the address.
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

_INVISIBLE = r"[\u00ad\u200b-\u200f\u2060\ufeff]"
"""Soft hyphens, zero-width spaces and direction marks, which come with text copied from a page."""
_ESCAPE = re.compile(
    r"\\{1,8}(?:U0000[0-9a-fA-F]{4}|[uU][0-9a-fA-F]{4}|[xX][0-9a-fA-F]{2})"
    r"|&(?:#[0-9]{1,32}|#[xX][0-9a-fA-F]{1,32}|[A-Za-z]{2,31}(?=;));?"
    r"|(?:%[89a-fA-F][0-9a-fA-F]){1,16}|%[0-7][0-9a-fA-F]"
    rf"|{_INVISIBLE}{{1,16}}"
)
_HAS_INVISIBLE = re.compile(_INVISIBLE)
_WIDE = str.maketrans("＠﹫．。｡", "@@...")  # noqa: RUF001 (these look like others)
# Percent codes are usual in URLs, so they only matter where an @ is, or may be behind them: `%40`,
# or `\`, `&` and the wide characters.
_SIGN = re.compile(  # (A pattern that begins with one set of characters is fast.)
    r"[\\＠﹫．。｡&%](?:(?<![&%])"  # noqa: RUF001
    r"|(?<=&)(?:#|[A-Za-z]{2,31};)|(?<=%)(?:25){0,8}(?:40|5[cC]|26|[eE][fF]))"
)
_LEVELS = 4
"""How often a text is decoded: `&amp;#64;` needs two."""


def may_hold_address(text: str) -> bool:
    """Return whether a text may contain an @, plain or escaped; this check is cheap."""
    return (
        "@" in text
        or "%" in text
        or "\\" in text
        or ("&" in text and ("#" in text or "commat" in text or "COMMAT" in text))
        or (not text.isascii() and ("＠" in text or "﹫" in text))  # noqa: RUF001
    )


def without_invisible(text: str) -> str:
    """Return a text without the characters that nobody sees."""
    return _HAS_INVISIBLE.sub("", text)


def may_have_escapes(text: str) -> bool:
    """Return whether an address in a text may have escapes, so that it has to be decoded."""
    return (
        _SIGN.search(text) is not None
        or ("%" in text and "@" in text)
        or (not text.isascii() and _HAS_INVISIBLE.search(text) is not None)
    )


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
    known = html.unescape(code)
    # A program that writes texts in upper case does not spare the names of entities.
    return html.unescape(code.lower()) if known == code else known
