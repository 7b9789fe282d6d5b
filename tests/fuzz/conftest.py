"""A target to start as a process, and an API that accepts everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration_fixtures import forks, server, to_server

if TYPE_CHECKING:
    from integration_support import Launcher

__all__ = ["forks", "server", "target", "to_server"]


@pytest.fixture
def target(to_server: Launcher) -> Launcher:
    """Start targets that send to the server."""
    return to_server
