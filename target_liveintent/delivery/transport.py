"""Connects to the API, limits the time of each request, and says what network faults mean.

The libraries requests and urllib3 choose proxies and certificates, and connect. exchange.py sends
the request and reads the answer, because urllib3 would take three times as much processor time.

A *deadline* limits all steps of a request together: the attempts to connect to each address of the
host, the answer of a proxy, each TLS handshake, sending, and each byte of the answer. Timeouts of
sockets limit each step only, so a server that sends a byte now and then would keep a request
waiting for ever. The deadline limits neither the look-up of the host's name nor all the steps of a
SOCKS proxy together.

This module uses private names of other libraries. Of urllib3, these are
`HTTPConnectionPool._new_conn`, which makes a connection with its proxy and certificates, and
`HTTPConnection._new_conn`, which opens its socket. Of http.client, it is
`HTTPResponse._read_status`, which reads the answer of a proxy.

The text of an exception is not shown, because it could contain anything. Only OpenSSL's words about
a certificate are shown.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection
from urllib3.util import create_urllib3_context, parse_url

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.exchange import NotHttpError, Reply, exchange
from target_liveintent.settings import is_loopback

_TIMEOUT_TOLERANCE_SECONDS = 0.05
"""The timeout of a socket is changed only if it differs from the time that is left by more than
this: each change is a system call, after which a thread may wait 5 ms for the interpreter."""
_NETWORK_FAULTS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)
"""Exceptions for faults of the network. The look-up of a host name raises a `ValueError` if a part
of the name is empty or too long."""
_FAULTS: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    (socket.gaierror, Verdict.FAULT, "the host name was not found"),
    (urllib3.exceptions.NewConnectionError, Verdict.FAULT, "the connection failed"),
    (urllib3.exceptions.ConnectTimeoutError, Verdict.FAULT, "the connection timed out"),
    (TimeoutError, Verdict.LIMITED, "no answer came in time"),
    (ssl.SSLError, Verdict.FAULT, "the TLS handshake failed"),
    (
        NotHttpError,
        Verdict.FAULT,
        "the server did not answer in HTTP. Check the scheme, the host and the port in api_url",
    ),
    (BaseException, Verdict.FAULT, "the connection failed"),
)
_STARVED = Answer(
    Verdict.STARVED,
    "no file descriptors are left. Raise the limit on open files (ulimit -n), or lower"
    " max_concurrent_requests",
)
_SUSPENDED = Answer(
    Verdict.STARVED, "this run was suspended, and must renew its reservations before it sends more"
)
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}  # This process, or the machine, has none left.
# The reasons that OpenSSL may give if an answer is not TLS; they depend on the version of OpenSSL.
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
_PASSING_STATUSES = {408, 425, 429}  # A proxy may connect later, as it may after any 5xx.
_PROXY_FAILED = Answer(Verdict.FAULT, "the proxy could not connect")
_WRONG_CERTIFICATES = Answer(
    Verdict.UNREACHABLE,
    "this machine cannot send requests to the API: the certificate file does not exist or cannot be"
    " used. Correct REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE",
)
_WRONG_PROXY = Answer(
    Verdict.UNREACHABLE,
    "this machine cannot send requests to the API: the environment variable HTTPS_PROXY contains a"
    " URL that cannot be used. Correct it; for a SOCKS proxy, run: pip install 'requests[socks]'",
)
_deadline = threading.local()  # `ends_at`, of this thread's request, in monotonic seconds.


def _seconds_left() -> float:
    left: float = _deadline.ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Limited(socket.socket):
    """A socket whose steps all end at the deadline."""

    def _limit(self) -> None:
        left = _seconds_left()
        if abs((self.gettimeout() or 0.0) - left) > _TIMEOUT_TOLERANCE_SECONDS:
            self.settimeout(left)

    def recv(self, *args: Any) -> bytes:
        self._limit()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._limit()
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self._limit()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self._limit()
        super().sendall(*args)


class _LimitedTls(_Limited, ssl.SSLSocket):
    """A TLS socket whose steps all end at the deadline."""

    def do_handshake(self, *args: Any) -> None:
        self._limit()
        super().do_handshake(*args)


class _Dialing(HTTPConnection):
    """A connection that divides the time among the addresses of its host."""

    def _new_conn(self) -> socket.socket:
        addresses = socket.getaddrinfo(self.host.strip("[]"), self.port, 0, socket.SOCK_STREAM)
        self.timeout = _seconds_left() / len(addresses)
        sock = _Limited(fileno=super()._new_conn().detach())
        sock.settimeout(self.timeout)
        return sock


class _ProxyRefusedError(OSError):
    """A proxy refuses to connect. The only argument is the HTTP status; http.client hides it."""


class _ProxyResponse(http.client.HTTPResponse):
    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        if status != HTTPStatus.OK:
            raise _ProxyRefusedError(status)
        return version, status, reason


class Route:
    """The way to the API; `pool` makes connections with the user's proxy and certificates."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, url: str) -> None:
        self._was_connected = False  # Whether any connection was made, with its TLS handshake.
        self._pool = pool
        self._open: list[HTTPConnection] = []  # Connections that wait for a request.
        weakref.finalize(self, _close, self._open)
        parsed = parse_url(url)
        lines = (
            f"POST {parsed.request_uri} HTTP/1.1",
            f"Host: {parsed.netloc}",
            "User-Agent: target-liveintent",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
        )
        self._head = "\r\n".join(lines).replace("%", "%%").encode("latin-1")
        self._head += b"\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
        kind: Any = pool.ConnectionCls
        if kind._new_conn is HTTPConnection._new_conn:  # noqa: SLF001 (a SOCKS proxy has its own)
            pool.ConnectionCls = type(kind.__name__, (_Dialing, kind), {})

    def post(
        self,
        token: str,
        body: bytes,
        seconds: float,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Reply | Answer:
        """Send a request, and return the reply or what a fault means, within `seconds`.

        After the first connection, a fault of a certificate or a proxy counts as temporary.
        """
        _deadline.ends_at = time.monotonic() + seconds
        connection = self._connection()
        try:
            if not (is_reused := not connection.is_closed):
                connection.timeout = seconds
                connection.connect()
                self._was_connected = True
            if not may_send():  # This is asked as late as possible: connecting may take long.
                self._open.append(connection)
                return _SUSPENDED
            request = self._head % (token.encode(), len(body)) + body
            reply = exchange(connection.sock, request, is_reused=is_reused)
        except _NETWORK_FAULTS as fault:
            by_proxy = connection.proxy is not None and not connection.has_connected_to_proxy
            connection.close()
            answer = answer_for_fault(fault, by_proxy=by_proxy)
            if self._was_connected and answer.verdict is Verdict.UNREACHABLE:
                return msgspec.structs.replace(answer, verdict=Verdict.FAULT)
            return answer
        if reply.can_follow:
            self._open.append(connection)
        else:
            connection.close()
        return reply

    def _connection(self) -> Any:
        """Return an open connection, or a new one that is not connected yet."""
        connection: Any
        with contextlib.suppress(IndexError):  # No connection is open, or another thread took it.
            while not (connection := self._open.pop()).is_connected:
                connection.close()
            return connection
        connection = self._pool._new_conn()  # noqa: SLF001 (see above)
        if self._pool.proxy is not None:  # Always a tunnel, as plain http is for loopback only.
            connection.response_class = _ProxyResponse
            connection.set_tunnel(
                self._pool.host,
                self._pool.port,
                self._pool.proxy_headers,
                scheme=self._pool.proxy.scheme or "http",
            )
        return connection


def _close(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def answer_for_fault(fault: BaseException, *, by_proxy: bool = False) -> Answer:
    """Return what a fault means; `by_proxy` says that the connection to the proxy failed."""
    faults = (fault, fault.__cause__)  # A SOCKS proxy's connection wraps the cause.
    if any(isinstance(each, OSError) and each.errno in _NO_DESCRIPTORS for each in faults):
        return _STARVED
    obstacle = _tls_obstacle(fault, by_proxy=by_proxy)
    if obstacle is not None:
        return obstacle
    if isinstance(fault, _ProxyRefusedError):
        return _answer_for_refusal(fault.args[0])
    if by_proxy and not isinstance(fault, TimeoutError):
        return _PROXY_FAILED
    return next(
        Answer(verdict, words)
        for kind, verdict, words in _FAULTS
        if any(isinstance(each, kind) for each in faults)
    )


def _tls_obstacle(fault: BaseException, *, by_proxy: bool) -> Answer | None:
    """Return what a fault means if TLS cannot work before somebody changes a setting."""
    peer, setting = ("proxy", "HTTPS_PROXY") if by_proxy else ("API", "api_url")
    if isinstance(fault, ssl.SSLCertVerificationError):
        said = fault.verify_message.rstrip(".")  # OpenSSL's words name only a host.
        return Answer(
            Verdict.UNREACHABLE,
            f"this machine does not accept the certificate of the {peer}: {said}. Check this"
            f" machine's clock, and the host in {setting}. If your company's network inspects TLS,"
            " or the server is your own, set REQUESTS_CA_BUNDLE (or SSL_CERT_FILE) to a file with"
            " the certificate of the authority that issued the server's certificate",
        )
    if isinstance(fault, ssl.SSLError) and fault.reason in _NOT_TLS:
        return Answer(
            Verdict.UNREACHABLE,
            f"the {peer} does not answer over https, and may be using plain http. Check the scheme"
            f" and the port in {setting}",
        )
    return None


def _answer_for_refusal(status: int) -> Answer:
    """Return what it means if a proxy refuses to connect, and answers with this HTTP status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING_STATUSES:
        return _PROXY_FAILED
    return Answer(
        Verdict.UNREACHABLE,
        f"the proxy refused to connect (HTTP {status}). Check the user and the password in"
        " HTTPS_PROXY (http://user:password@host:port), and ask the owner of the proxy to allow"
        " the host of api_url",
    )


def find_route(api_url: str) -> Route | Answer:
    """Return the way to the API, or why the proxy or certificates of the environment prevent it."""
    url = requests.Request("POST", api_url).prepare().url or ""
    if is_loopback(url) and url.startswith("http:"):  # This needs no certificates.
        return Route(urllib3.PoolManager().connection_from_url(url), url)
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.sslsocket_class = _LimitedTls
    try:
        context.load_verify_locations(*_certificates())
    except OSError as fault:
        starved = answer_for_fault(fault)  # There may be a descriptor for the file later.
        return starved if starved.verdict is Verdict.STARVED else _WRONG_CERTIFICATES
    proxy = None if is_loopback(url) else select_proxy(url, get_environ_proxies(url, None))
    try:
        pool = _connections_by(proxy, context).connection_from_url(url)
    except (ValueError, urllib3.exceptions.HTTPError):  # A `ValueError` is from requests.
        return _WRONG_PROXY
    return Route(pool, url)


def _connections_by(proxy: str | None, context: ssl.SSLContext) -> urllib3.PoolManager:
    """Return the pools of connections; an https proxy needs the same certificates as the API."""
    if proxy is None:
        return urllib3.PoolManager(ssl_context=context)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not parse_url(proxy).host:
        raise requests.exceptions.InvalidProxyURL
    how = {"proxy_ssl_context": context} if parse_url(proxy).scheme == "https" else {}
    manager: urllib3.PoolManager = HTTPAdapter().proxy_manager_for(
        proxy, ssl_context=context, **how
    )
    return manager


def _certificates() -> tuple[str | None, str | None]:
    """Return the file of certificates, and the folder (or folders); one of the two may be None."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            return (None, path) if Path(path).is_dir() else (path, None)
    # OpenSSL reads these variables, and so do most programs.
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return (file or None, folder or None) if file or folder else (DEFAULT_CA_BUNDLE_PATH, None)


def can_post_to(url: str) -> bool:
    """Return whether the library requests accepts a URL; if not, the first event would fail."""
    try:
        requests.Request("POST", url).prepare()
    except (ValueError, requests.RequestException):
        return False
    return True
