"""The programs and virtual environments that some tests need in addition to `.venv`.

A marker of the test, or a fixture of the same name, says what the test needs. An environment is set
up for the first test that needs it. A test whose program is not installed is skipped, and the
reason names the script that installs the program.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import browser_support
import mariadb_server
import postgres_server
import pytest

SETUP = Path(__file__).parents[1] / "scripts" / "setup"
ENVIRONMENTS = {"meltano": "meltano", "site": "docs", "spark": "spark"}
"""The argument of `scripts/setup`, by marker."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is not installed, and set up the environments for other tests."""
    names = {marker.name for marker in item.iter_markers()} | set(getattr(item, "fixturenames", ()))
    for name in sorted(names & MISSING.keys()):
        if missing := MISSING[name]():
            pytest.skip(missing)
    for name in sorted(names & ENVIRONMENTS.keys()):
        _set_up(ENVIRONMENTS[name])


def not_installed(program: str) -> str:
    """Return the reason for skipping a test that needs a missing program."""
    return f"{program} is not installed: run sudo scripts/setup --system"


def _browser() -> str | None:
    return None if browser_support.program() else not_installed("Chromium")


def _posix() -> str | None:
    return "Windows has no such signals, files or terminals" if os.name == "nt" else None


def _mariadb() -> str | None:
    return None if mariadb_server.mariadbd() else not_installed("MariaDB")


def _postgres() -> str | None:
    return None if postgres_server.initdb() else not_installed("PostgreSQL")


def _spark() -> str | None:
    if sys.version_info < (3, 11):
        return "PySpark 4.3 needs Python 3.11"
    return None if shutil.which("java") else not_installed("Java")


MISSING = {
    "browser": _browser,
    "mariadb": _mariadb,
    "posix": _posix,
    "postgres": _postgres,
    "spark": _spark,
}


@functools.cache
def _set_up(environment: str) -> None:
    if not SETUP.exists():
        pytest.skip("not a checkout")
    subprocess.run([SETUP, environment], check=True, timeout=600)
