"""A shop for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docs_support import shop_project
from orchestrator_support import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path) -> Iterator[Shop]:
    """A project with a tap that sends six orders, of which three can be sent."""
    with shop_project(tmp_path / "shop", sandbox.url) as project:
        yield Shop(project)
