"""Fixtures for the files that a run writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ledger_support import Ledgers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[Ledgers]:
    """Open ledgers over one file."""
    made = Ledgers(tmp_path / "ledger.sqlite")
    yield made
    made.close()
