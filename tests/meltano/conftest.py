"""The target as it is released, an account, and what a tap reads."""

import subprocess
import sys
from pathlib import Path

import pytest
from integration_support import STORE
from meltano_support import CONSTRAINED, ROOT, TABLE
from postgres_server import Postgres

from target_liveintent.sandbox import Sandbox


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The target, built as it is released, as Meltano's pip_url."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, "--no-deps", "-w", folder, ROOT], check=True, timeout=120)
    (built,) = folder.glob("target_liveintent-*.whl")
    return f"{CONSTRAINED} {built}"


@pytest.fixture
def account(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The sandbox's account, as Meltano's environment variables."""
    return {
        "TARGET_LIVEINTENT_API_URL": sandbox.url,
        "TARGET_LIVEINTENT_CUSTOMER_ID": "a-1b2c",
        "TARGET_LIVEINTENT_AUTH_TOKEN": "sandbox-token",
        "TARGET_LIVEINTENT_PIXEL_ID": "44489",
        "TARGET_LIVEINTENT_STORE": str(tmp_path / STORE),
    }


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
