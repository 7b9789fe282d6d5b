"""Whole runs over https: with a certificate that is trusted, and with one that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from certificates import self_signed_tls, tls, trusted
from faulty_server import FaultyServer
from integration_support import Launcher, order, schema, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_forks import Forks

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


def test_a_trusted_certificate(launcher: Launcher) -> None:
    """Events are delivered to an API whose authority SSL_CERT_FILE names."""
    with FaultyServer(tls=tls()) as server:
        run = launcher.run(*MESSAGES, api_url=server.url)
    assert (run.code, run.states, len(server.accepted)) == (0, [1], 1)


def test_a_certificate_that_is_not_accepted(launcher: Launcher) -> None:
    """A run ends at once, whatever `max_retry_seconds` says, and its last line names the cause."""
    with FaultyServer(tls=self_signed_tls()) as server:
        run = launcher.run(*MESSAGES, api_url=server.url, max_retry_seconds=280)
    assert (run.code, run.states, run.letters, run.requests) == (1, [], [], 1)
    assert "signed certificate. Check this machine's clock" in run.last_line
    assert "Traceback" not in run.log
    assert server.requests == []
