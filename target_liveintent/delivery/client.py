"""Posts events to the Conversions API once, and returns the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from target_liveintent.delivery.api import Answer, Verdict, answer_of, retry_after_seconds
from target_liveintent.delivery.transport import Route, find_route
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.redaction import hide_token
from target_liveintent.settings import PartialAnswer, Settings

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
_MAX_TOKEN_BYTES = 65_536  # A longer file cannot hold a token.
_SHOWN_EVENTS = 5  # In a dry run.


class AuthToken:
    """The token of a run; a new token in the token's file replaces it. Threads may share this."""

    def __init__(self, token: str, path: str | None) -> None:
        hide_token(token)
        self.value = token
        self._path = path
        self._lock = threading.Lock()

    def renew(self, denied: str) -> bool:
        """Read the file again if needed; return whether the token now differs from `denied`."""
        with self._lock:
            if self.value == denied and self._path is not None:
                self._read_again(self._path)
            return self.value != denied

    def _read_again(self, path: str) -> None:
        try:
            token = read_token(path)
        except ConfigurationError:  # The file is absent, or another program is replacing it.
            return
        if token != self.value:
            self.value = token
            _logger.info(
                "the API denied access, but the file of auth_token_path now contains another token,"
                " so the run continues with that token"
            )


class Client:
    """Posts events to a URL over connections that stay open. Threads may share a client."""

    def __init__(
        self,
        url: str,
        token: AuthToken,
        longest_wait_seconds: float,
        partial_answer: PartialAnswer = "failed",
    ) -> None:
        self._url = url
        self._token = token
        self._partial_answer = partial_answer
        self._longest_wait_seconds = longest_wait_seconds
        self._route: Route | Answer | None = None  # Found with the first request.
        self._lock = threading.Lock()

    def post(
        self,
        body: bytes,
        event_ids: Iterable[str],
        timeout_seconds: float,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Send a JSON array of events once, unless `may_send` is False when a connection is open.

        A request takes no longer than the timeout, from connecting to the last byte of the answer.
        A fault of the network or of the API raises no error: it is returned as an answer.
        """
        token = self._token.value
        with self._lock:
            if not isinstance(self._route, Route):
                self._route = find_route(self._url)
            route = self._route
        if isinstance(route, Answer):
            return route
        reply = route.post(token, body, timeout_seconds, may_send)
        if isinstance(reply, Answer):
            return reply
        wait_seconds = retry_after_seconds(reply.status, reply.headers, self._longest_wait_seconds)
        answer = answer_of(
            reply.status, reply.content, event_ids, wait_seconds, self._partial_answer
        )
        if answer.verdict is Verdict.DENIED and self._token.renew(token):
            return msgspec.structs.replace(answer, verdict=Verdict.ROTATED)
        return answer


class DryClient:
    """Shows the first events in a dry run, and sends nothing."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._events_to_show = iter(range(_SHOWN_EVENTS))

    def post(self, body: bytes, *_more: object) -> Answer:
        """Log the first events of the run, and accept all events."""
        events = msgspec.json.decode(body, type=list[msgspec.Raw])
        for event, _ in zip(events, self._events_to_show, strict=False):
            self._logger.info("would send: %s", bytes(event).decode())
        return Answer(Verdict.ACCEPTED, "a dry run")


def client_of(settings: Settings, logger: logging.Logger) -> Client | DryClient:
    """Return the client of a run; in a dry run, the client logs events and sends no event."""
    token = AuthToken(settings.auth_token, settings.auth_token_path)
    if settings.dry_run:
        return DryClient(logger)
    return Client(
        settings.url, token, settings.max_retry_seconds, settings.partial_answer or "failed"
    )


def is_usable_token(token: str) -> bool:
    """Return whether a text can be sent as the token in an HTTP header."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def read_token(path: str) -> str:
    """Return the token that a file holds, without the white space around it.

    From now on, no log line shows the token.

    Raises:
        ConfigurationError: If the file has no usable token; the message shows nothing of the file.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        msg = f"the file named in setting 'auth_token_path' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    except ValueError:  # The file is not text, or the path is not valid.
        token = ""
    if not is_usable_token(token):
        msg = "setting 'auth_token_path' must name a file that contains a token and nothing else"
        raise ConfigurationError(msg)
    hide_token(token)
    return token
