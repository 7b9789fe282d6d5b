"""What `scripts/test` does with the name of a test, before it installs anything."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "scripts").exists(), reason="not a checkout")


def run(pattern: str) -> subprocess.CompletedProcess[str]:
    command = ["scripts/test", "-k", pattern]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
    )


def test_a_name_that_no_test_has() -> None:
    """It says so within seconds."""
    done = run("nothinglikethat")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "No test has a name with 'nothinglikethat'.\n"


def test_the_example_of_the_page() -> None:
    """It names a test that exists."""
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    names = re.findall(r"scripts/test -k (\w+)", page)
    files = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert names
    assert [name for name in names if not any(name in file for file in files)] == []
