"""A Meltano project with plugins installed, and a PostgreSQL server: both once for all tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mariadb_server import MariaDB
from meltano_support import (
    CONSTRAINED,
    MELTANO,
    ROOT,
    TABLE,
    Project,
    copy_of_the_repositorys,
    installed,
)
from needs import not_installed
from postgres_server import Postgres, wal2json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.sandbox import Sandbox


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


@pytest.fixture
def wal_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """The server, where it has what tap-postgres reads its log with."""
    if not wal2json(postgres.programs).exists():
        pytest.skip(not_installed("PostgreSQL's plugin wal2json"))
    yield postgres
    postgres.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.fixture(scope="session")
def tap_postgres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(
        tmp_path_factory.mktemp("tap"), "tap-postgres", "meltanolabs-tap-postgres==0.10.0"
    )


@pytest.fixture(scope="session")
def tap_mysql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not list(MELTANO.parents[1].glob("lib/python3.1[01]")):
        pytest.skip(
            "pipelinewise-tap-mysql runs on Python 3.11 at most: it uses ssl.match_hostname"
        )
    return installed(tmp_path_factory.mktemp("tap"), "tap-mysql", "pipelinewise-tap-mysql==1.6.0")


@pytest.fixture(scope="session")
def tap_spreadsheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tap of CSV files that PyPI has; MeltanoLabs' tap-csv is not there."""
    return installed(tmp_path_factory.mktemp("tap"), "tap-spreadsheets", "tap-spreadsheets==1.1.2")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running server."""
    folder = Path(tempfile.mkdtemp(prefix="target-liveintent-"))
    server = MariaDB(folder)
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
