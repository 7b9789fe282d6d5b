"""How long a request may take, and what comes before its answer, over real connections."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from certificates import tls, trusted
from fakes import settings
from loopback import NO_CONTENT, accept, answer_with, dripping, loopback, received, serving
from urllib3.util import connection

from target_liveintent.delivery import transport
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.transport import Route, find_route

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    Server = Callable[[socket.socket, threading.Event], None]

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 0.2
"""Seconds after which requests end in these tests; their servers would take five."""
LONG = 10.0
"""A limit of which all but that passes at once, as the clock is put forward."""
SHAKING_HANDS = dripping(b"\x16\x03\x03\x40\x00", b"\x02")
"""A TLS handshake that comes byte by byte."""


class Clock:
    """The clock by which requests end, which servers put forward instead of waiting.

    Attributes:
        ahead: By how many seconds.
    """

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def put_forward(self) -> None:
        """Let nearly all of a long limit pass at once."""
        self.ahead += LONG - LIMIT


CLOCK = Clock()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust the certificates of the tests, and let requests end by their clock."""
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted(tmp_path)))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transport, "time", CLOCK)


def route_to(port: int, scheme: str = "http", host: str = "127.0.0.1") -> Route:
    """Return the way to an API."""
    route = find_route(settings(api_url=f"{scheme}://{host}:{port}").url)
    assert isinstance(route, Route)
    return route


def status_of(route: Route, seconds: float = LIMIT, body: bytes = b"[{}]") -> int:
    """Post once, read the whole answer, and return its status."""
    reply = route.post("a-token", body, seconds)
    assert not isinstance(reply, Answer), reply
    return reply.status


def assert_ends_in_time(route: Route, seconds: float = LIMIT, body: bytes = b"[{}]") -> None:
    """Check that a request ends at its limit, and why."""
    start = time.monotonic()
    reply = route.post("a-token", body, seconds)
    assert reply == Answer(Verdict.LIMITED, "no answer came in time")
    assert LIMIT - 0.01 <= time.monotonic() - start < 3.0


def flood(connection: socket.socket, ended: threading.Event) -> None:
    """Give an answer that never ends, as fast as it can be."""
    received(connection)
    while not ended.is_set():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


def stop(connection: socket.socket, ended: threading.Event) -> None:
    """Begin an answer late, and do not end it."""
    received(connection)
    ended.wait(1.8)  # The client has begun to wait: putting the clock forward says nothing.
    connection.sendall(b"HTTP/1.1 204")
    ended.wait(5)


SLOW = {
    "status": dripping(b"HTTP/1.1 2", b"0"),
    "headers": dripping(OK, b"X: y\r\n"),
    "header": dripping(OK, b"x"),
    "body": dripping(OK + b"Content-Length: 100\r\n\r\n", b"x"),
    "chunks": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "100": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of 100": dripping(b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"),
    "stop": stop,
    "not read": lambda _, ended: ended.wait(5),
}
"""Servers whose answers come byte by byte, or for ever, or that read no request."""
LONG_BODY = b"x" * 30_000_000


@pytest.mark.promise("A request ends within `request_timeout_seconds`")
@pytest.mark.parametrize(
    ("scheme", "server"),
    [*(("http", name) for name in SLOW), *(("https", name) for name in ("body", "not read"))],
    ids=[*(f"http, {name}" for name in SLOW), "https, body", "https, not read"],
)
def test_an_answer_that_does_not_end(scheme: str, server: str) -> None:
    """It takes no longer than an answer may take; the last wait is as long as others leave it."""
    seconds = 2.0 if server == "stop" else LIMIT
    body = LONG_BODY if server == "not read" else b"[{}]"
    with serving(SLOW[server], tls if scheme == "https" else None) as port:
        assert_ends_in_time(route_to(port, scheme), seconds, body)
        late = route_to(port, scheme).post("a-token", b"[{}]", 0.04)  # Hardly time to connect.
        assert late == Answer(Verdict.LIMITED, "no answer came in time")


@pytest.mark.promise("A request ends within `request_timeout_seconds`")
def test_an_answer_that_never_begins() -> None:
    """However fast each 1xx comes, the request ends at its limit."""
    with serving(flood) as port:
        assert_ends_in_time(route_to(port))


# Proxies


def connect(connection: socket.socket, ended: threading.Event) -> None:
    """Connect, and forward a slow handshake."""
    received(connection, b"\r\n\r\n")
    connection.sendall(OK + b"\r\n")
    SHAKING_HANDS(connection, ended)


def connect_late(connection: socket.socket, ended: threading.Event) -> None:
    """Take long to connect as well."""
    received(connection, b"\r\n\r\n")
    CLOCK.put_forward()
    connection.sendall(OK + b"\r\n")
    SHAKING_HANDS(connection, ended)


def late_tls() -> ssl.SSLContext:
    """Return the TLS of a server whose handshakes take long."""
    CLOCK.put_forward()
    return tls()


@pytest.mark.parametrize(
    ("server", "proxy_tls", "seconds"),
    [
        (dripping(b"", b"H"), None, LIMIT),
        (dripping(OK, b"X: y\r\n"), None, LIMIT),
        # What a proxy needs is taken from the handshake with the API that follows,
        (connect_late, None, LONG),
        # which is inside the TLS of a proxy over https.
        (connect, tls, LIMIT),
        # What the handshake with a proxy needs is taken from the time for its answer.
        (dripping(b"", b"H"), late_tls, LONG),
    ],
    ids=["status", "headers", "late", "handshake", "late-handshake"],
)
def test_a_slow_proxy(
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    proxy_tls: Callable[[], ssl.SSLContext] | None,
    seconds: float,
) -> None:
    """The answer of a proxy, and the handshakes with it and with the API, count as well."""
    with serving(server, proxy_tls) as port:
        scheme = "https" if proxy_tls else "http"
        monkeypatch.setenv("https_proxy", f"{scheme}://127.0.0.1:{port}")
        assert_ends_in_time(route_to(443, "https", "api.example.com"), seconds)


# Connections that are used again


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_each_request_has_its_own_time(scheme: str) -> None:
    """A connection that is used again starts anew, whatever its last request had left."""
    connections = []

    def patient(connection: socket.socket, ended: threading.Event) -> None:
        connections.append(connection)
        for seconds in (0.0, 1.1):
            received(connection)
            ended.wait(seconds)
            connection.sendall(NO_CONTENT)
        ended.wait(5)

    with serving(patient, tls if scheme == "https" else None) as port:
        route = route_to(port, scheme)
        assert [status_of(route, seconds) for seconds in (1.0, 5.0)] == [204] * 2
        assert_ends_in_time(route, body=LONG_BODY)
    assert len(connections) == 1


def test_an_answer_before_the_end_of_the_request() -> None:
    """A server that hangs up on a request that it refuses has said so before."""

    def refuse(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(refuse) as port:
        assert status_of(route_to(port), 5.0, LONG_BODY) == 400


def test_a_success_before_the_end_of_the_request() -> None:
    """A server that has not read all events has not accepted them, whatever it says."""

    def accept(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(300)
        connection.sendall(NO_CONTENT)

    with serving(accept) as port:
        reply = route_to(port).post("a-token", LONG_BODY, 5.0)
    assert isinstance(reply, Answer)
    assert reply.verdict is Verdict.FAULT


# Addresses


def test_addresses_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the time, and the one that is connected has all the time that is left."""
    connect, look_up = connection.create_connection, socket.getaddrinfo
    shares = []

    def look_up_twice(*given: Any, **how: Any) -> list[Any]:
        return look_up(*given, **how) * 2

    def connect_late(where: tuple[str, int], seconds: float, **how: Any) -> socket.socket:
        shares.append(seconds)
        return connect(where, seconds, **how)

    def slow_tls() -> ssl.SSLContext:
        threading.Event().wait(1.2)
        return tls()

    monkeypatch.setattr(socket, "getaddrinfo", look_up_twice)
    monkeypatch.setattr(connection, "create_connection", connect_late)
    with serving(accept, slow_tls) as port:
        assert status_of(route_to(port, "https"), 2.0) == 204
    assert shares == pytest.approx([1.0], abs=0.2)


def test_an_address_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says more of the way than of the API, which may have too much to do."""

    def connect(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(connection, "create_connection", connect)
    reply = route_to(9).post("a-token", b"[{}]", 5.0)
    assert reply == Answer(Verdict.FAULT, "the connection timed out")


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("a..example.com", "the connection failed"),
        ("nobody.invalid", "the host name was not found"),
    ],
    ids=["empty part of a name", "unknown host"],
)
def test_no_address_that_answers(host: str, what: str) -> None:
    """A host whose name is none, or is not known, is a network fault, which may pass."""
    reply = route_to(443, "https", host).post("a-token", b"[{}]", 5.0)
    assert reply == Answer(Verdict.FAULT, what)


def test_a_request_that_may_not_be_sent_any_more() -> None:
    """Not a byte of it is sent; the next request takes its connection."""
    with loopback(answer_with("204 No Content")) as server:
        route = find_route(settings(api_url=server.url).url)
        assert isinstance(route, Route)
        for _ in range(2):  # Over a new connection, and over an open one.
            answer = route.post("a-token", b"[{}]", 5.0, lambda: False)
            assert isinstance(answer, Answer)
            assert answer.verdict is Verdict.STARVED
        assert status_of(route) == 204
        assert server.connections == [1]
