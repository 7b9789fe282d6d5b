"""Removes addresses and the token from dead letters, log lines and reports.

The messages of this project contain neither addresses nor the token. But the name of a stream or a
file may contain an address, and libraries log headers and URLs, mostly at the level DEBUG. So this
module also checks log lines and reports.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import html
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.identity import MAX_NESTING

LONGEST_TEXT = 8_192
"""The greatest length of a text in characters. No order ID, URL or user agent is longer."""
_SHORTEST_TOKEN = 6
_QUIET = {
    # The warnings contain headers of responses. The program itself logs each outcome.
    "urllib3": logging.ERROR,
    # The warnings are about lost connections, which a run opens again.
    "psycopg": logging.ERROR,
    # At lower levels, the libraries of object stores log headers with tokens.
    **dict.fromkeys(
        ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs"),
        logging.WARNING,
    ),
}
"""The lowest level at which each library may log, even if the log's configuration sets another."""
_TEXTS = (dt.date, uuid.UUID)
"""Types of values that a replay can read from the text in a dead letter."""
_secrets: set[str] = set()
"""The token and the password of the database, as they are and in base64."""


def redact_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns in the form of a dead letter: JSON values without addresses.

    Columns that are null are left out. If this function changes the text of a column, for example
    to a hash in place of an address, a further column `scrubbed` has the new text, too. A replay
    sends such a column only if its text now differs from the one in `scrubbed`, because somebody
    has edited it.
    """
    written = {name: value for name, value in columns.items() if value is not None}
    for name in list(written):
        redact_column(written, name)
    return written


def redact_column(columns: dict[str, Any], name: str) -> None:
    """Replace the value of one column with its form in a dead letter; note a changed text."""
    before = columns[name]
    columns[name] = written = redact_value(before)
    if isinstance(written, str) and written != before and not isinstance(before, _TEXTS):
        columns["scrubbed"] = {**columns.get("scrubbed", {}), name: written}


def _redact_text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        return f"({len(value)} characters)"
    return scrub(value if value.isascii() else value.encode(errors="replace").decode())


def redact_value(value: Any, depth: int = 0, redact: Callable[[str], str] = _redact_text) -> Any:
    """Return a value in the form of a dead letter. Too deeply nested values become None."""
    if depth > MAX_NESTING:
        return None
    if isinstance(value, dict):
        return {redact(str(k)): redact_value(v, depth + 1, redact) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(inner, depth + 1, redact) for inner in value]
    return _redact_single(value, redact)


def _redact_single(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a scalar in the form of a dead letter; NaN becomes None."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, (float, Decimal)):
        number = Decimal(value)
        if number.is_nan():
            return None
        return value if number.is_finite() else redact(str(value))
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return redact(str(value))


def hide_token(token: str) -> None:
    """Remove this token, in all its usual spellings, from everything that is shown from now on."""
    if len(token) < _SHORTEST_TOKEN:  # Removing a short token would garble lines of the log.
        return
    for text in (token, f"Bearer {token}"):
        written = {text, base64.b64encode(text.encode()).decode()}
        written |= {secret.rstrip("=") for secret in written}
        _secrets.update(secret for secret in written if len(secret) >= _SHORTEST_TOKEN)
    _secret_spellings.cache_clear()


_ESCAPED_LETTER = re.compile(
    r"(?:\\(?:u00|x)|%(?:25)*|&#x0*)(?:3\d|[46][1-9a-f]|[57][\da])"
    r"|&#0*(?:4[89]|5[0-7]|6[5-9]|[78]\d|9[0789]|1[01]\d|12[0-2]);",
    re.IGNORECASE,
)
"""Matches an escape of an ASCII letter or of a digit, although these need no escape."""


@functools.cache
def _secret_spellings(*, has_escaped_letters: bool) -> re.Pattern[str] | None:
    """Return the pattern of all secrets in all their spellings, the longest secret first.

    Few texts have escaped letters, and the pattern with their spellings takes long to compile.
    """
    longest_first = sorted(_secrets, key=len, reverse=True)
    if not longest_first:
        return None
    # Few characters of a text can begin a secret. The pattern first checks this, so it is fast.
    firsts = "".join(re.escape(secret[0]) for secret in longest_first)
    patterns = (
        "".join(
            character
            if _needs_no_escape(character) and not has_escaped_letters
            else _spellings_of(character)
            for character in secret
        )
        for secret in longest_first
    )
    return re.compile(rf"(?=[{firsts} +\\%&])(?:{'|'.join(patterns)})")


def _needs_no_escape(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _spellings_of(character: str) -> str:
    """Return the pattern of a character as URLs, JSON, HTML and logs may spell it."""
    code = ord(character)
    in_url = "".join(f"%(?:25){{0,3}}{byte:02x}" for byte in character.encode(errors="replace"))
    escaped = rf"\\{{1,4}}(?:u{code:04x}|x{code:02x})"
    in_html = f"&#(?:0{{0,7}}{code}|x0{{0,7}}{code:x});|{re.escape(html.escape(character))}"
    plain = "[ +]" if character in " +" else re.escape(character)
    return rf"(?:\\{{0,4}}{plain}|(?i:{in_url}|{escaped}|{in_html}))"


def without_secrets(text: str) -> str:
    """Return a text without the token, and with hashes in place of addresses."""
    has_escaped_letters = _ESCAPED_LETTER.search(text) is not None
    spellings = _secret_spellings(has_escaped_letters=has_escaped_letters)
    return scrub(text if spellings is None else spellings.sub("***", text))


class RedactedError(Exception):
    """Replaces an exception in a log record. The text is its traceback without secrets."""


class _Attributes(dict[str, Any]):
    """The attributes of a log record. Attributes from `extra` are redacted when they are added."""

    def __setitem__(self, name: str, value: Any) -> None:
        try:
            redacted = redact_value(value, redact=without_secrets)
        except Exception:  # noqa: BLE001 (a log line must not end a run)
            redacted = f"({type(value).__name__} without a text)"
        super().__setitem__(name, redacted)


class _RedactingFactory:
    """Removes the secrets from the log records that another factory makes."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        record.msg, record.args = _message(record), ()
        if isinstance(record.exc_info, tuple):
            traceback = without_secrets(logging.Formatter().formatException(record.exc_info))
            # Some formatters use the exception, and other formatters use the text.
            record.exc_text = traceback
            record.exc_info = (RedactedError, RedactedError(traceback), None)
        # The name of a logger, a thread or a folder may contain an address.
        texts = {name: text for name, text in vars(record).items() if isinstance(text, str)}
        redacted = {name: without_secrets(text) for name, text in texts.items()}
        record.__dict__ = _Attributes(vars(record) | redacted)
        return record


def _message(record: logging.LogRecord) -> str:
    """Return the text of a log record, without arguments that do not fit the message.

    For such arguments, `logging` would print a traceback that contains them unchanged.
    """
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001
        return f"{record.msg if isinstance(record.msg, str) else ''} (its arguments do not fit)"


def protect_logging() -> None:
    """Redact every log record that the process makes from now on, for every handler.

    Call this function again after a configuration of the log, which may set levels of libraries.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _RedactingFactory):
        logging.setLogRecordFactory(_RedactingFactory(make))
    loggers = list(logging.Logger.manager.loggerDict)
    for library, level in _QUIET.items():
        for name in (library, *(name for name in loggers if name.startswith(f"{library}."))):
            logging.getLogger(name).setLevel(level)
