"""The parent of all targets of the campaigns, and the API that they send to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from faulty_server import FaultyServer
from integration_forks import Forks
from integration_support import OPTIONS, Launcher
from reliability_support import ROOT, launcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Give the parent of all targets, which imports them from this tree."""
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        forks = Forks(OPTIONS)
    yield forks
    forks.close()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Serve an API that takes everything, until a test gives it another rule."""
    with FaultyServer() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path, server: FaultyServer, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the server."""
    target = launcher(tmp_path, server, forks)
    yield target
    target.close()
