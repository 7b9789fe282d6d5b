"""One attempt: posts a batch to the Conversions API and returns the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import msgspec

from target_liveintent.clock import Clock
from target_liveintent.delivery.api import MORE_DESCRIPTORS, Answer, Verdict, judge
from target_liveintent.delivery.network_faults import (
    NETWORK_FAULTS,
    describe,
    is_starved,
    is_timeout,
)
from target_liveintent.delivery.tokens import read_token
from target_liveintent.delivery.transport import Route, find_route, read_body, retry_after
from target_liveintent.errors import ConfigurationError, SetUpError
from target_liveintent.privacy import hide_token
from target_liveintent.settings import Settings

# Users filter log lines by this name, so it does not depend on where this module is.
_logger = logging.getLogger("target_liveintent.client")
_SHORTEST_TIMEOUT = 1.0
"""Seconds that each request may take, however little is left of its batch's budget."""


class Client:
    """Posts batches over connections that stay open. Threads may share it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        hide_token(settings.auth_token)
        self._settings = settings
        self._clock = clock
        self._headers = _headers(settings.auth_token)
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
        headers = self._headers
        answer = self._exchange(body, event_ids, headers, within)
        if answer.verdict is Verdict.DENIED:
            answer = msgspec.structs.replace(answer, verdict=self._denied(headers))
        return msgspec.structs.replace(answer, seconds=self._clock.monotonic() - start)

    def _exchange(
        self, body: bytes, event_ids: Iterable[str], headers: dict[str, str], within: float
    ) -> Answer:
        longest = self._settings.request_timeout_seconds
        try:
            with self._finding:
                route = self._route = self._route or find_route(self._settings)
            response = route.post(body, headers, min(longest, max(within, _SHORTEST_TIMEOUT)))
            answered = read_body(response)
        except SetUpError as fault:
            return Answer(Verdict.UNREACHABLE, str(fault))
        except NETWORK_FAULTS as fault:
            if is_starved(fault):
                self._warn_of_starvation()
                return Answer(Verdict.STARVED, describe(fault))
            verdict = Verdict.LIMITED if is_timeout(fault) else Verdict.FAULT
            return Answer(verdict, describe(fault))
        return judge(response.status, answered, event_ids, retry_after(response))

    def _warn_of_starvation(self) -> None:
        """Say once that the system gave no file descriptor."""
        if not self._has_starved:
            self._has_starved = True
            _logger.warning(
                "no file descriptors are left for another connection, so the run continues with"
                " fewer requests in flight. %s",
                MORE_DESCRIPTORS,
            )

    def _denied(self, denied: dict[str, str]) -> Verdict:
        """Return whether a denied token was rotated; read its file if need be."""
        with self._rotating:
            if self._headers is not denied:  # Another thread has read it in the meantime.
                return Verdict.ROTATED
            if self._settings.auth_token_path is None:
                return Verdict.DENIED
            try:
                token = read_token(self._settings.auth_token_path)
            except ConfigurationError as fault:
                # It is being replaced, or gone: there is no new token. Or it cannot be opened now.
                return Verdict.STARVED if is_starved(fault) else Verdict.DENIED
            hide_token(token)
            present = _headers(token)
            if present == denied:
                return Verdict.DENIED
            self._headers = present
            _logger.info(
                "the API denied access, but the file of auth_token_path now contains another"
                " token, so the run continues with that token"
            )
            return Verdict.ROTATED


def _headers(token: str) -> dict[str, str]:
    """Return the headers of each request. requests would let a netrc entry replace the token."""
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "User-Agent": "target-liveintent",
    }
