"""The repository's own project: `meltano config test`, and the demo."""

import datetime as dt
import re
from pathlib import Path

import programs
import pytest
from meltano_support import ROOT, Project, copy_of_the_repositorys

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The repository's own project, with the target installed."""
    project = copy_of_the_repositorys(tmp_path)
    installed = project.run("install", "target-liveintent")
    assert installed.returncode == 0, installed.stderr
    return project


def test_config_test(project: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """`meltano config test` fails with a bad configuration; with a good one, nothing is sent."""
    command = ("config", "test", "target-liveintent")
    done = project.run(*command, **account)
    said = done.stdout + done.stderr
    assert "Test data was written to your target system" in said
    # Meltano 4.4.1 then terminates the loader, which has ended long since: most times that raises,
    # with any loader.
    assert done.returncode == 0 or "ProcessLookupError" in said
    assert sandbox.stats.requests == 0
    done = project.run(*command, **account | {"TARGET_LIVEINTENT_CUSTOMER_ID": "nobody"})
    assert done.returncode != 0
    assert "Test data was written" not in done.stdout + done.stderr


def test_demo() -> None:
    """The demo runs, shows what arrived and why the rest did not, and accounts for each order."""
    done = programs.run([ROOT / "scripts" / "demo"], timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = r"read (\d+), filtered (\d+), unmapped 0, delivered (\d+), dead-lettered (\d+)"
    found = re.search(summary, done.stdout)
    assert found, done.stdout
    read, filtered, delivered, dead = map(int, found.groups())
    assert read == filtered + delivered + dead == 300
    assert f"What arrived: {delivered} conversions" in done.stdout
    assert f"{dead} dead letters" in done.stdout
    assert dt.datetime.now(dt.timezone.utc).strftime("%Y") in done.stdout
