"""The way to the API: proxies, certificates, connections, and network faults in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter

from target_liveintent.clock import Clock
from target_liveintent.settings import Settings, is_loopback

NETWORK_FAULTS = (urllib3.exceptions.HTTPError, OSError)
"""What `Route.post` and `read_body` raise for a network fault; `describe` puts it into words."""
_MAX_BODY = 65_536
"""Bytes of a body that are read. A longer one is no answer of this API."""


class SetUpError(Exception):
    """Reports a proxy or a file of certificates that cannot be used; no retry can fix that."""


class Route(NamedTuple):
    """The way to the API.

    Attributes:
        pool: The connections, with the proxy and the certificates of the environment.
        target: What follows the word POST: a path, or the whole URL for a plain proxy.
    """

    pool: urllib3.HTTPConnectionPool
    target: str

    def post(
        self, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, and return the answer without its body.

        Connecting, sending and each read may take so many seconds.
        """
        return self.pool.urlopen(
            "POST",
            self.target,
            body,
            headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=seconds,
            preload_content=False,
        )


def find_route(settings: Settings) -> Route:
    """Find the way to the API, by the proxies and certificates of the environment.

    requests does that. It is not used to send, as urllib3 below it takes less time: 190 µs of CPU
    for each request instead of 300 µs.

    Raises:
        SetUpError: If a proxy or a file of certificates cannot be used.
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
        return Route(pool, adapter.request_url(request, proxies))
    except (requests.RequestException, *NETWORK_FAULTS) as fault:
        words = next(words for kind, words in _SET_UP_FAULTS if isinstance(fault, kind))
    msg = f"a fault of this machine's set-up: {words}"
    raise SetUpError(msg)


_SET_UP_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.InvalidSchema, "a proxy of a kind for which a package is missing"),
    (requests.exceptions.InvalidURL, "a proxy URL that cannot be used"),
    (urllib3.exceptions.HTTPError, "a proxy URL that cannot be used"),
    (OSError, "the file of certificates is not there or cannot be used"),
)


def read_body(response: urllib3.BaseHTTPResponse, deadline: float, clock: Clock) -> bytes:
    """Read the body of an answer, so that its connection can be used again.

    Raises:
        TimeoutError: If the body is not complete when `Clock.monotonic()` is past the deadline.
    """
    body = b""
    # A 204 has no body and must be read all the same: only then may the next request use the
    # connection.
    while chunk := response.read1(_MAX_BODY, decode_content=True):
        body += chunk
        if len(body) >= _MAX_BODY:
            response.close()
            break
        if clock.monotonic() > deadline:
            response.close()
            raise TimeoutError
    response.release_conn()
    return body


def retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    """Return the seconds that an answer asks to wait, or None if it does not."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "the host name was not found"),
    (urllib3.exceptions.NewConnectionError, "the connection failed"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
    (urllib3.exceptions.TimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (urllib3.exceptions.ProxyError, "the proxy did not connect"),
    (urllib3.exceptions.SSLError, "the TLS certificate was not accepted"),
    (BaseException, "the connection failed"),
)


def describe(fault: BaseException) -> str:
    """Return a network fault in words. Its own text could hold anything, so it is not used."""
    return next(words for kind, words in _FAULTS if isinstance(fault, kind))
