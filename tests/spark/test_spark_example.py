"""The example, run as its page says; and the same rows through Meltano."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from integration_support import STORE
from ledger_claims import read_letters
from meltano_support import changed_text, copy_of_the_repositorys
from spark_support import PYTHON, ROOT, Recorder, Spark, environment, facts, options

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROWS = 5_000
# The stream map `orders` of meltano.yml, as DataFrame columns.
QUERY = """
SELECT id, created_at AS event_time, IF(channel = 'store', 'offline', channel) AS source,
    coalesce(nullif(email, ''), loyalty_hash) AS email, client_ip AS ip, user_agent, idfa, aaid,
    ad_tracking AS tracking_enabled, currency, total AS value, string(order_number) AS order_id,
    landing_url AS source_url, app_bundle
FROM json.`{file}` WHERE status = 'paid' AND NOT is_test
"""


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


def test_an_unset_variable(tmp_path: Path) -> None:
    """It is said in a line, before Spark starts."""
    without = {"PIXEL_ID": "", "JAVA_HOME": "/nowhere"}
    done = run_example(tmp_path, "orders.parquet", "outcomes", **without)
    assert done.stderr == "Set in the environment first: PIXEL_ID, TOKEN_PATH.\n"
    assert done.returncode == 1


def test_the_example(
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


@pytest.mark.meltano
def test_same_events(
    spark: Spark, server: Recorder, orders: Path, tmp_path: Path, outcomes: Path
) -> None:
    """Events and dead letters are the same, byte for byte; the IDs are derived from the key."""
    project = copy_of_the_repositorys(tmp_path)
    maps = project.settings.read_text(encoding="utf-8")
    derived = changed_text(maps, {"            event_id: id\n": ""})
    project.settings.write_text(derived, encoding="utf-8")
    installed = project.run("install", "tap-jsonl", "target-liveintent")
    assert installed.returncode == 0, installed.stderr
    done = project.run(
        *("run", "--no-install", "--full-refresh", "tap-jsonl", "target-liveintent"),
        TAP_JSONL_PATH=str(orders),
        TARGET_LIVEINTENT_CUSTOMER_ID="a-1b2c",
        TARGET_LIVEINTENT_AUTH_TOKEN="token",
        TARGET_LIVEINTENT_PIXEL_ID="12345",
        TARGET_LIVEINTENT_API_URL=server.url,
        TARGET_LIVEINTENT_STORE=str(tmp_path / STORE),
    )
    assert done.returncode == 0, done.stderr
    by_target = Counter(server.events)
    server.events.clear()

    spark.do("write", sql=QUERY.format(file=orders), options=options(server.url, outcomes))
    assert Counter(server.events) == by_target
    assert max(by_target.values()) == 1
    assert by_target.total() > ROWS / 2

    def fates(left: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
        return Counter((letter["event_id"], letter["reason"]) for letter in left)

    found = fates(facts(outcomes, "rejected"))
    assert found == fates(read_letters(tmp_path / STORE))
    assert len({reason for _, reason in found}) > 2
