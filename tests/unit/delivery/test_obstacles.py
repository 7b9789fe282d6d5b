"""Certificates and proxies that stand in the way to the API, over real connections."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from typing import TYPE_CHECKING

import pytest
import trustme
from certificates import self_signed_tls, tls, trusted, trusted_folder
from fakes import settings
from loopback import NO_CONTENT, serving

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.client import Client

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

BEHIND = "https://api.example.com"
"""An API that only a proxy reaches; those of the tests are that API themselves."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust the certificates of the tests, and no proxy."""
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), *CERTIFICATE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted(tmp_path)))


def client_of(url: str) -> Client:
    """Return a client of an API."""
    return Client(settings(api_url=url, request_timeout_seconds=2), SYSTEM_CLOCK)


def post(client: Client) -> Answer:
    """Post once."""
    return client.post(b"[{}]", ["1"], 60.0)


def accept(connection: socket.socket, _: threading.Event) -> None:
    """Accept one request, and close the connection."""
    received(connection, b"[{}]")
    connection.sendall(NO_CONTENT)


def answer_http(connection: socket.socket, _: threading.Event) -> None:
    """Answer as a server of plain http answers a TLS handshake."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def received(connection: socket.socket, end: bytes) -> None:
    """Read until something has come, or the connection ends."""
    got = b""
    while not got.endswith(end):
        part = connection.recv(65_536)
        if not part:
            return
        got += part


def proxy(*answers: str) -> Callable[[socket.socket, threading.Event], None]:
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


def fails(url: str) -> str:
    """Post once, which must end the run, and return why."""
    answer = post(client_of(url))
    assert answer.verdict is Verdict.UNREACHABLE
    return answer.detail


@pytest.mark.parametrize(
    ("server", "words", "advice"),
    [
        (lambda: tls(expired=True), "certificate has expired", "this machine's clock"),
        (self_signed_tls, "self.signed certificate", "set REQUESTS_CA_BUNDLE (or SSL_CERT_FILE"),
        (
            lambda: tls("other.example.com"),
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
            "Check the host in api_url",
        ),
    ],
    ids=["expired", "self-signed", "other-host"],
)
def test_a_certificate(server: Callable[[], ssl.SSLContext], words: str, advice: str) -> None:
    """A certificate that is not accepted ends the run at once, in OpenSSL's words."""
    with serving(accept, server) as port:
        said = fails(f"https://127.0.0.1:{port}")
    assert re.search(f"this machine does not accept the certificate of the API: {words}\\. ", said)
    assert advice in said


def test_an_unknown_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an authority that is not trusted ends the run at once."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with serving(accept, tls) as port:
        assert "of the API: unable to get local issuer certificate. If your company" in fails(
            f"https://127.0.0.1:{port}"
        )


def test_plain_http() -> None:
    """An API that answers in plain http ends the run at once."""
    with serving(answer_http) as port:
        assert (
            "the API does not answer over https, and may be using plain http. Check the"
            " scheme and the port in api_url"
        ) in fails(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("403 Forbidden", "Check HTTPS_PROXY, and ask the owner of the proxy"),
        ("407 Proxy Authentication Required", "Put the user and the password into HTTPS_PROXY"),
        ("404 Not Found", "Check HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch, status: str, advice: str) -> None:
    """A proxy that refuses to connect ends the run at once."""
    with serving(proxy(status)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
        said = fails(BEHIND)
    assert f"the proxy refused to connect (HTTP {status[:3]}). {advice}" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("answer", "server", "words"),
    [
        (answer_http, None, "the proxy does not answer over https, and may be using plain http"),
        (
            accept,
            lambda: tls(expired=True),
            "this machine does not accept the certificate of the proxy: certificate has expired",
        ),
    ],
    ids=["plain-http", "expired"],
)
def test_a_proxy_over_https(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket, threading.Event], None],
    server: Callable[[], ssl.SSLContext] | None,
    words: str,
) -> None:
    """A proxy that is to be reached over https, and is not, ends the run at once."""
    with serving(answer, server) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        assert words in fails(BEHIND)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Busy", "429 Too Many Requests"])
def test_a_proxy_that_cannot_now(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """A proxy whose refusal may pass is a network fault."""
    with serving(proxy(status)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert post(client_of(BEHIND)).verdict is Verdict.FAULT


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cannot be reached is a network fault."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    answer = post(client_of(BEHIND))
    assert (answer.verdict, answer.detail) == (Verdict.FAULT, "the proxy could not connect")


def test_a_certificate_after_a_good_one() -> None:
    """Once a handshake has succeeded, a certificate is a network fault: the next may be good."""
    contexts = [tls(), tls(expired=True), tls()]
    with serving(accept, lambda: contexts.pop(0)) as port:
        client = client_of(f"https://127.0.0.1:{port}")
        answers = [post(client) for _ in range(3)]
    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [Verdict.ACCEPTED, Verdict.FAULT, Verdict.ACCEPTED]
    assert answers[1].detail == (
        "this machine does not accept the certificate of the API: certificate has expired"
    )


def test_a_handshake_without_an_answer() -> None:
    """A handshake counts, even if no request was ever answered."""

    def hang_up(connection: socket.socket, _: threading.Event) -> None:
        received(connection, b"[{}]")

    contexts = [tls(), tls(expired=True)]
    with serving(hang_up, lambda: contexts.pop(0)) as port:
        client = client_of(f"https://127.0.0.1:{port}")
        assert [post(client).verdict for _ in range(2)] == [Verdict.FAULT] * 2


def test_a_proxy_that_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses after it has connected is a network fault."""
    with serving(proxy("200 OK", "403 Forbidden", "200 OK")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        client = client_of(BEHIND)
        answers = [post(client) for _ in range(3)]
    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [Verdict.ACCEPTED, Verdict.FAULT, Verdict.ACCEPTED]
    assert answers[1].detail == "the proxy refused to connect (HTTP 403)"


# Which certificates are trusted


@contextlib.contextmanager
def no_more_than(monkeypatch: pytest.MonkeyPatch, **variables: str):  # noqa: ANN201
    """Set these variables of the certificates, and no other."""
    with monkeypatch.context() as patch:
        for name in CERTIFICATE_VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.mark.parametrize(
    ("variables", "verdict"),
    [
        ({"SSL_CERT_FILE": "ours.pem"}, Verdict.ACCEPTED),
        ({"SSL_CERT_DIR": "ours"}, Verdict.ACCEPTED),
        ({"SSL_CERT_DIR": f"empty{os.pathsep}ours"}, Verdict.ACCEPTED),
        ({"SSL_CERT_FILE": "others.pem", "SSL_CERT_DIR": "ours"}, Verdict.ACCEPTED),
        ({"SSL_CERT_FILE": "others.pem"}, Verdict.UNREACHABLE),
        ({"SSL_CERT_DIR": "empty"}, Verdict.UNREACHABLE),
        ({"REQUESTS_CA_BUNDLE": "ours.pem", "SSL_CERT_FILE": "others.pem"}, Verdict.ACCEPTED),
        ({"REQUESTS_CA_BUNDLE": "others.pem", "SSL_CERT_FILE": "ours.pem"}, Verdict.UNREACHABLE),
        ({"CURL_CA_BUNDLE": "others.pem", "SSL_CERT_FILE": "ours.pem"}, Verdict.UNREACHABLE),
        ({"REQUESTS_CA_BUNDLE": "ours"}, Verdict.ACCEPTED),
        (
            {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": "ours.pem"},
            Verdict.ACCEPTED,
        ),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": "ours"}, Verdict.ACCEPTED),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, Verdict.UNREACHABLE),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else given.name,
)
def test_which_certificates_are_trusted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
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
    with no_more_than(monkeypatch, **variables), serving(accept, tls) as port:
        assert post(client_of(f"https://127.0.0.1:{port}")).verdict is verdict
