"""E-mail addresses out of sight: what the page shows of an event passes through here."""

from __future__ import annotations

import re

MASK = "•••@•••"

# Words of JSON text, with what escapes stand between them. A local part in quotes may hold
# spaces; in JSON, its quotes are escaped. Each character is looked at once: no text is slow.
_WORD = re.compile(
    r"""
    (?P<quoted> \\"[^"\\]{1,64}\\"(?:@|%40)[^\s"\\/?&=,;:<>()\[\]{}]+ )
    | \\(?:u[0-9a-fA-F]{4}|.)
    | [^\s"\\/?&=,;:<>()\[\]{}]+
    """,
    re.VERBOSE,
)


def masked(text: str) -> str:
    """Return JSON text with whatever looks like an e-mail address replaced, still JSON."""
    if "@" not in text and "%40" not in text:
        return text
    return _WORD.sub(_masked_word, text)


def _masked_word(found: re.Match[str]) -> str:
    word = found[0]
    return MASK if "@" in word or "%40" in word else word
