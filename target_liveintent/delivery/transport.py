"""The way to the API: its connections, with the proxy and the certificates of the environment."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Mapping
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from target_liveintent.delivery.connections import Deadline, limit_connections
from target_liveintent.delivery.network_faults import NETWORK_FAULTS, is_starved, obstacle
from target_liveintent.errors import SetUpError
from target_liveintent.settings import Settings, is_loopback

_MAX_BODY = 65_536
"""Bytes of a body that are read. A longer one is not an answer of this API."""


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
        OSError: If no file descriptor is left; there may be one later.
    """
    try:
        request = requests.Request("POST", settings.url).prepare()
        found = requests.Session().merge_environment_settings(
            settings.url, proxies={}, stream=None, verify=None, cert=None
        )
        proxies = {} if is_loopback(settings.url) else found["proxies"]
        adapter = HTTPAdapter(pool_maxsize=settings.max_concurrent_requests)
        file, folder = _certificates()
        # (With True in their place, some releases of requests would trust theirs as well.)
        pool = adapter.get_connection_with_tls_context(request, file or folder, proxies=proxies)
        assert isinstance(pool, urllib3.HTTPConnectionPool)  # noqa: S101 (for the type checker)
        if isinstance(pool, urllib3.HTTPSConnectionPool):
            _trust(pool, file, folder)
        return Route(pool, adapter.request_url(request, proxies))
    except (requests.RequestException, *NETWORK_FAULTS) as fault:
        if is_starved(fault):
            raise
        words = next(words for kind, words in _SET_UP_FAULTS if isinstance(fault, kind))
    msg = f"this machine cannot send requests to the API: {words}"
    raise SetUpError(msg)


_WRONG_PROXY = (
    "the environment variable HTTPS_PROXY contains a URL that cannot be used: correct the variable"
)
_SET_UP_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (
        requests.exceptions.InvalidSchema,
        (
            "the proxy needs a package that is not installed. For a SOCKS proxy, run: pip"
            " install 'requests[socks]'"
        ),
    ),
    (requests.exceptions.InvalidURL, _WRONG_PROXY),
    (urllib3.exceptions.HTTPError, _WRONG_PROXY),
    (
        OSError,
        (
            "the certificate file does not exist or cannot be used: correct REQUESTS_CA_BUNDLE,"
            " CURL_CA_BUNDLE or SSL_CERT_FILE"
        ),
    ),
)


def _trust(pool: urllib3.HTTPSConnectionPool, file: str | None, folder: str | None) -> None:
    """Let a pool trust the certificates of a file and of a folder.

    A proxy that is reached over https is trusted by the same certificates.

    Raises:
        OSError: If they cannot be used.
    """
    create_urllib3_context().load_verify_locations(file, folder)  # Now, and not with each request.
    if folder and not any(map(os.path.isdir, folder.split(os.pathsep))):
        raise FileNotFoundError
    pool.cert_reqs = "CERT_REQUIRED"
    pool.ca_certs, pool.ca_cert_dir = file, folder


def _certificates() -> tuple[str | None, str | None]:
    """Return the file and the folder of certificates that the environment names, or requests'.

    One of them may be None. The folder may be several, as OpenSSL has it.
    """
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
    value = response.headers.get("Retry-After", "").strip()
    try:  # (urllib3 can read it as well, but some releases take six hours for the longest wait.)
        if value.isascii() and value.isdigit():
            return float(int(value))
        until = email.utils.mktime_tz(email.utils.parsedate_tz(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, until - time.time())
