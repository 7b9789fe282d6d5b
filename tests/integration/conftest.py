"""A target to start, and where it finds its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration_fixtures import bucket, door, forks, server, store, to_server, url
from integration_support import Launcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_forks import Forks

    from target_liveintent.sandbox import Sandbox

__all__ = ["bucket", "door", "forks", "server", "store", "target", "to_server", "url"]


@pytest.fixture
def target(tmp_path: Path, sandbox: Sandbox, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the sandbox."""
    launcher = Launcher(tmp_path, sandbox.url, forks)
    yield launcher
    launcher.close()
