"""One attempt: posts a batch to the Conversions API and returns the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from target_liveintent.delivery.api import Answer, Verdict, judge, seconds_to_wait
from target_liveintent.delivery.transport import Route, find_route
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.redaction import hide_token
from target_liveintent.settings import Settings

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
_MAX_BYTES = 65_536  # Of a token's file; a longer one cannot be a token.
_SHOWN = 5  # Events that a dry run shows.


class Client:
    """Posts batches over connections that stay open. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        hide_token(settings.auth_token)
        self._settings = settings
        self._token = settings.auth_token
        self._route: Route | Answer | None = None  # Found with the first request.
        self._lock = threading.Lock()

    def post(self, body: bytes, event_ids: Iterable[str], seconds: float) -> Answer:
        """Send a JSON array of events once.

        It takes no longer than so many seconds, from connecting to the last byte of the answer.
        Never raises for what the network or the API does.
        """
        token = self._token
        with self._lock:
            if not isinstance(self._route, Route):
                self._route = find_route(self._settings)
            route = self._route
        reply = route.post(token, body, seconds) if isinstance(route, Route) else route
        if isinstance(reply, Answer):
            return reply
        status, headers, content = reply
        wait = seconds_to_wait(status, headers, self._settings.max_retry_seconds)
        answer = judge(status, content, event_ids, wait)
        return self._denied(token, answer) if answer.verdict is Verdict.DENIED else answer

    def _denied(self, denied: str, answer: Answer) -> Answer:
        """Find out whether there is another token than the one that was denied; read its file."""
        with self._lock:
            if self._token == denied and self._settings.auth_token_path is not None:
                try:
                    token = read_token(self._settings.auth_token_path)
                except ConfigurationError:  # It is being replaced, or is missing.
                    return answer
                if token != denied:
                    self._token = token
                    _logger.info(
                        "the API denied access, but the file of auth_token_path now contains"
                        " another token, so the run continues with that token"
                    )
            if self._token == denied:
                return answer
            return msgspec.structs.replace(answer, verdict=Verdict.ROTATED)


class DryClient(Client):
    """Shows the first events in a dry run, and sends nothing."""

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        super().__init__(settings)
        self._logger = logger
        self._left = iter(range(_SHOWN))

    def post(self, body: bytes, event_ids: Iterable[str], seconds: float) -> Answer:  # noqa: ARG002
        """Log events, unless enough have been shown, and accept them all."""
        events = msgspec.json.decode(body, type=list[msgspec.Raw])
        for event, _ in zip(events, self._left, strict=False):
            self._logger.info("would send: %s", bytes(event).decode())
        return Answer(Verdict.ACCEPTED, "a dry run")


def is_usable_token(token: str) -> bool:
    """Return whether a text can stand in an HTTP header as a token."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def read_token(path: str) -> str:
    """Return the token that a file holds, without the white space around it.

    Nothing is logged of it from now on.

    Raises:
        ConfigurationError: If it holds no usable token; the message shows nothing of the file.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MAX_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        msg = f"the file named in setting 'auth_token_path' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    except ValueError:  # The file is not text, or the path cannot be one.
        token = ""
    if not is_usable_token(token):
        msg = "setting 'auth_token_path' must name a file that contains a token and nothing else"
        raise ConfigurationError(msg)
    hide_token(token)
    return token
