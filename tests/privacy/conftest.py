"""A target to start, which says everything that it can be made to say."""

import pytest
from faulty_server import FaultyServer
from integration_fixtures import forks, server, to_server
from integration_support import Launcher
from privacy_support import Watched

__all__ = ["forks", "server", "target", "to_server"]


@pytest.fixture
def target(to_server: Launcher, server: FaultyServer) -> Watched:
    """Start targets that send to the server, and search what they leave behind."""
    return Watched(to_server, server)
