"""One attempt, over real connections to a server on this machine."""

import errno
import logging
import os
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import urllib3
from fakes import LOGGER, batch, deliver, settings
from loopback import NO_CONTENT, answer_with, loopback

from target_liveintent.delivery.api import Answer, Verdict, retry_after_seconds
from target_liveintent.delivery.client import (
    Client,
    DryClient,
    client_of,
    is_usable_token,
    read_token,
)
from target_liveintent.delivery.transport import Route, answer_for_fault, find_route
from target_liveintent.errors import ConfigurationError, SetUpError
from target_liveintent.privacy.redaction import without_secrets


def post(url: str, **changes: Any) -> Answer:
    """Post a batch of one event by a client of its own."""
    return client_of(settings(api_url=url, **changes), LOGGER).post(b"[{}]", ["1"], 60.0)


def posts(client: Client | DryClient, count: int) -> list[Answer]:
    """Post so often by one client."""
    return [client.post(b"[{}]", ["1"], 60.0) for _ in range(count)]


# Requests


def test_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """POSTs to the customer's URL, with the token and the JSON array, over one connection.

    No proxy stands between the target and a server on this machine.
    """
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with loopback(NO_CONTENT) as server:
        got = posts(client_of(settings(api_url=server.url), LOGGER), 3)
    assert got == [Answer(Verdict.ACCEPTED, "HTTP 204", 204)] * 3
    assert server.connections == [3]
    for first, headers, body in server.requests:
        assert first == "POST /conversions/a-1b2c HTTP/1.1\r\n"
        for name, value in (
            ("Authorization", "Bearer a-token-of-unit-tests"),
            ("Content-Type", "application/json"),
            ("User-Agent", "target-liveintent"),
        ):
            assert headers.get_all(name) == [value]
        assert body == b"[{}]"


# Answers


def test_an_answer_in_full() -> None:
    """Status, body and headers of an answer are judged together.

    A redirect is not followed: the token goes nowhere else.
    """
    with loopback(
        answer_with("429 Too Many Requests", b"", "Retry-After: 7"),
        answer_with("400 Bad Request", b'{"errors": [{"message": "no pixel"}]}'),
        answer_with("200 OK", b"\x8b\x02?", "Content-Encoding: gzip", "RateLimit-Reset: 9"),
        answer_with("401 Unauthorized", b"", "Connection: close"),  # No file has another token.
        answer_with("302 Found", b"", "Location: /elsewhere"),
    ) as server:
        got = posts(client_of(settings(api_url=server.url), LOGGER), 5)
    assert got == [
        Answer(Verdict.LIMITED, "HTTP 429", 429, 7.0),
        Answer(Verdict.REFUSED, "HTTP 400: no pixel", 400),
        Answer(Verdict.UNCONFIRMED, "HTTP 200", 200),
        Answer(Verdict.DENIED, "HTTP 401", 401),
        Answer(Verdict.UNKNOWN, "HTTP 302", 302),
    ]
    assert server.connections == [4, 1]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "86400"}, 86_400),
        ({"Retry-After": "in 90000 as a date"}, 90_000),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        # What cannot be read is left out, also if it is more than a float or a date can be.
        ({"Retry-After": f"1{'0' * 400}", "RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "1" * 5_000, "RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "Wed, 21 Oct 99999 07:28:00 GMT", "RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "1.5", "RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "٣"}, 0),
        ({"Retry-After": "7", "RateLimit-Reset": "9"}, 7),
        ({"ratelimit": "limit=100, remaining=0, reset=9"}, 9),
        ({"RateLimit": '"default";r=0;t=9'}, 9),
        ({"RateLimit": '"default";r=5;t=9'}, 0),
        ({"RateLimit": '"burst";r=0;t=2, "daily";r=500;t=50'}, 2),
        ({"RateLimit": '"burst";r=5;t=1, "daily";r=0;t=40'}, 40),
        ({"X-RateLimit-Reset": "in 40"}, 40),
        ({"X-RateLimit-Reset": "in -40"}, 0),
        ({"X-RateLimit-Reset": "2026-11-29T13:00:00Z"}, 0),
        ({"X-RateLimit-Reset": '40, "?"'}, 40),
        ({"X-RateLimit-Reset": "1000000000"}, 0),
        # The API may take requests before, and the unit is not sure.
        ({"X-RateLimit-Reset": "1" * 5_000}, 200),
        ({"X-RateLimit-Reset": "soon"}, 0),
        # An answer that may be followed by others at once was not given because of the limit.
        ({"X-RateLimit-Reset": "40", "X-RateLimit-Remaining": "0"}, 40),
        ({"X-RateLimit-Reset": "40", "X-RateLimit-Remaining": "07"}, 0),
        ({"RateLimit-Reset": "40", "RateLimit-Remaining": "4999"}, 0),
        ({"RateLimit": "limit=100, remaining=1, reset=9"}, 0),
    ],
    ids=[
        "at once",
        "in a day",
        "at a date",
        "date of the past",
        "too large for a float",
        "too many digits",
        "year beyond any date",
        "fraction of a second",
        "digits of another script",
        "Retry-After counts first",
        "old form of RateLimit",
        "new form of RateLimit",
        "some are left",
        "first policy is used up",
        "second policy is used up",
        "reset at a moment",
        "reset at a past moment",
        "reset as ISO date",
        "text after the seconds",
        "reset long ago",
        "reset with too many digits",
        "reset in words",
        "none remaining",
        "some remaining, name with X",
        "some remaining, name without X",
        "some remaining, old form",
    ],
)
def test_how_long_the_api_asks_to_wait(given: dict[str, str], seconds: float) -> None:
    """Other headers count where there is no `Retry-After`; `in …` stands for a moment.

    Many APIs send them with each answer: with others than a 429 or 503 they mean nothing.
    """
    headers = {
        name.lower(): _moment(value) if value.startswith("in ") else value
        for name, value in given.items()
    }
    wanted = pytest.approx(seconds, abs=20 if seconds > 9 else 0)
    assert [retry_after_seconds(status, headers, 1_000) for status in (429, 503)] == [wanted] * 2
    alone = {"retry-after": headers.get("retry-after", "")}
    assert retry_after_seconds(500, headers, 1_000) == pytest.approx(
        retry_after_seconds(503, alone, 1_000), abs=1
    )


MOMENT = 1_799_999_999.75
"""The Unix time at which resets are read."""


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("0", 0),
        ("3600", 3_600),
        ("3601", 3.601),
        ("30000", 30),
        ("999999999", 999_999.999),
        ("1000000000", 0),
        ("1800000040", 40.25),
        ("99999999999", 98_200_000_000),
        ("100000000000", 0),
        ("1800000040000", 40.25),
        ("1799999999500", 0),
        ("99999999999999", 98_200_000_000),
        ("100000000000000", 0),
        ("1800000040000000", 40.25),
    ],
    ids=[
        "now",
        "seconds, the most",
        "milliseconds, the fewest",
        "milliseconds",
        "milliseconds, the most",
        "Unix seconds, the earliest",
        "Unix seconds",
        "Unix seconds, the latest",
        "Unix milliseconds, the earliest",
        "Unix milliseconds",
        "Unix milliseconds, past",
        "Unix milliseconds, the latest",
        "Unix microseconds, the earliest",
        "Unix microseconds",
    ],
)
@pytest.mark.parametrize("header", ["x-ratelimit-reset", "ratelimit-reset", "ratelimit"])
def test_the_unit_of_a_reset_is_known_by_its_size(
    reset: str, seconds: float, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the unit, a reset costs at most a fifth of the time that a run may wait."""
    monkeypatch.setattr(time, "time", lambda: MOMENT)
    value = f"limit=9, remaining=0, reset={reset}" if header == "ratelimit" else reset
    for longest in (1e12, 300.0, 0.0):
        waited = retry_after_seconds(429, {header: value}, longest)
        assert waited == pytest.approx(min(seconds, longest / 5), rel=1e-6, abs=0.001)


def _moment(text: str) -> str:
    """Return the Unix time, or the date, so many seconds from now."""
    moment = int(time.time()) + int(text.split()[1])
    return formatdate(moment) if text.endswith("date") else str(moment)


def test_a_long_refusal_is_cut() -> None:
    """Of a body without end, the log and the dead letters have one short line."""
    with loopback(answer_with("400 Bad Request", b"x" * 1_000_000)) as server:
        answer = post(server.url)
    assert (answer.verdict, answer.detail) == (Verdict.REFUSED, "HTTP 400: " + "x" * 500)


# Faults


def test_faults_to_retry() -> None:
    """A server that hangs up without an answer, and a port without a server."""
    with loopback(b"") as server:
        cut = post(server.url)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    nobody = post(f"http://127.0.0.1:{port}")
    assert [cut, nobody] == [Answer(Verdict.FAULT, "the connection failed")] * 2


@pytest.mark.parametrize(
    ("scheme", "where"),
    [
        ("http", "urllib3.util.connection.create_connection"),
        ("http", "socket.getaddrinfo"),
        ("https", "ssl.SSLContext.load_verify_locations"),  # Its file is not wrong then.
    ],
    ids=["when connecting", "when looking up the host", "when reading certificates"],
)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_file_descriptors(
    scheme: str, where: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has too many requests in flight then, and the API is not at fault."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, "Too many open files")

    client = client_of(settings(api_url=f"{scheme}://127.0.0.1:9"), LOGGER)
    with monkeypatch.context() as patched:
        patched.setattr(where, fail)
        answer = client.post(b"[]", [], 5.0)
    assert client.post(b"[]", [], 5.0).verdict is Verdict.FAULT  # There are some again.
    assert answer.verdict is Verdict.STARVED
    assert answer.detail.startswith("no file descriptors are left. Raise the limit on open files")


def test_what_a_socks_proxy_wraps() -> None:
    """Its connection has a fault of its own, with the cause behind it."""
    fault = urllib3.exceptions.NewConnectionError(None, "")  # type: ignore[arg-type]
    fault.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert answer_for_fault(fault).verdict is Verdict.STARVED


PROXY = (
    "the environment variable HTTPS_PROXY contains a URL that cannot be used. Correct it; for a"
    " SOCKS proxy, run: pip install 'requests[socks]'"
)
CERTIFICATES = "the certificate file does not exist or cannot be used. Correct REQUESTS_CA_BUNDLE,"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("https_proxy", "http://:80", PROXY),
        ("https_proxy", "https://", PROXY),
        ("https_proxy", "foo://127.0.0.1:9", PROXY),
        ("https_proxy", "socks5://127.0.0.1:9", PROXY),
        ("REQUESTS_CA_BUNDLE", "no-such-file.pem", CERTIFICATES),
        ("REQUESTS_CA_BUNDLE", __file__, CERTIFICATES),
        ("SSL_CERT_FILE", "no-such-file.pem", CERTIFICATES),
        ("SSL_CERT_FILE", __file__, CERTIFICATES),
    ],
    ids=[
        "proxy without a host",
        "proxy of a scheme alone",
        "proxy of unknown scheme",
        "SOCKS proxy",
        "bundle that is absent",
        "bundle without certificates",
        "certificate file that is absent",
        "certificate file without certificates",
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
    assert isinstance(
        find_route(settings(api_url="http://127.0.0.1:9").url), Route
    )  # It needs none.
    given = settings(api_url="https://127.0.0.1.invalid")
    result = deliver(batch("1"), client_of(given, LOGGER))
    assert isinstance(result.failure, SetUpError)
    assert f"this machine cannot send requests to the API: {words}" in str(result.failure)
    assert (result.requests, result.retries) == (1, 0)


# Tokens

TOKEN = "s3cr3t-T0ken-of-ours"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        *((content, "401 Unauthorized") for content in ("old-token", "two words", None)),
        *(("new-token", status) for status in ("401 Unauthorized", "403 Forbidden")),
        ("new-token", "204 No Content"),
    ],
    ids=[
        "same token",
        "file without a token",
        "no file",
        "new token denied with 401",
        "new token denied with 403",
        "new token accepted",
    ],
)
def test_a_token_that_is_denied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None, status: str
) -> None:
    """If its file now holds another token, that is used from then on, and a line says so.

    The name of the logger is one that users may filter by, and that fits the column of names.
    """
    path = tmp_path / "token"
    path.write_text("old-token")
    denied = answer_with(status)
    with caplog.at_level(logging.INFO, "target_liveintent"), loopback(denied, NO_CONTENT) as server:
        given = settings(api_url=server.url, auth_token=None, auth_token_path=str(path))
        client = client_of(given, LOGGER)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        got = posts(client, 2)
    is_denied = status[0] == "4"
    is_rotated = content == "new-token" and is_denied
    second = "new-token" if is_rotated else "old-token"
    refused = Verdict.ROTATED if is_rotated else Verdict.DENIED
    assert got[0].verdict is (refused if is_denied else Verdict.ACCEPTED)
    assert [headers["Authorization"] for _, headers, _ in server.requests] == [
        "Bearer old-token",
        f"Bearer {second}",
    ]
    lines = [(line.name, line.levelname) for line in caplog.records]
    assert lines == [("target_liveintent.client", "INFO")] * is_rotated
    assert without_secrets(second) == "***"


def test_usable_tokens() -> None:
    """Printable ASCII without spaces can stand in a header."""
    usable = ["x", TOKEN, "a.b_c~d+e/f=", "!\"#$%&'()"]
    others = ["", " ", "a b", "a\n", "a\tb", "a\x7f", "\0", "ä", "a\u2028b"]
    assert [one for one in [*usable, *others] if is_usable_token(one)] == usable


@pytest.mark.parametrize("content", ["{}", "{}\n", "\n {}\r\n", "\ufeff{}"])
def test_a_token_in_a_file(tmp_path: Path, content: str) -> None:
    """White space and a byte-order mark are not part of the token."""
    file = tmp_path / "token"
    file.write_text(content.format(TOKEN), encoding="utf-8")
    assert read_token(str(file)) == TOKEN
    file.write_text("x" * 1_000_000)
    assert len(read_token(str(file))) <= 65_536  # A file without end does not fill the memory.


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"a b", b"a\nb", b"\xff\xfe", "ä".encode()],
    ids=["empty", "white space alone", "two words", "two lines", "not UTF-8", "not ASCII"],
)
def test_a_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    """The message shows neither the content nor the path, which may be a mistyped token."""
    file = tmp_path / "token"
    file.write_bytes(content)
    words = "setting 'auth_token_path' must name a file that contains a token and nothing else"
    unreadable = "the file named in setting 'auth_token_path' cannot be read: "
    for path, said in (
        (file, words),
        (f"{TOKEN}\0", words),
        (tmp_path / TOKEN, f"{unreadable}No such file or directory"),
        (tmp_path, f"{unreadable}Is a directory"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            read_token(str(path))
        assert str(raised.value) == said
