"""Fixtures for folders whose tests start targets: their parent, and APIs that take all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from integration_forks import Forks
from integration_support import OPTIONS, Launcher

from target_liveintent.sandbox import Sandbox


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Give the parent of all targets."""
    forks = Forks(OPTIONS)
    yield forks
    forks.close()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Serve an API that accepts everything, until a test gives it another answer."""
    with FaultyServer() as server:
        yield server


@pytest.fixture
def to_server(tmp_path: Path, server: FaultyServer, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the server."""
    launcher = Launcher(tmp_path, server.url, forks)
    yield launcher
    launcher.close()


@pytest.fixture
def target(tmp_path: Path, sandbox: Sandbox, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the sandbox."""
    launcher = Launcher(tmp_path, sandbox.url, forks)
    yield launcher
    launcher.close()
