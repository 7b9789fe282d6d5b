"""A project for each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docs_support import shop_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docs_support import Project

    from target_liveintent.sandbox import Sandbox


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, as the quickstart leaves it; only slow tests may use Meltano in it."""
    meltano = "slow" in request.keywords
    with shop_project(tmp_path / "shop", sandbox.url, meltano=meltano) as project:
        yield project
