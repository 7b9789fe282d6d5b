"""A target to start, where it finds its API, and where its store is."""

from pathlib import Path

import pytest
from integration_fixtures import forks, server, target, to_server
from integration_support import STORE

__all__ = ["forks", "server", "target", "to_server"]


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Give a test a store of its own: the path of a file, or the URL of a database."""
    if request.param == "database":
        return str(request.getfixturevalue("store_url"))
    return tmp_path / STORE
