"""A target to start, where it finds its API, and where its store is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration_fixtures import forks, server, to_server
from integration_forks import Forks
from integration_support import STORE, Launcher

from target_liveintent.sandbox import Sandbox

__all__ = ["forks", "server", "to_server"]


@pytest.fixture
def target(tmp_path: Path, sandbox: Sandbox, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the sandbox."""
    launcher = Launcher(tmp_path, sandbox.url, forks)
    yield launcher
    launcher.close()


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Give a test a store of its own: the path of a file, or the URL of a database."""
    if request.param == "database":
        return str(request.getfixturevalue("store_url"))
    return tmp_path / STORE
