"""One attempt: posts a batch to the Conversions API and returns the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

import msgspec

from target_liveintent.clock import Clock
from target_liveintent.delivery.api import Answer, Verdict, judge, seconds_to_wait
from target_liveintent.delivery.network_faults import NetworkFault, explain, is_starved
from target_liveintent.delivery.transport import NoReplyError, Route, find_route
from target_liveintent.errors import ConfigurationError, SetUpError
from target_liveintent.privacy import hide_token
from target_liveintent.settings import Settings

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
_SHORTEST_TIMEOUT = 1.0
"""Seconds that each request may take, however little is left of its batch's budget."""
_MAX_BYTES = 65_536
"""Bytes of a token's file that are read; a longer file cannot be a token."""


class Client:
    """Posts batches over connections that stay open. Threads may share it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        hide_token(settings.auth_token)
        self._settings = settings
        self._clock = clock
        self._token = settings.auth_token
        self._rotating = threading.Lock()
        self._route: Route | None = None  # Found with the first request.
        self._finding = threading.Lock()
        self._has_starved = False

    def post(self, body: bytes, event_ids: Iterable[str], within: float) -> Answer:
        """Send a JSON array of events once; after so many seconds, its answer is of no use.

        It takes no longer than `request_timeout_seconds`, from connecting to the last byte of the
        answer. Never raises for what the network or the API does.
        """
        start = self._clock.monotonic()
        token = self._token
        answer = self._exchange(body, event_ids, token, within)
        if answer.verdict is Verdict.DENIED:
            answer = msgspec.structs.replace(answer, verdict=self._denied(token))
        return msgspec.structs.replace(answer, seconds=self._clock.monotonic() - start)

    def _exchange(self, body: bytes, event_ids: Iterable[str], token: str, within: float) -> Answer:
        seconds = min(self._settings.request_timeout_seconds, max(within, _SHORTEST_TIMEOUT))
        try:
            with self._finding:
                route = self._route = self._route or find_route(self._settings)
            reply = route.post(token, body, seconds)
        except SetUpError as fault:
            return Answer(Verdict.UNREACHABLE, str(fault))
        except OSError as fault:  # No file descriptor is left to find the route.
            return self._without_reply(explain(fault), was_connected=False)
        except NoReplyError as none:
            return self._without_reply(none.fault, was_connected=route.was_connected)
        wait = None
        if reply.status >= HTTPStatus.BAD_REQUEST:
            wait = seconds_to_wait(reply.headers, self._settings.max_retry_seconds)
        return judge(reply.status, reply.body, event_ids, wait)

    def _without_reply(self, fault: NetworkFault, *, was_connected: bool) -> Answer:
        """Return the answer for a fault; if a connection was made before, an obstacle may pass."""
        if fault.verdict is Verdict.STARVED and not self._has_starved:
            self._has_starved = True
            _logger.warning(
                "no file descriptors are left for another connection, so the run continues with"
                " fewer requests in flight. %s",
                fault.advice,
            )
        if fault.verdict is not Verdict.UNREACHABLE:
            return Answer(fault.verdict, fault.what)
        if was_connected:
            return Answer(Verdict.FAULT, fault.what)
        return Answer(Verdict.UNREACHABLE, f"{fault.what}. {fault.advice}")

    def _denied(self, denied: str) -> Verdict:
        """Return whether a denied token was rotated; read its file if need be."""
        with self._rotating:
            if self._token != denied:  # Another thread has read it in the meantime.
                return Verdict.ROTATED
            if self._settings.auth_token_path is None:
                return Verdict.DENIED
            try:
                token = read_token(self._settings.auth_token_path)
            except ConfigurationError as fault:
                # It is being replaced, or gone: there is no new token. Or it cannot be opened now.
                return Verdict.STARVED if is_starved(fault) else Verdict.DENIED
            hide_token(token)
            if token == denied:
                return Verdict.DENIED
            self._token = token
            _logger.info(
                "the API denied access, but the file of auth_token_path now contains another"
                " token, so the run continues with that token"
            )
            return Verdict.ROTATED


def is_usable_token(token: str) -> bool:
    """Return whether a text can stand in an HTTP header as a token."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def read_token(path: str) -> str:
    """Return the token that a file holds, without the white space around it.

    Raises:
        ConfigurationError: If the file holds no usable token; the message does not show its
            content.
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
    return token
