"""The way to the API: proxies, certificates, and the faults of both in words."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from target_liveintent.delivery.connections import Deadline, limit_connections
from target_liveintent.errors import SetUpError
from target_liveintent.settings import Settings, is_loopback

NETWORK_FAULTS = (urllib3.exceptions.HTTPError, OSError)
"""What `Route.post` and `read_body` raise for a network fault; `describe` puts it into words."""
_MAX_BODY = 65_536
"""Bytes of a body that are read. A longer one is no answer of this API."""


class Route:
    """The way to the API.

    Args:
        pool: The connections, with the proxy and the certificates of the environment.
        target: What follows the word POST: a path, or the whole URL for a plain proxy.
    """

    def __init__(self, pool: urllib3.HTTPConnectionPool, target: str) -> None:
        self._pool = pool
        self._target = target
        self._connected = False  # Whether a TLS handshake with the API has succeeded.
        limit_connections(pool, self._note_connection)

    def _note_connection(self) -> None:
        self._connected = True

    def post(
        self, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, and return the answer without its body.

        All of it, the reading of the body included, may take so many seconds.

        Raises:
            SetUpError: If a certificate or a proxy stands in the way, and no connection to the API
                was made yet. If one was, the same fault may pass, so it is a network fault.
        """
        try:
            return self._pool.urlopen(
                "POST",
                self._target,
                body,
                headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Deadline(seconds),
                preload_content=False,
            )
        except NETWORK_FAULTS as fault:
            found = None if self._connected else obstacle(fault)
            if found is None:
                raise
        msg = f"{found.what}. {found.advice}"
        raise SetUpError(msg)


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
        pool = adapter.get_connection_with_tls_context(request, verify=True, proxies=proxies)
        assert isinstance(pool, urllib3.HTTPConnectionPool)  # noqa: S101 (for the type checker)
        if isinstance(pool, urllib3.HTTPSConnectionPool):
            _trust_certificates(pool)
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


def _trust_certificates(pool: urllib3.HTTPSConnectionPool) -> None:
    """Let a pool trust the certificates that the environment names, or those of requests.

    A proxy that is reached over https is trusted by the same certificates.

    Raises:
        OSError: If they cannot be used.
    """
    file, folder = _certificates()
    create_urllib3_context().load_verify_locations(file, folder)  # Now, and not with each request.
    if folder and not any(map(os.path.isdir, folder.split(os.pathsep))):
        raise FileNotFoundError
    pool.cert_reqs = "CERT_REQUIRED"
    pool.ca_certs, pool.ca_cert_dir = file, folder


def _certificates() -> tuple[str | None, str | None]:
    """Return a file and a folder of certificates; the folder may be several, as OpenSSL has it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            return (None, path) if Path(path).is_dir() else (path, None)
    # What OpenSSL reads, and with it most programs.
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return (file or None, folder or None) if file or folder else (DEFAULT_CA_BUNDLE_PATH, None)


def read_body(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read the body of an answer, so that its connection can be used again.

    Raises a fault of `NETWORK_FAULTS`, also when the time of the request is over.
    """
    body = b""
    # A 204 has no body and must be read all the same: only then may the next request use the
    # connection.
    while chunk := response.read1(_MAX_BODY, decode_content=True):
        body += chunk
        if len(body) >= _MAX_BODY:
            response.close()
            break
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


class Obstacle(NamedTuple):
    """A certificate or a proxy that stands in the way to the API.

    Attributes:
        what: What happened, without anything that an answer or a URL holds.
        advice: What to check, and what to do.
    """

    what: str
    advice: str


def obstacle(fault: BaseException) -> Obstacle | None:
    """Return the certificate or the proxy that is the cause of a network fault; None if none is."""
    causes = list(_causes(fault))
    by_proxy = any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes)
    whose = "the proxy" if by_proxy else "the API"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = cause.verify_message.rstrip(
                "."
            )  # OpenSSL's words; they hold no more than a host.
            return Obstacle(
                f"the certificate of {whose} was not accepted: {said}",
                _advice_on_certificate(cause.verify_code, by_proxy=by_proxy),
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return Obstacle(
                f"{whose} answered in plain http where https was expected",
                "Check the scheme and the port in HTTPS_PROXY: most proxies are http://…"
                if by_proxy
                else "Check the scheme and the port in api_url",
            )
        if (refusal := _CONNECT_REFUSED.match(str(cause))) and isinstance(cause, OSError):
            status = int(refusal[1])
            if status not in _PASSING and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return Obstacle(f"the proxy refused with HTTP {status}", _advice_on_proxy(status))
    return None


_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
"""OpenSSL's reasons when what comes back is no TLS; which one depends on its version."""
_CONNECT_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""How the standard library says that a proxy did not answer CONNECT with 200."""
_PASSING = {408, 425, 429}
"""Statuses below 500 with which a proxy refuses now, and may not later."""


def _advice_on_certificate(code: int, *, by_proxy: bool) -> str:
    """Return what to do about a certificate, by OpenSSL's code for what is wrong with it."""
    if code in {_NOT_YET_VALID, _EXPIRED}:
        return "Check this machine's clock; if it is right, whoever runs that server must renew it"
    if code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return f"Check the host in {'HTTPS_PROXY' if by_proxy else 'api_url'}"
    return (
        "If your company's network looks into TLS, or the server is your own, let SSL_CERT_FILE or"
        " REQUESTS_CA_BUNDLE name a file that has the certificate of its authority"
    )


_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and
_IP_ADDRESS_MISMATCH."""


def _advice_on_proxy(status: int) -> str:
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "Put the user and the password into HTTPS_PROXY (http://user:password@host:port)"
    return (
        "Check HTTPS_PROXY, and ask whoever runs the proxy to allow the host of api_url; NO_PROXY"
        " names hosts that are reached without it"
    )


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield a fault and those that it wraps, the outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [fault]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [*cause.args, cause.__cause__, cause.__context__]


_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "the host name was not found"),
    (urllib3.exceptions.NewConnectionError, "the connection failed"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
    (urllib3.exceptions.TimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (urllib3.exceptions.ProxyError, "the proxy did not connect"),
    (urllib3.exceptions.SSLError, "the TLS handshake failed"),
    (BaseException, "the connection failed"),
)


def describe(fault: BaseException) -> str:
    """Return a network fault in words. Its own text could hold anything, so it is not used."""
    if (found := obstacle(fault)) is not None:
        return found.what
    return next(words for kind, words in _FAULTS if isinstance(fault, kind))
