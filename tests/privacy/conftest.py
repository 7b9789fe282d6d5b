"""A target to start, which says everything that it can be made to say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from integration_fixtures import forks, server
from integration_forks import Forks
from privacy_support import Watched

__all__ = ["forks", "server", "target"]


@pytest.fixture
def target(tmp_path: Path, server: FaultyServer, forks: Forks) -> Iterator[Watched]:
    """Start targets that send to the server."""
    watched = Watched(tmp_path, server, forks)
    yield watched
    watched.close()
