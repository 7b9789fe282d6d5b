"""Characters that nobody sees, and texts that were read in a wrong encoding.

Both come with what people copy from pages and spreadsheets. The table is written out, and is not
taken from `unicodedata`, so that an address has the same hash in each version of Python.
"""

from __future__ import annotations

import re

INVISIBLE_CHARACTERS = (
    # Cc (controls) but for white space, and Cf (format): soft hyphens, directions, zero widths.
    r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # Variation selectors, and other characters that Unicode calls ignorable: fillers, joiners.
    r"\u180b-\u180d\u180f\ufe00-\ufe0f\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
)
"""Characters that nobody sees, for a set of a regular expression."""
INVISIBLE = re.compile(f"[{INVISIBLE_CHARACTERS}]+")
_CONTINUATION = (
    "[\x80-\xbf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d"
    "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"
)
"""What Windows-1252 reads for the bytes from 80 to BF, which continue a character in UTF-8."""
_MISREAD = re.compile(
    f"[\xc2-\xdf]{_CONTINUATION}|[\xe0-\xef]{_CONTINUATION}{{2}}|[\xf0-\xf4]{_CONTINUATION}{{3}}"
)


def visible(text: str) -> str:
    """Return a text without the characters that nobody sees."""
    return INVISIBLE.sub("", text)


def is_misread(text: str) -> bool:
    """Return whether a text in UTF-8 was read in another encoding, so that characters are wrong.

    `Ã¶` is an `ö` that was read as Windows-1252; U+FFFD stands for what could not be read at all.
    """
    return "\ufffd" in text or _MISREAD.search(text) is not None
