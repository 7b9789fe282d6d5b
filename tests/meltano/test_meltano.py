"""The way that users go: Meltano installs, configures and runs it."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from integration_support import STORE, read_letters
from meltano_support import ROOT, Project, expected, seen

if TYPE_CHECKING:
    from pathlib import Path

    from postgres_server import Postgres

    from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]


@pytest.mark.postgres
def test_postgres_to_sandbox(  # noqa: PLR0917 (fixtures)
    project: Project,
    postgres: Postgres,
    orders: dict[str, str],
    account: dict[str, str],
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    """Each of 5,000 rows of PostgreSQL arrives once and exact, or has a dead letter.

    The next run by the schedule sends at most the row on the bookmark: Meltano has STATE.
    """
    command = ("run", "--no-install", "--full-refresh", "orders-to-liveintent")
    done = project.run(*command, **orders, **account)
    assert done.returncode == 0, done.stderr[-3000:]

    arrived = seen(sandbox)
    assert arrived == expected(postgres)
    assert sandbox.stats.duplicates == 0
    letters = read_letters(tmp_path / STORE)
    assert len(arrived) + [one["reason"] for one in letters].count("no_identity") == int(
        postgres.sql("SELECT count(*) FROM orders WHERE status = 'paid' AND NOT is_test")
    )
    assert "@" not in done.stdout + done.stderr + str(letters)

    sandbox.reset()
    second = project.run("schedule", "run", "daily-orders", **orders, **account)
    assert second.returncode == 0, second.stderr[-3000:]
    assert "total: read 1," in second.stdout + second.stderr
    assert sandbox.stats.accepted <= 1


def test_config_test(project: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """`meltano config test` takes a good configuration for good, and nothing is sent."""
    done = project.run("config", "test", "target-liveintent", **account)
    said = done.stdout + done.stderr
    assert "Test data was written to your target system" in said
    # Meltano 4.4.1 then terminates the loader, which has ended long since: most times that raises,
    # with any loader.
    assert done.returncode == 0 or "ProcessLookupError" in said
    assert sandbox.stats.requests == 0


def test_config_test_fails(project: Project, account: dict[str, str]) -> None:
    """`meltano config test` fails with a bad configuration."""
    account["TARGET_LIVEINTENT_CUSTOMER_ID"] = "nobody"
    done = project.run("config", "test", "target-liveintent", **account)
    assert done.returncode != 0
    assert "Test data was written" not in done.stdout + done.stderr


def test_demo() -> None:
    """The demo runs, shows what arrived and why the rest did not, and accounts for each order."""
    done = subprocess.run(
        [ROOT / "scripts" / "demo"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = r"read (\d+), filtered (\d+), unmapped 0, delivered (\d+), dead-lettered (\d+)"
    found = re.search(summary, done.stdout)
    assert found, done.stdout
    read, filtered, delivered, dead = map(int, found.groups())
    assert read == filtered + delivered + dead == 300
    assert f"What arrived: {delivered} conversions" in done.stdout
    assert f"{dead} dead letters" in done.stdout
    assert dt.datetime.now(dt.timezone.utc).strftime("%Y") in done.stdout
