"""The way that users go: Meltano installs, configures and runs it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from meltano_support import ROOT, Postgres, Project

from target_liveintent.config import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.meltano

ROWS = 5_000
TABLE = f"""
CREATE TABLE orders (
    id uuid PRIMARY KEY, order_no integer, created_at timestamptz, paid_at timestamptz,
    updated_at timestamptz, status text, customer_email text, channel text, currency char(3),
    total numeric(12, 2), client jsonb, client_ip text, landing_url text, is_test boolean
);
INSERT INTO orders SELECT
    md5('order ' || n)::uuid, 100000 + n,
    now() - n * interval '1 minute', now() - n * interval '1 minute',
    now() - n * interval '1 minute',
    CASE WHEN n % 10 = 0 THEN 'cancelled' ELSE 'paid' END,
    CASE WHEN n % 7 = 0 THEN NULL ELSE '  User' || n || '+shop@Example.COM ' END,
    CASE WHEN n % 3 = 0 THEN 'pos' ELSE 'web' END, 'usd', n + 0.1,
    jsonb_build_object('ua', 'Agent/' || n), '192.0.2.' || (n % 250 + 1),
    CASE WHEN n % 14 = 0 THEN 'https://shop.example.com/?li_did=' || md5('did ' || n)::uuid END,
    n % 20 = 1
FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: S608 (a constant)


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


def expected(postgres: Postgres) -> dict[str, dict[str, object]]:
    """What must arrive, by SQL and plain Python; nothing of the target has a part in it."""
    rows = postgres.sql(
        "SELECT json_agg(json_build_object('id', id, 'at', floor(extract(epoch FROM paid_at)),"
        " 'mail', lower(trim(customer_email)), 'no', order_no, 'total', total,"
        " 'channel', channel, 'did', substring(landing_url FROM 'li_did=(.*)'))) FROM orders"
        " WHERE status = 'paid' AND NOT is_test"
        " AND (customer_email IS NOT NULL OR landing_url IS NOT NULL)"
    )
    return {
        row["id"]: {
            "eventTime": row["at"],
            "sha2": row["mail"] and hashlib.sha256(row["mail"].encode()).hexdigest(),
            "orderId": str(row["no"]),
            "value": row["total"],
            "source": "offline" if row["channel"] == "pos" else "web",
            "decisionId": None if row["mail"] else row["did"],
        }
        for row in json.loads(rows)
    }


@pytest.mark.postgres
def test_postgres_to_sandbox(  # noqa: PLR0917 (fixtures)
    project: Project,
    postgres: Postgres,
    orders: dict[str, str],
    account: dict[str, str],
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    """Each of 5,000 rows of PostgreSQL arrives once and exact, or has a dead letter."""
    command = ("run", "--no-install", "--full-refresh", "tap-postgres", "target-liveintent")
    done = project.run(*command, **orders, **account)
    assert done.returncode == 0, done.stderr[-3000:]

    arrived = {
        event["eventId"]: {
            "eventTime": event["eventTime"],
            "sha2": event["userData"].get("sha2"),
            "orderId": event["purchaseData"]["orderId"],
            "value": event["purchaseData"]["value"],
            "source": event["source"],
            "decisionId": event.get("decisionId"),
        }
        for event in sandbox.events
    }
    assert arrived == expected(postgres)
    assert sandbox.stats.duplicates == 0
    letters = (tmp_path / "letters.singer").read_text(encoding="utf-8")
    assert len(arrived) + letters.count('"reason":"no_identity"') == int(
        postgres.sql("SELECT count(*) FROM orders WHERE status = 'paid' AND NOT is_test")
    )
    assert "@" not in done.stdout + done.stderr + letters


@pytest.mark.postgres
def test_next_run_goes_on(
    project: Project,
    orders: dict[str, str],
    account: dict[str, str],
    sandbox: Sandbox,
) -> None:
    """A second run sends no more than the row on the bookmark: STATE reached Meltano."""
    command = ("run", "--no-install", "tap-postgres", "target-liveintent")
    first = project.run(*command[:2], "--full-refresh", *command[2:], **orders, **account)
    assert first.returncode == 0, first.stderr[-3000:]
    sandbox.reset()
    second = project.run(*command, **orders, **account)
    assert second.returncode == 0, second.stderr[-3000:]
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
    done = project.run(
        "config",
        "test",
        "target-liveintent",
        **account | {"TARGET_LIVEINTENT_CUSTOMER_ID": "nobody"},
    )
    assert done.returncode != 0
    assert "Test data was written" not in done.stdout + done.stderr


def test_project_lists_every_setting() -> None:
    """meltano.yml declares the settings of the code, as kinds that fit, secrets as sensitive."""
    meltano = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (loader,) = meltano["plugins"]["loaders"]
    declared = {setting["name"]: setting for setting in loader["settings"]}
    assert list(declared) == list(SCHEMA["properties"])
    for name, schema in SCHEMA["properties"].items():
        kind = next(k for k in schema["type"] if k != "null")
        fits = "options" if "enum" in schema else kind
        assert declared[name]["kind"] == fits, name
        assert declared[name].get("value") == schema.get("default"), name
        assert bool(declared[name].get("sensitive")) is bool(schema.get("secret")), name
        if name not in {"stream_maps", "stream_map_config"}:
            assert " ".join(declared[name]["description"].split()) == schema["description"], name


@pytest.mark.slow
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
