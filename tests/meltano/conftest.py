"""A Meltano project with plugins installed, and a PostgreSQL server: both once for all tests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from meltano_support import MELTANO, Postgres, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.sandbox import Sandbox


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with the tap and the target installed."""
    if not MELTANO.exists():
        pytest.skip("Meltano is not set up: scripts/setup meltano")
    project = Project(tmp_path_factory.mktemp("meltano"))
    installed = project.run("install", "tap-postgres", "target-liveintent")
    assert installed.returncode == 0, installed.stderr
    return project


@pytest.fixture
def account(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The sandbox's account, as Meltano's environment variables."""
    return {
        "TARGET_LIVEINTENT_API_URL": sandbox.url,
        "TARGET_LIVEINTENT_CUSTOMER_ID": "a-1b2c",
        "TARGET_LIVEINTENT_AUTH_TOKEN": "sandbox-token",
        "TARGET_LIVEINTENT_PIXEL_ID": "44489",
        "TARGET_LIVEINTENT_DEAD_LETTER_PATH": str(tmp_path / "letters.singer"),
    }


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL's server programs are not installed (Debian: postgresql)")
    # Not below pytest's own folder, which only its owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="target-liveintent-"))
    server = Postgres(Path(initdb).parent, folder)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
