"""Certificates and proxies that stand in the way to the API, over real connections."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme
from certificates import self_signed_tls, tls, trusted, trusted_folder
from fakes import LOGGER, settings
from loopback import accept, received, serving

from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.client import client_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Server = Callable[[socket.socket, threading.Event], None]
    Tls = Callable[[], ssl.SSLContext] | None
    Posts = Callable[..., list[Answer]]

BEHIND = "https://api.example.com"
"""An API that only a proxy reaches; those of the tests are that API themselves."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
ACCEPTED, FAULT, UNREACHABLE = Verdict.ACCEPTED, Verdict.FAULT, Verdict.UNREACHABLE


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust the certificates of the tests, and no proxy."""
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), *CERTIFICATE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted(tmp_path)))


def expired_tls() -> ssl.SSLContext:
    """Return the TLS of a server whose certificate has expired."""
    return tls(expired=True)


def unknown_tls() -> ssl.SSLContext:
    """Return the TLS of a server whose certificate comes from an unknown authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def answer_http(connection: socket.socket, _: threading.Event) -> None:
    """Answer as a server of plain http answers a TLS handshake."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def hang_up(connection: socket.socket, _: threading.Event) -> None:
    """Take one request, and close the connection."""
    received(connection)


def proxy(*answers: str) -> Server:
    """Return a proxy that gives connections these answers; after a 200, it is the API itself."""
    left = list(answers)

    def answer(connection: socket.socket, ended: threading.Event) -> None:
        received(connection, b"\r\n\r\n")
        status = left.pop(0)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        if status.startswith("200"):
            with tls("api.example.com").wrap_socket(connection, server_side=True) as inner:
                accept(inner, ended)

    return answer


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Posts:
    """Return a function of a port and a count, which posts so often by one client.

    The port is that of the API, or of a proxy if its scheme is given, maybe empty for http.
    """

    def post(port: int, count: int = 1, scheme: str | None = None) -> list[Answer]:
        if scheme is not None:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}user:secret@127.0.0.1:{port}")
        url = f"https://127.0.0.1:{port}" if scheme is None else BEHIND
        client = client_of(settings(api_url=url), LOGGER)
        return [client.post(b"[{}]", ["1"], 2.0) for _ in range(count)]

    return post


UNTRUSTED = "this machine does not accept the certificate of the"
PLAIN = "does not answer over https, and may be using plain http."
MISMATCH = "IP address mismatch, certificate is not valid for '127.0.0.1'"


@pytest.mark.promise("If a retry cannot help, the run fails at its first request")
@pytest.mark.parametrize(
    ("server_tls", "words", "advice"),
    [
        (expired_tls, f"{UNTRUSTED} API: certificate has expired. ", "this machine's clock"),
        (
            self_signed_tls,
            f"{UNTRUSTED} API: self signed certificate. ",
            "set REQUESTS_CA_BUNDLE (or",
        ),
        (unknown_tls, f"{UNTRUSTED} API: unable to get local issuer certificate. ", "your company"),
        (lambda: tls("a.example.com"), f"{UNTRUSTED} API: {MISMATCH}. ", "and the host in api_url"),
        (None, f"the API {PLAIN} ", "Check the scheme and the port in api_url"),
    ],
    ids=["expired", "self-signed", "unknown", "other-host", "plain-http"],
)
def test_a_certificate(posts: Posts, server_tls: Tls, words: str, advice: str) -> None:
    """A certificate that is not accepted ends the run at once, in OpenSSL's words."""
    with serving(accept if server_tls else answer_http, server_tls) as port:
        (answer,) = posts(port)
    assert answer.verdict is UNREACHABLE
    assert words in answer.detail.replace("self-signed", "self signed")
    assert advice in answer.detail


@pytest.mark.promise("If a retry cannot help, the run fails at its first request")
@pytest.mark.parametrize(
    "status", ["403 Forbidden", "407 Proxy Authentication Required", "404 Not Found"]
)
def test_a_proxy_that_refuses(posts: Posts, status: str) -> None:
    """A proxy that refuses to connect ends the run at once."""
    with serving(proxy(status)) as port:
        (answer,) = posts(port, scheme="")
    assert answer.verdict is UNREACHABLE
    words = f"the proxy refused to connect (HTTP {status[:3]}). Check the user and the password in"
    assert words in answer.detail
    assert "secret" not in answer.detail


@pytest.mark.parametrize(
    ("server_tls", "words"),
    [(None, f"the proxy {PLAIN}"), (expired_tls, f"{UNTRUSTED} proxy: certificate has expired")],
    ids=["plain-http", "expired"],
)
def test_a_proxy_over_https(posts: Posts, server_tls: Tls, words: str) -> None:
    """A proxy that is to be reached over https, and is not, ends the run at once."""
    with serving(accept if server_tls else answer_http, server_tls) as port:
        (answer,) = posts(port, scheme="https://")
    assert answer.verdict is UNREACHABLE
    assert words in answer.detail


@pytest.mark.parametrize(
    ("server", "verdicts"),
    [(accept, [ACCEPTED, FAULT, ACCEPTED]), (hang_up, [FAULT, FAULT, FAULT])],
    ids=["accepted", "no-answer"],
)
def test_a_certificate_after_a_good_one(
    posts: Posts, server: Server, verdicts: list[Verdict]
) -> None:
    """Once a handshake has succeeded, a certificate is a network fault: the next may be good.

    The handshake counts, even if no request was ever answered.
    """
    contexts = [tls(), expired_tls(), tls()]
    with serving(server, lambda: contexts.pop(0)) as port:
        answers = posts(port, 3)
    assert [answer.verdict for answer in answers] == verdicts
    assert answers[1].detail.startswith(f"{UNTRUSTED} API: certificate has expired. ")


@pytest.mark.parametrize(
    ("statuses", "verdicts", "detail"),
    [
        # A proxy whose refusal may pass,
        (["502 Bad Gateway"], [FAULT], "the proxy could not connect"),
        (["500 Broken"], [FAULT], "the proxy could not connect"),
        (["429 Too Many Requests"], [FAULT], "the proxy could not connect"),
        # and one that refuses after it has connected.
        (
            ["200 OK", "403 Forbidden", "200 OK"],
            [ACCEPTED, FAULT, ACCEPTED],
            "the proxy refused to connect (HTTP 403)",
        ),
    ],
    ids=["bad gateway", "broken proxy", "limit of the proxy", "refused after it connected"],
)
def test_a_proxy_that_cannot_now(
    posts: Posts, statuses: list[str], verdicts: list[Verdict], detail: str
) -> None:
    """A refusal that may pass is a network fault."""
    with serving(proxy(*statuses)) as port:
        answers = posts(port, len(statuses), scheme="")
    assert [answer.verdict for answer in answers] == verdicts
    (fault,) = (answer.detail for answer in answers if answer.verdict is FAULT)
    assert fault.startswith(detail)


def test_a_proxy_that_is_not_there(posts: Posts) -> None:
    """A proxy that cannot be reached is a network fault."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (answer,) = posts(port, scheme="")
    assert (answer.verdict, answer.detail) == (FAULT, "the proxy could not connect")


@pytest.mark.parametrize(
    ("variables", "verdict"),
    [
        ({"SSL_CERT_FILE": "ours.pem"}, ACCEPTED),
        ({"SSL_CERT_DIR": "ours"}, ACCEPTED),
        ({"SSL_CERT_DIR": f"empty{os.pathsep}ours"}, ACCEPTED),
        ({"SSL_CERT_FILE": "others.pem", "SSL_CERT_DIR": "ours"}, ACCEPTED),
        ({"SSL_CERT_FILE": "others.pem"}, UNREACHABLE),
        ({"SSL_CERT_DIR": "empty"}, UNREACHABLE),
        ({"REQUESTS_CA_BUNDLE": "ours.pem", "SSL_CERT_FILE": "others.pem"}, ACCEPTED),
        ({"REQUESTS_CA_BUNDLE": "others.pem", "SSL_CERT_FILE": "ours.pem"}, UNREACHABLE),
        ({"CURL_CA_BUNDLE": "others.pem", "SSL_CERT_FILE": "ours.pem"}, UNREACHABLE),
        ({"REQUESTS_CA_BUNDLE": "ours"}, ACCEPTED),
        ({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": "ours.pem"}, ACCEPTED),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": "ours"}, ACCEPTED),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, UNREACHABLE),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else given.name,
)
def test_which_certificates_are_trusted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    posts: Posts,
    variables: dict[str, str],
    verdict: Verdict,
) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR count where the variables of requests are unset or empty."""
    monkeypatch.chdir(tmp_path)
    for name in ("ours", "empty"):
        (tmp_path / name).mkdir()
    ours = trusted(tmp_path).rename(tmp_path / "ours.pem")
    trusted_folder(tmp_path / "ours", ours)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "others.pem"))
    monkeypatch.delenv("SSL_CERT_FILE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with serving(accept, tls) as port:
        assert posts(port)[0].verdict is verdict
