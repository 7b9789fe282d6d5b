"""Fixtures for folders whose tests start targets: their parent, an API that takes all, and S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faulty_server import FaultyServer
from integration_forks import Forks
from integration_support import OPTIONS, Launcher
from object_store import Door, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LETTERS_FOLDER = "dead/letters"


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Give the parent of all targets."""
    forks = Forks(OPTIONS)
    yield forks
    forks.close()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Serve an API that accepts everything, until a test gives it another answer."""
    with FaultyServer(waits=True) as server:
        yield server


@pytest.fixture
def to_server(tmp_path: Path, server: FaultyServer, forks: Forks) -> Iterator[Launcher]:
    """Start targets that send to the server."""
    launcher = Launcher(tmp_path, server.url, forks)
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """Serve S3."""
    store = Store()
    yield store
    store.close()


@pytest.fixture
def bucket(store: Store) -> str:
    """Make a bucket of its own for a test."""
    return store.new_bucket()


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    """Put a door before S3."""
    with Door(store) as door:
        yield door


@pytest.fixture
def url(bucket: str) -> str:
    """Name the folder of dead letters."""
    return f"s3://{bucket}/{LETTERS_FOLDER}"
