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


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.postgres)])
def any_ledgers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ledgers]:
    """Open ledgers over one file, or over one database."""
    url = request.getfixturevalue("ledger_url") if request.param == "database" else None
    made = Ledgers(tmp_path / "ledger.sqlite", url)
    yield made
    made.close()
