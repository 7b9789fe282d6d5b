"""Redaction of values for dead letters, and of log lines with any handler and formatter."""

import base64
import datetime as dt
import html
import io
import json
import logging
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from singer_sdk.logging import ConsoleFormatter, StructuredFormatter
from unit_support import sha256

from target_liveintent.privacy.redaction import (
    hide_token,
    protect_logging,
    redact_columns,
    redact_value,
    without_secrets,
)

ADDRESS = "ann@example.com"
HASH = sha256(ADDRESS)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (1.5, 1.5),
        (Decimal("1.10"), Decimal("1.10")),
        (Decimal("Infinity"), "Infinity"),
        (math.inf, "inf"),
        (math.nan, None),
        (Decimal("NaN"), None),
        (dt.datetime(2026, 8, 1, tzinfo=dt.timezone.utc), "2026-08-01T00:00:00+00:00"),
        (dt.time(1, 2), "01:02:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\xff", "b'\\xff'"),
        ({"\ud800": {1}}, {"?": "{1}"}),
        ("a\ud800", "a?"),
        (f"to {ADDRESS}", f"to {HASH}"),
        ([ADDRESS, (ADDRESS,)], [HASH, [HASH]]),
        ({ADDRESS: {"a": ADDRESS}, 1: 2}, {HASH: {"a": HASH}, "1": 2}),
    ],
    ids=[
        "null",
        "float",
        "decimal",
        "infinite decimal",
        "infinite float",
        "float that is none",
        "decimal that is none",
        "moment",
        "time of day",
        "UUID",
        "bytes",
        "surrogate key and a set",
        "surrogate",
        "address in a text",
        "addresses in lists",
        "addresses in objects",
    ],
)
def test_values_become_json_with_a_hash_for_each_address(value: Any, written: Any) -> None:
    assert redact_value(value) == written


def test_only_the_length_is_kept_of_a_text_that_is_too_long_for_a_value() -> None:
    assert redact_value("x" * 8_192) == "x" * 8_192
    assert redact_value("x" * 8_193) == "(8193 characters)"


@pytest.mark.parametrize(
    "wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"]
)
def test_what_lies_deeper_than_50_levels_is_left_out(wrap: Callable[[Any], Any]) -> None:
    """What lies at the deepest level is kept; what lies deeper is left out."""
    deepest, emptied = "x", None
    for _ in range(50):
        deepest, emptied = wrap(deepest), wrap(emptied)
    assert redact_value(deepest) == deepest
    assert redact_value(wrap(deepest)) == wrap(emptied)


def test_empty_columns_are_left_out_and_changed_texts_are_listed() -> None:
    columns = {"a": None, "b": ADDRESS, "c": 1, "d": r"to ann\u0040example.com", "e": [ADDRESS]}
    written = {
        "b": HASH,
        "c": 1,
        "d": f"to {HASH}",
        "e": [HASH],
        "scrubbed": {"b": HASH, "d": f"to {HASH}"},
    }
    assert redact_columns(columns) == written
    day, of_nothing = dt.date(2026, 8, 1), uuid.UUID(int=0)
    assert redact_columns({"a": day, "b": of_nothing}) == {"a": str(day), "b": str(of_nothing)}
    odd = {"a": dt.time(9), "b": b"7", "c": Decimal("Infinity"), "d": object()}
    assert redact_columns(odd)["scrubbed"].keys() == odd.keys()
    assert columns["b"] == ADDRESS


# Log lines

TOKEN = "t0ken+of/these&tests =="


@pytest.fixture
def logger(_keep_logging: None) -> Iterator[logging.Logger]:
    """Return a logger without handlers, which passes nothing on; records are redacted."""
    logger = logging.getLogger("test_logs")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    protect_logging()
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def handler(logger: logging.Logger, formatter: logging.Formatter | None) -> io.StringIO:
    """Add a handler to a logger, and return what it writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return written


class Everything(logging.Formatter):
    """Writes all that a record has."""

    def format(self, record: logging.LogRecord) -> str:
        """Return its attributes and the text of its exception."""
        shown = json.dumps(vars(record), default=str)
        return shown + (self.formatException(record.exc_info) if record.exc_info else "")


class Odd:
    """An object whose text is an address, or which has none."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __str__(self) -> str:
        if self._text is None:
            raise ValueError(ADDRESS)
        return self._text


def log_all(logger: logging.Logger) -> None:
    """Log the address and the token in all ways that there are."""
    try:
        try:
            int(ADDRESS)
        except ValueError as error:
            raise KeyError(TOKEN) from error
    except KeyError:
        logger.exception("order of %s is sent", ADDRESS)
    logger.warning("order of %(who)s", {"who": Odd(ADDRESS)}, stack_info=True)
    logger.warning("order of %s and %s", *[ADDRESS])
    logger.warning(f"order of {ADDRESS} and %s", Odd(None))  # noqa: G004
    extra = {"who": ADDRESS, "all": [Odd(TOKEN), {ADDRESS: 1}], "odd": Odd(None), "count": 2}
    logger.warning("order", extra=extra)
    logger.getChild(ADDRESS).warning(Odd(ADDRESS))


FORMATTERS = [
    *(None, logging.Formatter("%(name)s %(levelname)s: %(message)s"), ConsoleFormatter()),
    *(StructuredFormatter(), Everything()),
]


@pytest.mark.parametrize(
    "formatter",
    FORMATTERS,
    ids=["no formatter", "plain text", "console", "structured", "everything"],
)
def test_a_record_has_no_address_and_no_token(
    logger: logging.Logger,
    formatter: logging.Formatter | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a handler shows of it, and also if the arguments of a line do not fit."""
    hide_token(TOKEN)
    written = handler(logger, formatter)
    protect_logging()  # A second target in a process redacts nothing twice.
    log_all(logger)
    text = written.getvalue()
    assert ADDRESS not in text
    assert TOKEN not in text
    assert text.count("order") >= 5
    assert all(part in text for part in (HASH, "***", "Traceback", "ValueError", "do not fit"))
    assert capsys.readouterr().err == ""


def test_the_rest_of_a_line_stays_and_extra_stays_json(logger: logging.Logger) -> None:
    """The line and the traceback stay as they are, but for the address; `extra` stays JSON."""
    plain, structured = handler(logger, None), handler(logger, StructuredFormatter())
    try:
        int(ADDRESS)
    except ValueError:
        logger.exception("order of %s is 100%% sent", ADDRESS, extra={"counts": {"a": [1, None]}})
    assert plain.getvalue().startswith(f"order of {HASH} is 100% sent\nTraceback")
    assert plain.getvalue().count("Traceback") == 1
    shown = json.loads(structured.getvalue())
    assert shown["message"] == f"order of {HASH} is 100% sent"
    assert "\nValueError: invalid literal" in shown["exception"]["message"]
    assert shown["extra"]["counts"] == {"a": [1, None]}


@pytest.mark.parametrize(
    "spelling",
    [
        *(TOKEN, quote(TOKEN, safe=""), quote_plus(TOKEN), f"Bearer {TOKEN}"),
        *(base64.b64encode(f"{before}{TOKEN}".encode()).decode() for before in ("", "Bearer ")),
        json.dumps(TOKEN).strip('"').replace("/", "\\/"),
        TOKEN.replace("+", "\\u002B").replace("=", "\\u003d"),
        "".join(f"\\u{ord(character):04x}" for character in TOKEN),
        json.dumps("".join(f"\\u{ord(character):04X}" for character in TOKEN)).strip('"'),
        "".join(f"%{ord(character):02x}" for character in TOKEN),
        quote(quote(TOKEN, safe=""), safe=""),
        "".join(f"&#x{ord(character):X};" for character in TOKEN),
        html.escape(TOKEN),
        TOKEN.rstrip("="),
        TOKEN.replace("+", " "),
        TOKEN.replace("/", "\\x2f"),
    ],
    ids=[
        "as it is",
        "quoted",
        "quoted with plus",
        "after Bearer",
        "in base64",
        "after Bearer in base64",
        "with an escaped slash",
        "with escaped symbols",
        "with each character escaped",
        "escaped twice",
        "with each byte quoted",
        "quoted twice",
        "as numbers of HTML",
        "as HTML",
        "without its padding",
        "with a plus that was read as a space",
        "with a slash as a log escapes it",
    ],
)
def test_the_token_is_hidden_in_every_spelling(spelling: str) -> None:
    """A URL or a header may encode the token."""
    hide_token(TOKEN)
    assert without_secrets(f"before {spelling} after") == "before *** after"


def test_a_token_that_is_mostly_padding_is_hidden() -> None:
    """Without its padding, it would be too short, and lines would be garbled."""
    hide_token("q=====")
    assert without_secrets("a q===== b, Bearer c, q") == "a *** b, Bearer c, q"


@pytest.mark.parametrize(
    ("token", "line"),
    [
        *((token, "the token of x7q9z2 is stale") for token in ("", "t", "token")),
        ("x7q9z2", "the token of *** is stale"),
    ],
    ids=["empty token", "one letter", "five letters", "six characters"],
)
def test_a_short_token_garbles_no_line(token: str, line: str) -> None:
    """Up to five characters stand in too many words to be replaced; six are a secret."""
    hide_token(token)
    assert without_secrets("the token of x7q9z2 is stale") == line


@pytest.mark.parametrize(
    ("name", "lowest"),
    [
        # Warnings of urllib3 have headers of the answer in them; its errors are logged.
        ("urllib3", logging.ERROR),
        ("psycopg", logging.ERROR),
        # A configuration of the log may name a part of a library, which logs what it signs.
        *((name, logging.WARNING) for name in ("botocore", "botocore.auth", "aiobotocore.hooks")),
        *((name, logging.WARNING) for name in ("s3fs", "fsspec", "gcsfs", "google.auth")),
        *((name, logging.WARNING) for name in ("adlfs", "azure.core.pipeline")),
    ],
    ids=str,
)
@pytest.mark.usefixtures("logger")
def test_what_libraries_log_at_low_levels_is_left_out(name: str, lowest: int) -> None:
    """Tokens and headers are in it, whatever the configuration of the log says."""
    library = logging.getLogger(name)
    library.setLevel(logging.DEBUG)
    protect_logging()
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    assert min(filter(library.isEnabledFor, levels)) == lowest
