"""Tables of invisible characters and of word characters, and a test for misread encodings.

Texts that people copy from pages and spreadsheets may have such characters. The tables do not use
`unicodedata`, so an address has the same hash in each version of Python.
"""

from __future__ import annotations

import re

INVISIBLE_CHARACTERS = (
    # Cc (controls) except white space, and Cf (format): soft hyphens, directions, zero widths.
    r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # Variation selectors, and other characters that Unicode calls ignorable: fillers, joiners.
    r"\u180b-\u180d\u180f\ufe00-\ufe0f\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
)
"""Invisible characters, written as the content of a set in a regular expression."""
INVISIBLE = re.compile(f"[{INVISIBLE_CHARACTERS}]+")
WORD_MARKS = (
    # Accents and vowel signs, which follow a letter, and which \w does not match. Some ranges also
    # contain letters, and signs of scripts that no address uses.
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
    # Emoji and symbols, which some domains have.
    r"\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
)
"""Characters of domains, besides letters and digits, written as the content of a set in a regular
expression."""
_CONTINUATION = (
    "[\x80-\xbf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d"
    "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"
)
"""The characters of Windows-1252 for the bytes 80 to BF, which UTF-8 uses as continuation bytes."""
_MISREAD = re.compile(
    f"[\xc2-\xdf]{_CONTINUATION}|[\xe0-\xef]{_CONTINUATION}{{2}}|[\xf0-\xf4]{_CONTINUATION}{{3}}"
)


def visible(text: str) -> str:
    """Return a text without invisible characters."""
    return INVISIBLE.sub("", text)


def is_misread(text: str) -> bool:
    """Return whether a text in UTF-8 was read in another encoding, so some characters are wrong.

    For example, `Ã¶` is an `ö` that was read as Windows-1252. U+FFFD replaces bytes that could
    not be read.
    """
    return "\ufffd" in text or _MISREAD.search(text) is not None
