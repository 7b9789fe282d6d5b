"""A target to start as a process, and an API that accepts everything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from integration_forks import Forks
from integration_support import OPTIONS, Launcher, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Give the parent of all targets."""
    forks = Forks(OPTIONS)
    yield forks
    forks.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve an API that accepts everything."""
    with Server() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path, server: Server, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the server."""
    launcher = Launcher(tmp_path, server.url, forks)
    yield launcher
    launcher.close()
