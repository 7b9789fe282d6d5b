"""Placeholders, such as `undefined`, which identify nobody, and their hashes."""

from __future__ import annotations

import hashlib
import uuid

_TEXTS = (
    *("", " ", "null", "(null)", "None", "(none)", "nil", "NaN", "undefined", "unknown"),
    *("n/a", "#n/a", "na", "not set", "(not set)", "not_set", "[object Object]", "-", "<null>"),
    *("true", "false", "0"),
    *(str(uuid.UUID(int=0)), "0" * 32, "0" * 64),
)
"""Texts that sources write, or hash, instead of an ID or an address that they do not have."""
_PLACEHOLDERS = frozenset(text.strip().lower() for text in _TEXTS)
_LONGEST = max(map(len, _PLACEHOLDERS))

JUNK_HASHES = frozenset(
    algorithm(variant.encode(), usedforsecurity=False).hexdigest()
    for text in _TEXTS
    for variant in (text, text.lower(), text.upper(), text.capitalize(), text.title())
    for algorithm in (hashlib.md5, hashlib.sha256)
) | {text for text in _TEXTS if len(text) in (32, 64)}
"""The hashes of these texts in their usual cases, and those of zeros alone: in lower case."""


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder, in any case and with any spaces around it."""
    return len(text) <= _LONGEST and text.strip().lower() in _PLACEHOLDERS
