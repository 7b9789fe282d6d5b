"""The Conversions API's contract: one POST in, one outcome out.

    POST {api_url}/conversions/{customer_id}      Authorization: Bearer {token}
    [event, …]                                    1 to 100 events, a JSON array

    204            every event was processed
    200            a part was processed; the body is an array of strings (inferred: the event IDs
                   of what was not)
    400 413 422    the whole batch is refused because of at least one event
    401 403        the token or the customer ID is wrong, or the token was rotated: a token file
                   is read once more
    408 425 429 5xx, no answer    try again, not before `Retry-After`

Source: LiveIntent's guide for the request and the refusal of whole batches, a CDP vendor's
documentation for 204 and 200; the rest is inferred from sister APIs. Whatever else is answered is
unknown and ends the run.
"""

from __future__ import annotations

import enum
import html
import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from target_liveintent.delivery import tokens
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.logs import hide_token, without_secrets
from target_liveintent.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Collection

    from target_liveintent.settings import Settings

_logger = logging.getLogger(__name__)
_MAX_ANSWER = 65_536
"""Bytes of an answer that are read; what follows is no answer of this API."""
_MAX_DETAIL = 500


class Verdict(enum.Enum):
    """What an answer means for the events that were sent."""

    ACCEPTED = "accepted"
    PARTLY = "partly processed"
    UNCONFIRMED = "unconfirmed"
    REFUSED = "refused"
    DENIED = "denied"
    ROTATED = "denied, but there is a new token now"
    RETRY = "retry"
    UNKNOWN = "unknown"


_KINDS = {
    204: Verdict.ACCEPTED,
    200: Verdict.UNCONFIRMED,  # Unless its body says more, see `_partly`.
    400: Verdict.REFUSED,
    413: Verdict.REFUSED,
    422: Verdict.REFUSED,
    401: Verdict.DENIED,
    403: Verdict.DENIED,
    408: Verdict.RETRY,
    425: Verdict.RETRY,
    429: Verdict.RETRY,
}


class Answer(msgspec.Struct, frozen=True):
    """What became of one POST.

    Attributes:
        kind: What it means.
        detail: One line for people, without addresses and without the token.
        status: The HTTP status; None if there was no answer.
        retry_after: Seconds that the API asks to wait.
        not_processed: Event IDs that a 200 names.
        seconds: How long it took.
    """

    kind: Verdict
    detail: str
    status: int | None = None
    retry_after: float | None = None
    not_processed: frozenset[str] = frozenset()
    seconds: float = 0.0

    @property
    def proves_bad_event(self) -> bool:
        """Whether at least one event is at fault, and not the size of the whole."""
        return self.kind is Verdict.REFUSED and self.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _headers(token: str) -> dict[str, str]:
    """What stands above each body. Not made by requests: a netrc entry would replace the token."""
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "User-Agent": "target-liveintent",
    }


class _Route(NamedTuple):
    """The way to the API.

    Attributes:
        pool: The connections, with the proxy and the certificates of the environment.
        target: What stands after POST: a path, or the whole URL for a plain proxy.
    """

    pool: urllib3.HTTPConnectionPool
    target: str


class Client:
    """Posts batches over connections that are kept open. Threads may share it.

    requests finds proxies and certificates, once. What is the same for each request is made once,
    and urllib3, on which requests stands, sends it: 190 µs of CPU a request, and not 300.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare all of the request that does not depend on its events."""
        hide_token(settings.auth_token)
        self._settings = settings
        self._headers = _headers(settings.auth_token)
        self._rotating = threading.Lock()
        self._route: _Route | None = None
        self._finding = threading.Lock()

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
        """Send one batch once. Never raises for what the network or the API does.

        Args:
            body: The JSON array of events.
            event_ids: Their IDs, which a 200 may name.
            within: Seconds after which the caller has no use for an answer.
        """
        headers, longest = self._headers, self._settings.request_timeout_seconds
        start = time.monotonic()
        try:
            with self._finding:
                self._route = self._route or _find_route(self._settings)
            response = self._route.pool.urlopen(
                "POST",
                self._route.target,
                body,
                headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=min(longest, max(within, 1.0)),
                preload_content=False,
            )
            answer = _read(response, start + longest)
        except _SetUpError as fault:
            outcome = Answer(Verdict.UNKNOWN, f"a fault of this machine's set-up: {fault}")
        except (urllib3.exceptions.HTTPError, OSError) as fault:
            outcome = Answer(Verdict.RETRY, _fault(fault))
        else:
            outcome = self._judge(response, answer, event_ids)
        if outcome.kind is Verdict.DENIED and self._has_rotated(headers):
            outcome = msgspec.structs.replace(outcome, kind=Verdict.ROTATED)
        return msgspec.structs.replace(outcome, seconds=time.monotonic() - start)

    def _has_rotated(self, denied: dict[str, str]) -> bool:
        """Whether there is another token than the one that was denied; reads it if need be."""
        with self._rotating:
            if self._headers is not denied:  # Another thread has read it meanwhile.
                return True
            if self._settings.auth_token_path is None:
                return False
            try:
                token = tokens.read(self._settings.auth_token_path)
            except ConfigurationError:  # Just being replaced, or gone: nothing new.
                return False
            hide_token(token)
            present = _headers(token)
            if present == denied:
                return False
            self._headers = present
            _logger.info(
                "the API denied access; auth_token_path holds another token now, which is used"
            )
            return True

    @staticmethod
    def _judge(
        response: urllib3.BaseHTTPResponse, answer: bytes, event_ids: Collection[str]
    ) -> Answer:
        status = response.status
        kind = _KINDS.get(status, Verdict.RETRY if 500 <= status <= 599 else Verdict.UNKNOWN)  # noqa: PLR2004
        detail = f"HTTP {status}"
        if kind is Verdict.UNCONFIRMED and (named := _partly(answer, event_ids)):
            return Answer(Verdict.PARTLY, detail, status, not_processed=named)
        if kind is Verdict.REFUSED and (said := _said(answer)):
            detail = f"{detail}: {said}"
        return Answer(kind, detail, status, _retry_after(response))


def _said(answer: bytes) -> str:
    """What a refusal says, in one line, without anything that an answer must not leak."""
    text = answer.decode(errors="replace")
    try:
        said = msgspec.json.decode(text)
        text = msgspec.json.encode(said).decode()  # Escapes could hide an address.
        text = "; ".join(str(error["message"]) for error in said["errors"])
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError, RecursionError):
        pass  # The format is unknown; sister APIs have the one that is tried here.
    return without_secrets(" ".join(html.unescape(text).split()))[:_MAX_DETAIL]


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The answer's body, so that the connection can be used again.

    Raises:
        TimeoutError: If it is still dripping at the deadline, a `time.monotonic()`.
    """
    answer = b""
    # Even where there can be no body, that of a 204: only when it was looked for may the next
    # request go over this connection.
    while chunk := response.read1(_MAX_ANSWER, decode_content=True):
        answer += chunk
        if len(answer) >= _MAX_ANSWER:
            response.close()
            break
        if time.monotonic() > deadline:
            response.close()
            raise TimeoutError
    response.release_conn()
    return answer


def _partly(answer: bytes, event_ids: Collection[str]) -> frozenset[str]:
    """The event IDs that a 200 names, if it names a proper part of the batch and nothing else."""
    try:
        named = frozenset(msgspec.json.decode(answer, type=list[str]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return frozenset()
    return named if named < frozenset(event_ids) else frozenset()


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


class _SetUpError(Exception):
    """What no retry can mend: a proxy or a certificate file that cannot be used."""


_SET_UP_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.InvalidSchema, "a proxy of a kind for which a package is missing"),
    (requests.exceptions.InvalidURL, "a proxy URL that cannot be used"),
    (urllib3.exceptions.HTTPError, "a proxy URL that cannot be used"),
    (OSError, "the file of certificates is not there or cannot be used"),
)


def _find_route(settings: Settings) -> _Route:
    """The way to the API that the environment's proxies and certificates make.

    Raises:
        _SetUpError: If there is none.
    """
    try:
        request = requests.Request("POST", settings.url).prepare()
        found = requests.Session().merge_environment_settings(
            settings.url, proxies={}, stream=None, verify=None, cert=None
        )
        proxies = {} if is_loopback(settings.url) else found["proxies"]
        adapter = HTTPAdapter(pool_maxsize=settings.max_concurrent_requests)
        pool = adapter.get_connection_with_tls_context(
            request, found["verify"], proxies=proxies, cert=found["cert"]
        )
        adapter.cert_verify(  # type: ignore[no-untyped-call]
            pool, settings.url, found["verify"], found["cert"]
        )
        assert isinstance(pool, urllib3.HTTPConnectionPool)  # noqa: S101 (for the type checker)
        return _Route(pool, adapter.request_url(request, proxies))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as fault:
        words = next(words for kind, words in _SET_UP_FAULTS if isinstance(fault, kind))
    raise _SetUpError(words)


_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "the host name was not found"),
    (urllib3.exceptions.NewConnectionError, "the connection failed"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
    (urllib3.exceptions.TimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (urllib3.exceptions.ProxyError, "the proxy did not connect"),
    (urllib3.exceptions.SSLError, "the TLS certificate was not accepted"),
)


def _fault(fault: BaseException) -> str:
    """A network fault in words. Its own text could hold anything, so it is not used."""
    return next((words for kind, words in _FAULTS if isinstance(fault, kind)), _OTHER_FAULT)


_OTHER_FAULT = "the connection failed"
