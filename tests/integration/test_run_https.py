"""Whole runs over https: with a certificate that is trusted, and with one that is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from certificates import self_signed_tls, tls, trusted
from faulty_server import FaultyServer
from integration_support import Launcher, order, schema, state

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration_forks import Forks
    from integration_support import Running

    from target_liveintent.sandbox import Sandbox

MESSAGES = (schema(), order(1), state(1))


@pytest.fixture
def launcher(tmp_path: Path, forks: Forks) -> Iterator[Launcher]:
    """Start targets that trust the certificates of the tests by SSL_CERT_FILE."""
    folder = tmp_path / "run"
    folder.mkdir()
    launcher = Launcher(folder, "https://127.0.0.1:9", forks)
    bundles = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_DIR": ""}
    launcher.env |= bundles | {"SSL_CERT_FILE": str(trusted(tmp_path))}
    yield launcher
    launcher.close()


def assert_failed(run: Running, words: str) -> None:
    """Check that a run ended at once, with an error of one line."""
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert words in run.last_line
    assert "Traceback" not in run.log
    assert run.requests == 1


def test_a_trusted_certificate(launcher: Launcher) -> None:
    """Events are delivered to an API whose authority SSL_CERT_FILE names."""
    with FaultyServer(tls=tls()) as server:
        run = launcher.run(*MESSAGES, api_url=server.url)
    assert (run.code, run.states, len(server.accepted)) == (0, [1], 1)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (lambda: tls(expired=True), "API: certificate has expired. Check this machine's"),
        (self_signed_tls, "signed certificate. If your company's network inspects TLS"),
        (lambda: tls("other.example.com"), "is not valid for '127.0.0.1'. Check the host in"),
    ],
    ids=["expired", "self-signed", "other-host"],
)
def test_a_certificate_that_is_not_accepted(
    launcher: Launcher, context: Callable[[], ssl.SSLContext], words: str
) -> None:
    """A run ends within seconds, whatever `max_retry_seconds` says, and names the cause."""
    start = time.monotonic()
    with FaultyServer(tls=context()) as server:
        run = launcher.run(*MESSAGES, api_url=server.url, max_retry_seconds=280)
    assert_failed(run, words)
    assert time.monotonic() - start < 10
    assert server.requests == []


def test_plain_http(launcher: Launcher, sandbox: Sandbox) -> None:
    """The same where the port of an https URL answers in plain http."""
    url = sandbox.url.replace("http:", "https:")
    run = launcher.run(*MESSAGES, api_url=url, max_retry_seconds=280)
    assert_failed(run, "may be using plain http. Check the scheme and the port in api_")
