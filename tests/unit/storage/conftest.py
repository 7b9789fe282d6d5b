"""Fixtures for the files that a run writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ledger_support import Ledgers
from replay_support import Kills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "lines"


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let the modes of new files be what a run asks for, and no less."""
    before = os.umask(0)
    yield
    os.umask(before)


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


@pytest.fixture
def kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kills:
    """Kill replays; what they wrote survives that, so the disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Kills(tmp_path)
