"""How long a request may take, and what comes before its answer, over real connections."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from certificates import tls, trusted
from fakes import settings
from loopback import NO_CONTENT, Loopback, answer_with, dripping, serving

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery.answers import Verdict
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.faults import NETWORK_FAULTS, describe
from target_liveintent.delivery.transport import Route, find_route, read_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 0.2
"""Seconds that a request may take in these tests; their servers would take five."""


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Return the scheme of the API."""
    return request.param


@pytest.fixture(autouse=True)
def certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust the certificates of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted(tmp_path)))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def route_to(url: str) -> Route:
    """Return the way to an API."""
    return find_route(settings(api_url=url))


def status_of(route: Route, seconds: float = LIMIT, body: bytes = b"[{}]") -> int:
    """Post once, read the whole answer, and return its status."""
    response = route.post(body, {}, seconds)
    read_body(response)
    return response.status


def assert_ends_in_time(
    route: Route,
    seconds: float = LIMIT,
    body: bytes = b"[{}]",
    words: str = "no answer came in time",
) -> None:
    """Check that a request ends at its limit, with these words."""
    start = time.monotonic()
    with pytest.raises(NETWORK_FAULTS) as ended:
        status_of(route, seconds, body)
    assert describe(ended.value) == words
    assert seconds - 0.01 <= time.monotonic() - start < seconds + 0.6


def received(connection: socket.socket, end: bytes = b"[{}]") -> bool:
    """Read until the end of a request has come; return False if the connection ends."""
    got = b""
    while not got.endswith(end):
        part = connection.recv(65_536)
        if not part:
            return False
        got += part
    return True


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (OK, b"X: y\r\n"),
        (OK, b"x"),
        (OK + b"Content-Length: 100\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"),
    ],
    ids=["status", "headers", "header", "body", "chunks", "100", "103", "headers-of-100"],
)
def test_an_answer_that_drips(scheme: str, head: bytes, drop: bytes) -> None:
    """An answer that comes byte by byte takes no longer than an answer may take."""
    with serving(dripping(head, drop), tls if scheme == "https" else None) as port:
        assert_ends_in_time(route_to(f"{scheme}://127.0.0.1:{port}"))


def test_the_limit_of_the_setting() -> None:
    """The limit is `request_timeout_seconds`, and such a request is one to try again."""
    with serving(dripping(b"", b"H")) as port:
        given = settings(api_url=f"http://127.0.0.1:{port}", request_timeout_seconds=1)
        answer = Client(given, SYSTEM_CLOCK).post(b"[{}]", ["1"], 60.0)
    assert (answer.verdict, answer.detail) == (Verdict.LIMITED, "no answer came in time")
    assert 0.99 <= answer.seconds < 1.6


def test_a_handshake_that_drips() -> None:
    """A TLS handshake that comes byte by byte takes no longer either."""
    with serving(dripping(b"\x16\x03\x03\x40\x00", b"\x02")) as port:
        assert_ends_in_time(route_to(f"https://127.0.0.1:{port}"))


def test_a_request_is_sent_in_one_piece() -> None:
    """The headers do not go by themselves, so that a TLS record holds the whole request."""
    records = []

    def record(connection: socket.socket, _: threading.Event) -> None:
        records.append(connection.recv(65_536))
        connection.sendall(NO_CONTENT)

    with serving(record, tls) as port:
        assert status_of(route_to(f"https://127.0.0.1:{port}"), 5.0) == 204
    assert records[0].startswith(b"POST /")
    assert records[0].endswith(b"\r\n\r\n[{}]")


def test_an_answer_that_floods(scheme: str) -> None:
    """An answer that never ends takes no longer, however fast it comes."""

    def flood(connection: socket.socket, ended: threading.Event) -> None:
        received(connection)
        while not ended.is_set():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)

    with serving(flood, tls if scheme == "https" else None) as port:
        assert_ends_in_time(route_to(f"{scheme}://127.0.0.1:{port}"))


def test_an_answer_that_stops(scheme: str) -> None:
    """The last wait is shorter than the limit if others came before it."""

    def stop(connection: socket.socket, ended: threading.Event) -> None:
        received(connection)
        ended.wait(0.8)
        connection.sendall(b"HTTP/1.1 204")
        ended.wait(5)

    with serving(stop, tls if scheme == "https" else None) as port:
        assert_ends_in_time(route_to(f"{scheme}://127.0.0.1:{port}"), 1.0)


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Route]:
    """Return a function of a proxy's port, which returns the way through the proxy."""

    def through(port: int, scheme: str = "http") -> Route:
        monkeypatch.setenv("https_proxy", f"{scheme}://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        return route_to("https://api.example.com")

    return through


@pytest.mark.parametrize(
    ("head", "drop"), [(b"", b"H"), (OK, b"X: y\r\n")], ids=["status", "headers"]
)
def test_a_proxy_that_drips(behind: Callable[..., Route], head: bytes, drop: bytes) -> None:
    """The answer of a proxy counts as well."""
    with serving(dripping(head, drop)) as port:
        assert_ends_in_time(behind(port))


def test_a_slow_proxy(behind: Callable[..., Route]) -> None:
    """What a proxy needs is taken from the handshake that follows."""

    def slow(connection: socket.socket, ended: threading.Event) -> None:
        received(connection, b"\r\n\r\n")
        ended.wait(0.8)
        connection.sendall(OK + b"\r\n")
        dripping(b"\x16\x03\x03\x40\x00", b"\x02")(connection, ended)

    with serving(slow) as port:
        assert_ends_in_time(behind(port), 1.0)


def test_a_handshake_behind_a_proxy_over_https(behind: Callable[..., Route]) -> None:
    """The handshake with the API counts inside the TLS of a proxy, too."""

    def connect(connection: socket.socket, ended: threading.Event) -> None:
        received(connection, b"\r\n\r\n")
        connection.sendall(OK + b"\r\n")
        dripping(b"\x16\x03\x03\x40\x00", b"\x02")(connection, ended)

    with serving(connect, tls) as port:
        assert_ends_in_time(behind(port, "https"))


def test_a_slow_proxy_over_https(behind: Callable[..., Route]) -> None:
    """What the handshake with a proxy needs is taken from the time for the proxy's answer."""

    def slow() -> ssl.SSLContext:
        threading.Event().wait(0.8)
        return tls()

    with serving(dripping(b"", b"H"), slow) as port:
        assert_ends_in_time(behind(port, "https"), 1.0)


def test_a_request_that_is_not_read(scheme: str) -> None:
    """A server that does not read the request is given up in time, too."""

    def deaf(_: socket.socket, ended: threading.Event) -> None:
        ended.wait(5)

    with serving(deaf, tls if scheme == "https" else None) as port:
        assert_ends_in_time(route_to(f"{scheme}://127.0.0.1:{port}"), body=b"x" * 30_000_000)


def test_each_request_has_its_own_time(scheme: str) -> None:
    """A connection that is used again starts anew, whatever its last request had left."""
    connections = []

    def patient(connection: socket.socket, ended: threading.Event) -> None:
        connections.append(connection)
        for _ in range(3):
            received(connection)
            ended.wait(0.4)
            connection.sendall(NO_CONTENT)
        ended.wait(5)

    with serving(patient, tls if scheme == "https" else None) as port:
        route = route_to(f"{scheme}://127.0.0.1:{port}")
        assert [status_of(route, seconds) for seconds in (5.0, 0.7, 0.7)] == [204] * 3
        assert_ends_in_time(route, body=b"x" * 30_000_000)
    assert len(connections) == 1


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_an_answer_after_others(status: str) -> None:
    """1xx answers are skipped: the one after them is the answer, and the connection is kept."""
    before = f"HTTP/1.1 {status}\r\nLink: x\r\n\r\n".encode()
    with Loopback(before * 3 + NO_CONTENT, before + answer_with("400 Bad Request")) as server:
        route = route_to(server.url)
        assert [status_of(route, 5.0) for _ in range(2)] == [204, 400]
    assert server.connections == [2]


def test_a_switch_of_protocols() -> None:
    """A 101, which nobody asked for, is the answer: what comes after it is not HTTP."""
    with Loopback(b"HTTP/1.1 101 Switching Protocols\r\n\r\n") as server:
        assert status_of(route_to(server.url), 5.0) == 101


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return a table of hosts and their addresses, which takes the place of a resolver."""
    table: dict[str, list[str]] = {}

    def look_up(host: str, port: int, *_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in table.get(host, [host])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


def test_an_address_that_does_not_answer(addresses: dict[str, list[str]]) -> None:
    """The first address of a host leaves time for the others."""
    addresses["localhost"] = ["127.0.0.2", "127.0.0.1"]
    with Loopback(NO_CONTENT) as server:
        port = int(server.url.rpartition(":")[2])
        # A queue of connections that is full does not answer the next one.
        with socket.create_server(("127.0.0.2", port), backlog=0):
            queue = [socket.socket() for _ in range(4)]
            for waiting in queue:
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.2", port))
            start = time.monotonic()
            assert status_of(route_to(f"http://localhost:{port}"), 1.0) == 204
            assert 0.45 <= time.monotonic() - start < 0.9
            for waiting in queue:
                waiting.close()


def test_an_address_that_answers(addresses: dict[str, list[str]]) -> None:
    """The first address that is connected has all the time that is left."""
    addresses["localhost"] = ["127.0.0.1", "127.0.0.2"]

    def slow() -> ssl.SSLContext:
        threading.Event().wait(0.6)
        return tls("localhost")

    def answer(connection: socket.socket, _: threading.Event) -> None:
        received(connection)
        connection.sendall(NO_CONTENT)

    with serving(answer, slow) as port:
        assert status_of(route_to(f"https://localhost:{port}"), 1.0) == 204


def test_no_address_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose name is none, or is not known, is a network fault."""
    for host in ("a..example.com", "nobody.invalid"):
        with pytest.raises(NETWORK_FAULTS):
            status_of(route_to(f"https://{host}"))
