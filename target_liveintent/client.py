"""The Conversions API's contract: one POST in, one outcome out.

    POST {api_url}/conversions/{customer_id}      Authorization: Bearer {token}
    [event, …]                                    1 to 100 events, a JSON array

    204            every event was processed
    200            a part was processed; the body is an array of strings (inferred: the event IDs
                   of what was not)
    400 413 422    the whole batch is refused because of at least one event
    401 403        the token or the customer ID is wrong, or the token was rotated
    408 425 429 5xx, no answer    try again, not before `Retry-After`

Source: LiveIntent's guide for the request and the refusal of whole batches, a CDP vendor's
documentation for 204 and 200; the rest is inferred from sister APIs. Whatever else is answered is
unknown and ends the run.
"""

from __future__ import annotations

import enum
import html
import time
from typing import TYPE_CHECKING, Any

import msgspec
import requests
import urllib3
from requests.auth import AuthBase

from target_liveintent.logs import hide, without_secrets
from target_liveintent.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Collection

    from requests.models import PreparedRequest

    from target_liveintent.settings import Settings

_MAX_ANSWER = 65_536
"""Bytes of an answer that are read; what follows is no answer of this API."""
_MAX_DETAIL = 500


class Kind(enum.Enum):
    """What an answer means for the events that were sent."""

    ACCEPTED = "accepted"
    PARTLY = "partly processed"
    UNCONFIRMED = "unconfirmed"
    REFUSED = "refused"
    DENIED = "denied"
    RETRY = "retry"
    UNKNOWN = "unknown"


_KINDS = {
    204: Kind.ACCEPTED,
    200: Kind.UNCONFIRMED,  # Unless its body says more, see `_partly`.
    400: Kind.REFUSED,
    413: Kind.REFUSED,
    422: Kind.REFUSED,
    401: Kind.DENIED,
    403: Kind.DENIED,
    408: Kind.RETRY,
    425: Kind.RETRY,
    429: Kind.RETRY,
}


class Outcome(msgspec.Struct, frozen=True):
    """What became of one POST.

    Attributes:
        kind: What it means.
        detail: One line for people, without addresses and without the token.
        status: The HTTP status; None if there was no answer.
        retry_after: Seconds that the API asks to wait.
        not_processed: Event IDs that a 200 names.
        seconds: How long it took.
    """

    kind: Kind
    detail: str
    status: int | None = None
    retry_after: float | None = None
    not_processed: frozenset[str] = frozenset()
    seconds: float = 0.0

    @property
    def proves_bad_event(self) -> bool:
        """Whether at least one event is at fault, and not the size of the whole."""
        return self.kind is Kind.REFUSED and self.status != requests.codes.request_entity_too_large


class _BearerAuth(AuthBase):
    """The token as an auth object: requests would replace a plain header by a netrc entry."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """Posts batches over one kept-alive connection. One client a thread."""

    def __init__(self, settings: Settings) -> None:
        """Prepare all of the request that does not depend on its events."""
        hide(settings.auth_token)
        self._timeout = settings.request_timeout_seconds
        self._session = requests.Session()
        self._template = self._session.prepare_request(
            requests.Request(
                "POST",
                settings.url,
                headers={"Content-Type": "application/json"},
                auth=_BearerAuth(settings.auth_token),
            )
        )
        # Proxies and certificates of the environment, looked up once and not for each request.
        self._options = self._session.merge_environment_settings(
            settings.url, proxies={}, stream=True, verify=None, cert=None
        )
        if is_loopback(settings.url):
            self._options["proxies"] = {}

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Outcome:
        """Send one batch once. Never raises for what the network or the API does.

        Args:
            body: The JSON array of events.
            event_ids: Their IDs, which a 200 may name.
            within: Seconds after which the caller has no use for an answer.
        """
        request = self._template.copy()
        request.prepare_body(body, None)
        start = time.monotonic()
        try:
            response = self._session.send(
                request,
                timeout=min(self._timeout, max(within, 1.0)),
                allow_redirects=False,
                **self._options,
            )
            answer = _read(response, start + self._timeout)
        except _LOCAL_FAULTS as fault:
            outcome = Outcome(Kind.UNKNOWN, f"a fault of this machine's set-up: {_fault(fault)}")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as fault:
            outcome = Outcome(Kind.RETRY, _fault(fault))
        else:
            outcome = self._judge(response, answer, event_ids)
        return msgspec.structs.replace(outcome, seconds=time.monotonic() - start)

    @staticmethod
    def _judge(response: requests.Response, answer: bytes, event_ids: Collection[str]) -> Outcome:
        status = response.status_code
        kind = _KINDS.get(status, Kind.RETRY if 500 <= status <= 599 else Kind.UNKNOWN)  # noqa: PLR2004
        detail = f"HTTP {status}"
        if kind is Kind.UNCONFIRMED and (named := _partly(answer, event_ids)):
            return Outcome(Kind.PARTLY, detail, status, not_processed=named)
        if kind is Kind.REFUSED and (said := _said(answer)):
            detail = f"{detail}: {said}"
        return Outcome(kind, detail, status, _retry_after(response))


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


def _read(response: requests.Response, deadline: float) -> bytes:
    """The answer's body, so that the connection can be used again.

    Raises:
        requests.Timeout: If it is still dripping at the deadline, a `time.monotonic()`.
    """
    answer = b""
    while chunk := response.raw.read1(_MAX_ANSWER, decode_content=True):
        answer += chunk
        if len(answer) >= _MAX_ANSWER:
            response.close()
            break
        if time.monotonic() > deadline:
            response.close()
            raise requests.Timeout
    return answer


def _partly(answer: bytes, event_ids: Collection[str]) -> frozenset[str]:
    """The event IDs that a 200 names, if it names a proper part of the batch and nothing else."""
    try:
        named = frozenset(msgspec.json.decode(answer, type=list[str]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return frozenset()
    return named if named < frozenset(event_ids) else frozenset()


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


# What no retry can mend: a proxy scheme without its package, a proxy or header that cannot be used.
_LOCAL_FAULTS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
)
_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.ConnectTimeout, "no connection in time"),
    (requests.Timeout, "no answer in time"),
    (urllib3.exceptions.TimeoutError, "no answer in time"),
    (_LOCAL_FAULTS[0], "a proxy of a kind for which a package is missing"),
    (_LOCAL_FAULTS[1], "a proxy URL that cannot be used"),
    (requests.exceptions.ProxyError, "the proxy did not connect"),
    (requests.exceptions.SSLError, "the TLS certificate was not accepted"),
)


def _fault(fault: Any) -> str:
    """A network fault in words. Its own text could hold anything, so it is not used."""
    for kind, words in _FAULTS:
        if isinstance(fault, kind):
            return words
    causes = [fault, *getattr(fault, "args", ())]
    if any(
        isinstance(getattr(c, "reason", c), urllib3.exceptions.NameResolutionError) for c in causes
    ):
        return "the host name was not found"
    return "the connection failed"
