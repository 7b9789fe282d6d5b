"""The example, run as its page says."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from spark_support import PYTHON, ROOT, Spark, environment, letters

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.spark


SCRIPT = ROOT / "examples" / "spark" / "parquet_to_liveintent.py"


def test_an_unset_variable(tmp_path: Path) -> None:
    """It is said in a line, before Spark starts."""
    account = {"CUSTOMER_ID": "a-1b2c", "PIXEL_ID": "", "JAVA_HOME": "/nowhere"}
    done = subprocess.run(
        [PYTHON, SCRIPT, "orders.parquet", "letters"],
        env=environment() | account,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stderr == "Set in the environment first: PIXEL_ID, TOKEN_PATH.\n"
    assert done.returncode == 1


def test_the_example(spark: Spark, sandbox: Sandbox, tmp_path: Path) -> None:
    """The orders of a Parquet folder arrive in the sandbox; the rest has dead letters."""
    orders = tmp_path / "orders.jsonl"
    demo = [sys.executable, ROOT / "demo" / "orders.py", "--out", orders]
    subprocess.run(demo, check=True, capture_output=True)
    source = str(tmp_path / "orders.parquet")
    spark.do("save", sql=f"SELECT * FROM json.`{orders}`", path=source)  # noqa: S608
    (tmp_path / "token").write_text("sandbox-token\n", encoding="utf-8")
    account = {"CUSTOMER_ID": "a-1b2c", "PIXEL_ID": "12345", "TOKEN_PATH": str(tmp_path / "token")}
    done = subprocess.run(
        [PYTHON, SCRIPT, source, str(tmp_path / "letters"), sandbox.url],
        env=environment() | account,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sandbox.stats.accepted > 150
    assert sandbox.stats.duplicates == 0
    fates = (
        f"delivered {sandbox.stats.accepted}, dead-lettered {len(letters(tmp_path / 'letters'))}"
    )
    assert fates in done.stderr
    assert "@" not in done.stdout + done.stderr
