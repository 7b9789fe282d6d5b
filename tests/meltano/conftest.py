"""A Meltano project with plugins installed, and a PostgreSQL server: both once for all tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from meltano_support import (
    CONSTRAINED,
    MELTANO,
    ROOT,
    TABLE,
    Postgres,
    Project,
    copy_of_the_repositorys,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.sandbox import Sandbox


@pytest.fixture(scope="session", autouse=True)
def _meltano() -> None:
    if not MELTANO.exists():
        pytest.skip("Meltano is not set up: scripts/setup meltano")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The target, built as it is released, as Meltano's pip_url."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run([*command, "--disable-pip-version-check"], check=True, timeout=120)
    (built,) = folder.glob("target_liveintent-*.whl")
    return f"{CONSTRAINED} {built}"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with the tap and the target installed."""
    project = copy_of_the_repositorys(tmp_path_factory.mktemp("meltano"))
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
        "TARGET_LIVEINTENT_LEDGER_PATH": str(tmp_path / "ledger.sqlite"),
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


@pytest.fixture
def orders(postgres: Postgres) -> dict[str, str]:
    """The table of orders, and how the tap gets to it."""
    postgres.sql("DROP TABLE IF EXISTS orders")
    postgres.sql(TABLE)
    return {
        "TAP_POSTGRES_HOST": "127.0.0.1",
        "TAP_POSTGRES_PORT": postgres.port,
        "TAP_POSTGRES_USER": "tester",
        "TAP_POSTGRES_PASSWORD": "not used",
        "TAP_POSTGRES_DATABASE": "postgres",
    }
