"""A project for each page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_support import Project, shop_project

from target_liveintent.sandbox import Sandbox


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path) -> Iterator[Project]:
    """A project, as the quickstart leaves it; only tests with the marker `meltano` use Meltano."""
    with shop_project(tmp_path / "shop", sandbox.url) as project:
        yield project
