"""Log lines contain no address and no token, with any handler and formatter."""

from __future__ import annotations

import base64
import io
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from unit_support import sha256

from target_liveintent.privacy.redaction import hide_token, protect_logging, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "ann@example.com"
TOKEN = "t0ken+of/these tests"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger without handlers, which passes nothing on."""
    logger = logging.getLogger("test_logs")
    logger.propagate = False
    logger.setLevel(logging.INFO)
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


@pytest.mark.parametrize(
    ("formatter", "line"),
    [
        (None, "order of {} is sent\n"),
        (logging.Formatter("%(levelname)s: %(message)s"), "INFO: order of {} is sent\n"),
    ],
    ids=["no-formatter", "formatter"],
)
def test_addresses_are_redacted(
    logger: logging.Logger, formatter: logging.Formatter | None, line: str
) -> None:
    """A hash replaces an address, also where the handler has no formatter of its own."""
    written = handler(logger, formatter)
    protect_logging(logger)
    logger.info("order of %s is sent", ADDRESS)
    assert written.getvalue() == line.format(sha256(ADDRESS))


def test_tracebacks_are_redacted(logger: logging.Logger) -> None:
    """An exception of a library may contain an address."""
    written = handler(logger, None)
    protect_logging(logger)
    try:
        int(ADDRESS)
    except ValueError:
        logger.exception("failed")
    assert "Traceback" in written.getvalue()
    assert ADDRESS not in written.getvalue()


def test_protecting_twice_redacts_once(logger: logging.Logger) -> None:
    """A second target in a process wraps no formatter again."""
    handler(logger, None)
    protect_logging(logger)
    before = [one.formatter for one in logger.handlers]
    protect_logging(logger)
    assert [one.formatter for one in logger.handlers] == before


@pytest.mark.parametrize(
    "spelling",
    [
        TOKEN,
        quote(TOKEN, safe=""),
        quote_plus(TOKEN),
        base64.b64encode(TOKEN.encode()).decode(),
        f"Bearer {TOKEN}",
        base64.b64encode(f"Bearer {TOKEN}".encode()).decode(),
    ],
)
def test_the_token_is_hidden_in_every_spelling(spelling: str) -> None:
    """A URL or a header may encode the token."""
    hide_token(TOKEN)
    assert without_secrets(f"before {spelling} after") == "before *** after"


@pytest.mark.parametrize("token", ["", "t", "token"[:5]])
def test_a_short_token_garbles_no_line(token: str) -> None:
    """Up to five characters stand in too many words to be replaced."""
    hide_token(token)
    text = "the token of the target is stale"
    assert without_secrets(text) == text


def test_a_token_of_six_characters_is_hidden() -> None:
    """Six characters are enough to be a secret."""
    hide_token("x7q9z2")
    assert without_secrets("it is x7q9z2.") == "it is ***."


def test_warnings_of_urllib3_are_not_logged(logger: logging.Logger) -> None:
    """They have headers of the answer in them; its errors are logged."""
    urllib3 = logging.getLogger("urllib3")
    before = urllib3.level
    urllib3.setLevel(logging.DEBUG)
    protect_logging(logger)
    enabled = [urllib3.isEnabledFor(level) for level in (logging.WARNING, logging.ERROR)]
    urllib3.setLevel(before)
    assert enabled == [False, True]
