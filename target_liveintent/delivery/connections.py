"""Connections on which a request ends in time, however slowly its answer arrives.

urllib3 limits each step of a request: each address that is tried, each read, each proxy. A server
that sends a byte now and then keeps such a request waiting for ever. Here one `Deadline` limits all
steps together: connecting, the answer of a proxy, the TLS handshake, sending, and each byte of the
answer. Only the look-up of the host's name is left to the limits of the system's resolver.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util.connection import allowed_gai_family, create_connection

_LEAST = 0.001
"""Seconds that a step gets after the deadline; with 0, a socket would not wait at all."""
_SWITCHING_PROTOCOLS = 101
_FINAL = 200
"""The lowest status of an answer that no other one follows."""


class Deadline(urllib3.Timeout):
    """A moment at which a request ends; urllib3 asks it how long each of its steps may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._ends_at = time.monotonic() + seconds

    def clone(self) -> Deadline:
        """Return the same deadline: urllib3 makes a copy for each request."""
        return self

    @property
    def connect_timeout(self) -> float:
        """The seconds that are left for connecting and sending."""
        return max(self._ends_at - time.monotonic(), _LEAST)

    @property
    def read_timeout(self) -> float:
        """The seconds that are left for reading."""
        return self.connect_timeout


class _WithinDeadline(io.RawIOBase):
    """What a socket receives until its present timeout has passed, counted from now."""

    def __init__(self, sock: socket.socket, file: io.RawIOBase) -> None:
        self._sock = sock
        self._file = file  # It keeps the socket open.
        self._ends_at = time.monotonic() + (sock.gettimeout() or float("inf"))
        self._is_first = True

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there; raises a `TimeoutError` at the deadline."""
        # The first read, which is mostly the only one, has the timeout that the socket has already.
        # Each system call may give the interpreter to a busy main thread for 5 ms.
        if not self._is_first:
            left = self._ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left if left < float("inf") else None)
        self._is_first = False
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is complete within the timeout that its socket has at its start."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_WithinDeadline(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read the status and the headers of the answer, after those of 1xx answers.

        The standard library skips 100 only; taken for the answer, a 103 would leave the real one to
        the next request.
        """
        super().begin()
        while self.status < _FINAL and self.status != _SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _BoundedConnection(HTTPConnection):
    """A connection whose timeout limits all that follows together, and not each step."""

    response_class = _Response

    def __init__(self, *args: Any, on_connected: Callable[[], None], **kwargs: Any) -> None:
        self._ends_at: float | None = None
        self._on_connected = on_connected
        self._parts: list[bytes] | None = None  # The parts of a request that is being put together.
        super().__init__(*args, **kwargs)

    @property
    def timeout(self) -> float | None:
        """The seconds that are left; setting it moves the deadline."""
        return None if self._ends_at is None else max(self._ends_at - time.monotonic(), _LEAST)

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    def connect(self) -> None:
        """Connect, with the TLS handshake where there is one."""
        super().connect()
        self._limit(self.sock)  # The handshake has taken some of the time.
        self._on_connected()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request in one piece.

        urllib3 sends the headers by themselves. At each system call, a busy main thread may take
        the interpreter away from this one for 5 ms.
        """
        parts = self._parts = list[bytes]()
        try:
            super().request(*args, **kwargs)
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        """Send a part of a request, or all of it."""
        if self._parts is not None:
            self._parts.append(data)
            return
        super().send(data)

    def _tunnel(self) -> None:
        self._limit(self.sock)  # The handshake with the proxy has taken some of the time,
        super()._tunnel()
        self._limit(self.sock)  # and so has its answer.

    def _connect_tls_proxy(self, hostname: str, sock: socket.socket) -> ssl.SSLSocket:
        proxy: ssl.SSLSocket = super()._connect_tls_proxy(hostname, sock)  # type: ignore[misc]
        receive = proxy.recv

        def receive_in_time(buflen: int = 1024, flags: int = 0) -> bytes:
            self._limit(proxy)
            return receive(buflen, flags)

        # urllib3 reads the TLS with the API, which is inside that with the proxy, piece by piece.
        proxy.recv = receive_in_time  # type: ignore[method-assign]
        return proxy

    def _limit(self, sock: socket.socket) -> None:
        sock.settimeout(self.timeout)


class _DialingConnection(_BoundedConnection):
    """A connection that divides the time among the addresses of its host."""

    def _new_conn(self) -> socket.socket:
        # An address that does not answer must leave time for the others.
        last: Exception | None = None
        addresses = self._addresses()
        for n, address in enumerate(addresses):
            share = None if self.timeout is None else self.timeout / (len(addresses) - n)
            where = (address, self.port)
            try:
                sock = create_connection(where, share, self.source_address, self.socket_options)
            except OSError as fault:
                last = fault
            else:
                self._limit(sock)
                return sock
        if isinstance(last, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError from last
        raise urllib3.exceptions.NewConnectionError(self, "") from last

    def _addresses(self) -> list[str]:
        host = self._dns_host.strip("[]")
        family = allowed_gai_family()
        try:
            found = socket.getaddrinfo(host, self.port, family, socket.SOCK_STREAM)
        except socket.gaierror as fault:
            raise urllib3.exceptions.NameResolutionError(host, self, fault) from fault
        except UnicodeError as fault:  # A part of the name is empty or too long.
            raise urllib3.exceptions.LocationParseError(host) from fault
        return [str(address[0]) for *_, address in found]


def limit_connections(pool: urllib3.HTTPConnectionPool, on_connected: Callable[[], None]) -> None:
    """Make the connections of a pool keep the `Deadline` of each request.

    Args:
        pool: The pool; it has not made a connection yet.
        on_connected: Called, in any thread, after each connection that was made, and its handshake.
    """
    kind: Any = pool.ConnectionCls
    # Those of a SOCKS proxy have another way to connect.
    plain = kind._new_conn is HTTPConnection._new_conn  # noqa: SLF001
    base = _DialingConnection if plain else _BoundedConnection
    pool.ConnectionCls = type(kind.__name__, (base, kind), {})
    pool.conn_kw["on_connected"] = on_connected
