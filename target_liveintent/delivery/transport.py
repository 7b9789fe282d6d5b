"""The way to the API: its connections, and one exchange of a request and an answer.

requests and urllib3 decide about proxies and certificates, and connect. The request itself goes
over an open connection as one piece, and http.client reads the answer: urllib3's own way to send a
request takes twice the time.

A *deadline* limits all steps of a request together: the attempts to connect to each address of the
host, the answer of a proxy, each TLS handshake, sending, and each byte of the answer. Timeouts of
sockets limit each step only, so a server that sends a byte now and then would keep a request
waiting for ever. The deadline does not limit the look-up of the host's name.

Private names of urllib3 are `HTTPConnectionPool._new_conn`, which makes a connection with its proxy
and certificates, and `HTTPConnection._new_conn`, which opens its socket.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
import weakref
import zlib
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection
from urllib3.util import create_urllib3_context, parse_url
from urllib3.util.connection import allowed_gai_family

from target_liveintent.delivery.network_faults import (
    NETWORK_FAULTS,
    NetworkFault,
    explain,
    is_starved,
)
from target_liveintent.errors import SetUpError
from target_liveintent.settings import Settings, is_loopback

_MAX_BODY = 65_536
"""Bytes of a body that are read. A longer one is not an answer of this API."""
_NEAR = 0.05
"""Seconds by which a socket's timeout may differ from the time that is left: setting it is a system
call, at which a busy main thread may take the interpreter away for 5 ms."""
_SWITCHING_PROTOCOLS = 101
_FINAL = 200
"""The lowest status of an answer that no other one follows."""
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


class _Deadline(threading.local):
    """When the request of this thread ends, in seconds of `time.monotonic`."""

    ends_at = float("inf")

    @property
    def left(self) -> float:
        """The seconds that are left; raises a `TimeoutError` if there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


_deadline = _Deadline()


class _Limited(socket.socket):
    """A socket each of whose steps ends at the deadline."""

    def _limit(self) -> None:
        left, timeout = _deadline.left, self.gettimeout()
        if timeout is None or abs(timeout - left) > _NEAR:
            self.settimeout(left if left < float("inf") else None)

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
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (as in ssl)
        self._limit()
        super().do_handshake(block)


class _Dialing(HTTPConnection):
    """A connection that divides the time among the addresses of its host."""

    def _new_conn(self) -> socket.socket:
        host = self.host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as fault:
            raise urllib3.exceptions.NameResolutionError(host, self, fault) from fault
        except UnicodeError as fault:  # A part of the name is empty or too long.
            raise urllib3.exceptions.LocationParseError(host) from fault
        last: OSError | None = None
        for n, (*how, _, address) in enumerate(found):
            sock = _Limited(*how)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                # An address that does not answer must leave time for the others.
                sock.settimeout(_deadline.left / (len(found) - n))
                sock.connect(address)
            except OSError as fault:
                sock.close()
                last = fault
            else:
                return sock
        if isinstance(last, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError from last
        raise urllib3.exceptions.NewConnectionError(self, "") from last


class _Response(http.client.HTTPResponse):
    """An answer, after those that precede it."""

    def begin(self) -> None:
        """Read the status and the headers of the answer, after those of 1xx answers.

        The standard library skips 100 only; taken for the answer, a 103 would leave the real one to
        the next request.
        """
        super().begin()
        while self.status < _FINAL and self.status != _SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class Reply(NamedTuple):
    """What came back for a request."""

    status: int
    headers: Message
    body: bytes


class NoReplyError(Exception):
    """A request got no answer.

    Attributes:
        fault: Why.
    """

    def __init__(self, fault: NetworkFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class Route:
    """The way to the API.

    Args:
        pool: Makes connections, with the proxy and the certificates of the environment.
        url: The URL of the API.
        target: What follows the word POST: a path, or the whole URL for a plain proxy.

    Attributes:
        was_connected: Whether a connection to the API was made, with its TLS handshake.
    """

    def __init__(self, pool: urllib3.HTTPConnectionPool, url: str, target: str) -> None:
        self.was_connected = False
        self._pool = pool
        self._open: list[HTTPConnection] = []  # Connections that wait for a request.
        weakref.finalize(self, _close, self._open)
        is_forwarded = not target.startswith("/")
        headers = {
            "Host": parse_url(url).netloc or "",
            **(pool.proxy_headers if is_forwarded else {}),
            "User-Agent": "target-liveintent",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {it}" for name, it in headers.items())]
        self._head = "\r\n".join(lines).replace("%", "%%").encode("latin-1")
        self._head += b"\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
        kind: Any = pool.ConnectionCls
        if kind._new_conn is HTTPConnection._new_conn:  # noqa: SLF001 (a SOCKS proxy has its own)
            pool.ConnectionCls = type(kind.__name__, (_Dialing, kind), {})

    def post(self, token: str, body: bytes, seconds: float) -> Reply:
        """Send a request, and return the answer; all of it may take so many seconds.

        Raises:
            NoReplyError: If there is none.
        """
        _deadline.ends_at = time.monotonic() + seconds
        connection = self._connection()
        try:
            if connection.is_closed:
                connection.timeout = seconds
                connection.connect()
                self.was_connected = True
            # In one piece: at each system call, a busy main thread may take the interpreter away.
            connection.sock.sendall(self._head % (token.encode(), len(body)) + body)
            response = _Response(connection.sock, method="POST")
            response.begin()
            content = _read(response)
        except NETWORK_FAULTS as fault:
            by_proxy = connection.proxy is not None and not connection.has_connected_to_proxy
            connection.close()
            raise NoReplyError(explain(fault, by_proxy=by_proxy)) from fault
        # Only an answer that was read to its end leaves the connection to the next request.
        if response.isclosed() and not response.will_close:
            self._open.append(connection)
        else:
            connection.close()
        return Reply(response.status, response.headers, content)

    def _connection(self) -> Any:
        """Return an open connection, or one that is to be connected."""
        connection: Any
        while self._open:
            connection = self._open.pop()
            if connection.is_connected:
                return connection
            connection.close()
        connection = self._pool._new_conn()  # noqa: SLF001 (see above)
        if self._pool.proxy is not None and isinstance(self._pool, urllib3.HTTPSConnectionPool):
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


def _read(response: http.client.HTTPResponse) -> bytes:
    """Read the body of an answer, as far as an answer of this API can be long.

    Raises:
        http.client.HTTPException: If it is not complete, or not compressed as it says.
    """
    body = response.read(_MAX_BODY)
    if response.length and len(body) < _MAX_BODY:
        raise http.client.IncompleteRead(body)
    # A proxy may compress an answer although the request says that it must not. The status counts
    # also where the encoding is unknown, or is a wrong word such as UTF-8.
    if response.headers.get("Content-Encoding", "").strip().lower() not in _COMPRESSED:
        return body
    try:
        return zlib.decompressobj(_ZLIB_OR_GZIP).decompress(body, _MAX_BODY)
    except zlib.error as error:
        raise http.client.HTTPException from error


def find_route(settings: Settings) -> Route:
    """Find the way to the API, by the proxies and certificates of the environment.

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
        adapter = HTTPAdapter(pool_maxsize=1)
        file, folder = _certificates()
        # (With True in their place, some releases of requests would trust theirs as well.)
        pool = adapter.get_connection_with_tls_context(request, file or folder, proxies=proxies)
        assert isinstance(pool, urllib3.HTTPConnectionPool)  # noqa: S101 (for the type checker)
        if isinstance(pool, urllib3.HTTPSConnectionPool):
            _trust(pool, file, folder)
        return Route(pool, request.url or "", adapter.request_url(request, proxies))
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
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    context.sslsocket_class = _LimitedTls
    context.load_verify_locations(file, folder)
    if folder and not any(map(os.path.isdir, folder.split(os.pathsep))):
        raise FileNotFoundError
    pool.cert_reqs, pool.ca_certs, pool.ca_cert_dir = "CERT_REQUIRED", None, None
    pool.conn_kw["ssl_context"] = context
    if "proxy_config" in pool.conn_kw:
        config = pool.conn_kw["proxy_config"]
        pool.conn_kw["proxy_config"] = config._replace(ssl_context=context)


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
