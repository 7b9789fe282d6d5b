"""A target to start, which says everything that it can be made to say."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from privacy_support import Watched


@pytest.fixture
def target(tmp_path: Path, server: FaultyServer) -> Iterator[Watched]:
    """Start targets that send to the server."""
    with contextlib.closing(Watched(tmp_path, server)) as watched:
        yield watched
