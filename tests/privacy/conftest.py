"""A target to start, which says everything that it can be made to say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from integration_forks import Forks
from integration_support import OPTIONS, Launcher, Server
from privacy_support import Watched

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
    """Serve an API that accepts everything, until a test gives it another answer."""
    with Server() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path, server: Server, forks: Forks) -> Iterator[Watched]:
    """Start targets that send to the server, and search what they leave behind."""
    launcher = Launcher(tmp_path, server.url, forks)
    yield Watched(launcher, server)
    launcher.close()
