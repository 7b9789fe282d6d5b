"""A shop for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_support import shop_project
from orchestrator_support import Shop

from target_liveintent.sandbox import Sandbox


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path) -> Iterator[Shop]:
    """A project with a tap that sends six orders, of which three can be sent."""
    with shop_project(tmp_path / "shop", sandbox.url) as project:
        yield Shop(project)
