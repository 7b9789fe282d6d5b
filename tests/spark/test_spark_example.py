"""The example, run as its page says; and the same rows through Meltano."""

import subprocess
import sys
from pathlib import Path

import pytest
from spark_support import PYTHON, ROOT, Spark, environment, facts

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROWS = 5_000
# The stream map `orders` of meltano.yml, as DataFrame columns.


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Make the demo's orders: addresses in every spelling, guests, amounts as text, old rows."""
    file = tmp_path / "orders.jsonl"
    command = [sys.executable, ROOT / "demo" / "orders.py", "--count", str(ROWS), "--out", file]
    subprocess.run(command, check=True, capture_output=True)
    return file


def run_example(
    folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder; its exit code is for the test to judge."""
    return subprocess.run(
        [PYTHON, ROOT / "examples" / "spark" / "parquet_to_liveintent.py", *arguments],
        env=environment() | {"CUSTOMER_ID": "a-1b2c", **variables},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


def test_an_unset_variable_is_reported_before_spark_starts(tmp_path: Path) -> None:
    """The report is one line."""
    without = {"PIXEL_ID": "", "JAVA_HOME": "/nowhere"}
    done = run_example(tmp_path, "orders.parquet", "outcomes", **without)
    assert done.stderr == "Set in the environment first: PIXEL_ID, TOKEN_PATH.\n"
    assert done.returncode == 1


def test_the_example_delivers_orders_to_the_sandbox(
    spark: Spark, sandbox: Sandbox, orders: Path, tmp_path: Path, outcomes: Path
) -> None:
    """The orders of a Parquet folder arrive in the sandbox; the rest is rejected."""
    source, token = str(tmp_path / "orders.parquet"), tmp_path / "token"
    spark.do("save", sql=f"SELECT * FROM json.`{orders}`", path=source)  # noqa: S608
    token.write_text("sandbox-token\n", encoding="utf-8")
    variables = {"PIXEL_ID": "12345", "TOKEN_PATH": str(token)}
    done = run_example(tmp_path, source, str(outcomes), sandbox.url, **variables)
    assert done.returncode == 0, done.stderr
    assert sandbox.stats.accepted > ROWS / 2
    assert sandbox.stats.duplicates == 0
    fates = f"delivered {sandbox.stats.accepted}, dead-lettered {len(facts(outcomes, 'rejected'))}"
    assert fates in done.stderr
    assert "@" not in done.stdout + done.stderr
