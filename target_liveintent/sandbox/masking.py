"""Masks e-mail addresses in everything that the page shows of an event."""

from __future__ import annotations

import re

MASK = "•••@•••"

# The words of a JSON text. Escape sequences separate words, except that a quoted local part may
# contain spaces, and its quotes are escaped in JSON. The expression reads each character once, so
# its time is linear for every text.
_WORD = re.compile(
    r"""
    (?P<quoted> \\"[^"\\]{1,64}\\"(?:@|%40)[^\s"\\/?&=,;:<>()\[\]{}]+ )
    | \\(?:u[0-9a-fA-F]{4}|.)
    | [^\s"\\/?&=,;:<>()\[\]{}]+
    """,
    re.VERBOSE,
)


def mask_addresses(text: str) -> str:
    """Replace everything in a JSON text that looks like an e-mail address; return valid JSON."""
    if "@" not in text and "%40" not in text:
        return text
    return _WORD.sub(_mask_word, text)


def _mask_word(match: re.Match[str]) -> str:
    word = match[0]
    return MASK if "@" in word or "%40" in word else word
