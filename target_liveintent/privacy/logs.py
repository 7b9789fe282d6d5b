"""The last line of defence: whatever is logged, by whomever, goes out without addresses and token.

No message of this project holds one. But streams and files can be named after people, and libraries
log what they please, at DEBUG above all.
"""

from __future__ import annotations

import base64
import logging
from urllib.parse import quote, quote_plus

from target_liveintent.privacy.identity import scrub

_HIDDEN = "***"
_SHORTEST = 6
_spellings: set[str] = set()


def hide_token(token: str) -> None:
    """Never show this token again, in any of its usual spellings."""
    if len(token) < _SHORTEST:  # It would garble every line, and is no secret.
        return
    for text in (token, f"Bearer {token}"):
        encoded = base64.b64encode(text.encode()).decode()
        _spellings.update({text, quote(text, safe=""), quote_plus(text), encoded})


def without_secrets(text: str) -> str:
    """A text without the token, and with hashes in place of addresses."""
    for spelling in sorted(_spellings, key=len, reverse=True):
        text = text.replace(spelling, _HIDDEN)
    return scrub(text)


class _Formatter(logging.Formatter):
    """Scrubs what another formatter makes."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(self._inner.format(record))


def protect_logging(logger: logging.Logger | None = None) -> None:
    """Scrub what all handlers of a logger, or else of the root logger, write from now on."""
    # What urllib3 says at WARNING holds an answer's headers, and every outcome is told anyway.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    for handler in (logger or logging.getLogger()).handlers:
        if not isinstance(handler.formatter, _Formatter):
            handler.setFormatter(_Formatter(handler.formatter or logging.Formatter()))
