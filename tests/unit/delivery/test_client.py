"""One attempt, over real connections to a server on this machine."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from fakes import FakeClock, batch, deliver, settings
from loopback import NO_CONTENT, Loopback, answer_with

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.transport import find_route, read_body, retry_after
from target_liveintent.errors import SetUpError

if TYPE_CHECKING:
    from pathlib import Path

DENIED = answer_with("401 Unauthorized")


class TickingClock(FakeClock):
    """A clock that moves with each look at it."""

    def monotonic(self) -> float:
        self.now += 0.25
        return self.now


def post(url: str, clock: Clock = SYSTEM_CLOCK, **changes: Any) -> Answer:
    """Post a batch of one event by a client of its own."""
    return Client(settings(api_url=url, **changes), clock).post(b"[{}]", ["1"], 60.0)


# Requests


def test_a_request() -> None:
    """A POST to the customer's URL, with the token, the JSON array, and no more than needed."""
    with Loopback(NO_CONTENT) as server:
        answer = post(server.url)
    assert (answer.verdict, answer.status, answer.detail) == (Verdict.ACCEPTED, 204, "HTTP 204")
    ((head, body),) = server.requests
    assert head.startswith("POST /conversions/a-1b2c HTTP/1.1\r\n")
    for header in (
        "Authorization: Bearer a-token-of-unit-tests\r\n",
        "Content-Type: application/json\r\n",
        "User-Agent: target-liveintent\r\n",
    ):
        assert header in head
    assert body == b"[{}]"


def test_connections_stay_open() -> None:
    """Requests of one client go over one connection."""
    with Loopback(NO_CONTENT) as server:
        client = Client(settings(api_url=server.url), SYSTEM_CLOCK)
        for _ in range(3):
            client.post(b"[]", ["1"], 60.0)
    assert server.connections == [3]


@pytest.mark.parametrize(
    "answer",
    [
        NO_CONTENT,
        answer_with("200 OK"),
        answer_with("200 OK", b'["1"]'),
    ],
    ids=["204", "200-empty", "200"],
)
def test_a_connection_that_is_taken_at_once(answer: bytes) -> None:
    """A connection may be used again as soon as a body was read, while its answer still lives."""
    with Loopback(answer) as server:
        given = settings(api_url=server.url)
        route = find_route(given)
        first = route.post(b"[]", {}, 5.0)
        read_body(first)
        second = route.post(b"[]", {}, 5.0)
        read_body(second)
    assert [first.status, second.status] == [int(answer[9:12])] * 2
    assert server.connections == [2]


def test_how_long_a_request_takes() -> None:
    """Its seconds are those from before the request until after its answer."""
    with Loopback(NO_CONTENT) as server:
        clock = TickingClock()
        start = clock.now
        answer = post(server.url, clock)
    assert answer.seconds == clock.now - start - 0.25
    assert answer.seconds > 0


# Answers


def test_an_answer_in_full() -> None:
    """Status, body and headers of an answer are judged together."""
    with Loopback(
        answer_with("429 Too Many Requests", b"", "Retry-After: 7"),
        answer_with("400 Bad Request", b'{"errors": [{"message": "no pixel"}]}'),
        answer_with("503 Busy", b"", "Retry-After: soon"),
    ) as server:
        client = Client(settings(api_url=server.url), FakeClock())
        got = [client.post(b"[]", ["1"], 60.0) for _ in range(3)]
    assert got == [
        Answer(Verdict.LIMITED, "HTTP 429", 429, 7.0),
        Answer(Verdict.REFUSED, "HTTP 400: no pixel", 400),
        Answer(Verdict.LIMITED, "HTTP 503", 503),
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("86400", 86_400.0),  # More than urllib3 gives.
        (f"1{'0' * 400}", None),  # More than a float holds.
        ("1" * 5_000, None),  # More than an int is read from.
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_how_long_the_api_asks_to_wait(value: str, seconds: float | None) -> None:
    """A `Retry-After` is a number of seconds or a date; what cannot be read is left out."""
    answer = urllib3.HTTPResponse(headers={"Retry-After": value})
    assert retry_after(answer) == seconds


def test_how_long_the_api_asks_to_wait_as_a_date() -> None:
    """A date is as far away as it is."""
    answer = urllib3.HTTPResponse(headers={"Retry-After": formatdate(time.time() + 90_000)})
    assert retry_after(answer) == pytest.approx(90_000, abs=60)


def test_a_compressed_answer() -> None:
    """An answer that a server or a proxy has compressed is read like any other."""
    body = gzip.compress(b'{"errors": [{"message": "no pixel"}]}')
    with Loopback(answer_with("400 Bad Request", body, "Content-Encoding: gzip")) as server:
        assert post(server.url).detail == "HTTP 400: no pixel"


def test_a_redirect_is_not_followed() -> None:
    """A redirect is an unknown answer: the token goes to no other address."""
    with Loopback(answer_with("302 Found", b"", "Location: /elsewhere")) as server:
        assert post(server.url).verdict is Verdict.UNKNOWN
    assert len(server.requests) == 1


def test_a_body_without_end() -> None:
    """Of a body, only as much is read as an answer of this API can have."""
    with Loopback(answer_with("400 Bad Request", b"x" * 1_000_000)) as server:
        answer = post(server.url)
        response = find_route(settings(api_url=server.url)).post(b"[]", {}, 5.0)
        body = read_body(response)
    assert answer.verdict is Verdict.REFUSED
    assert answer.detail == "HTTP 400: " + "x" * 500
    assert 65_536 <= len(body) < 2 * 65_536


# Faults


def test_no_server() -> None:
    """A port at which no server listens is a fault to retry."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}")
    assert (answer.verdict, answer.detail) == (Verdict.FAULT, "the connection failed")
    assert answer.status is None


def test_a_connection_that_is_cut() -> None:
    """A server that hangs up without an answer is a fault to retry."""
    with Loopback(b"") as server:
        answer = post(server.url)
    assert (answer.verdict, answer.detail) == (Verdict.FAULT, "the connection failed")


PROXY = (
    "the environment variable HTTPS_PROXY contains a URL that cannot be used: correct the variable"
)
KIND = (
    "the proxy needs a package that is not installed. For a SOCKS proxy, run: pip install"
    " 'requests[socks]'"
)
CERTIFICATES = "the certificate file does not exist or cannot be used: correct REQUESTS_CA_BUNDLE,"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("https_proxy", "http://:80", PROXY),
        ("https_proxy", "https://", PROXY),
        ("https_proxy", "foo://127.0.0.1:9", PROXY),
        ("https_proxy", "socks5://127.0.0.1:9", KIND),
        ("REQUESTS_CA_BUNDLE", "no-such-file.pem", CERTIFICATES),
        ("REQUESTS_CA_BUNDLE", __file__, CERTIFICATES),
        ("SSL_CERT_FILE", "no-such-file.pem", CERTIFICATES),
        ("SSL_CERT_FILE", __file__, CERTIFICATES),
        ("SSL_CERT_DIR", "no-such-folder", CERTIFICATES),
    ],
)
def test_a_set_up_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """A proxy or a file of certificates that no retry can fix ends the run at once, and says so."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    given = settings(api_url="https://127.0.0.1.invalid")
    result = deliver(batch("1"), Client(given, SYSTEM_CLOCK))
    assert isinstance(result.failure, SetUpError)
    assert f"this machine cannot send requests to the API: {words}" in str(result.failure)
    assert (result.requests, result.retries) == (1, 0)


# Tokens


def with_token_file(server: Loopback, path: Path) -> Client:
    """Return a client whose token is in a file."""
    path.write_text("old-token")
    given = settings(api_url=server.url, auth_token=None, auth_token_path=str(path))
    return Client(given, SYSTEM_CLOCK)


def test_a_token_that_was_rotated(tmp_path: Path) -> None:
    """When the file holds another token than the denied one, it is used from then on."""
    path = tmp_path / "token"
    with Loopback(DENIED, NO_CONTENT) as server:
        client = with_token_file(server, path)
        path.write_text("new-token")
        verdicts = [client.post(b"[]", ["1"], 60.0).verdict for _ in range(2)]
    assert verdicts == [Verdict.ROTATED, Verdict.ACCEPTED]
    tokens = [head.partition("Bearer ")[2].partition("\r")[0] for head, _ in server.requests]
    assert tokens == ["old-token", "new-token"]


def test_the_log_line_of_a_rotation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says so under a name that users may filter by, and that fits the column of names."""
    path = tmp_path / "token"
    with caplog.at_level(logging.INFO, "target_liveintent"), Loopback(DENIED) as server:
        client = with_token_file(server, path)
        path.write_text("new-token")
        client.post(b"[]", ["1"], 60.0)
    assert [(line.name, line.levelname) for line in caplog.records] == [
        ("target_liveintent.client", "INFO")
    ]


@pytest.mark.parametrize("change", ["none", "gone", "two words"])
def test_a_token_that_was_not_rotated(tmp_path: Path, change: str) -> None:
    """A file with the same token, with none, or that is gone, leaves the answer a denial."""
    path = tmp_path / "token"
    with Loopback(DENIED) as server:
        client = with_token_file(server, path)
        if change == "gone":
            path.unlink()
        elif change == "two words":
            path.write_text("two words")
        assert client.post(b"[]", ["1"], 60.0).verdict is Verdict.DENIED


def test_a_token_without_a_file() -> None:
    """Without a file of the token, a denial is a denial."""
    with Loopback(DENIED) as server:
        assert post(server.url).verdict is Verdict.DENIED
