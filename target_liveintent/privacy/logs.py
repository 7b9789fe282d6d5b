"""Redaction of log lines and reports: no address and no token in them, whoever writes them.

This is the last line of defence. No message of this project contains an address or the token, but
streams and files can be named after people, and libraries log more than that, above all at DEBUG.
"""

from __future__ import annotations

import base64
import logging
from urllib.parse import quote, quote_plus

from target_liveintent.privacy.identity import scrub

_MIN_LENGTH = 6
_spellings: set[str] = set()


def hide_token(token: str) -> None:
    """Remove this token, in all its usual spellings, from everything that is logged from now on."""
    if len(token) < _MIN_LENGTH:  # Its removal would garble every line, and it protects little.
        return
    for text in (token, f"Bearer {token}"):
        encoded = base64.b64encode(text.encode()).decode()
        _spellings.update({text, quote(text, safe=""), quote_plus(text), encoded})


def without_secrets(text: str) -> str:
    """Return a text without the token, and with hashes in place of addresses."""
    for spelling in sorted(_spellings, key=len, reverse=True):
        text = text.replace(spelling, "***")
    return scrub(text)


class _Redacting(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(self._inner.format(record))


def protect_logging(logger: logging.Logger | None = None) -> None:
    """Redact what the handlers of a logger, by default the root logger, write from now on."""
    # Warnings of urllib3 contain an answer's headers; every outcome is logged elsewhere anyway.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    for handler in (logger or logging.getLogger()).handlers:
        if not isinstance(handler.formatter, _Redacting):
            handler.setFormatter(_Redacting(handler.formatter or logging.Formatter()))
