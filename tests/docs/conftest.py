"""A project for each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docs_support import MELTANO, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path) -> Iterator[Project]:
    """A project, as the quickstart leaves it."""
    if not MELTANO.exists():
        pytest.skip("Meltano is not set up: scripts/setup meltano")
    folder = tmp_path / "shop"
    folder.mkdir()
    project = Project(folder, sandbox.url)
    yield project
    project.close()
