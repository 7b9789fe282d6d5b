"""Delivered events and dead letters in PostgreSQL, by the commands of docs/warehouse.md.

The target that loads them is MeltanoLabs' target-postgres, and the server a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from meltano_support import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meltano_support import Postgres

    from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.postgres, pytest.mark.slow]

PAGE = ROOT / "docs" / "warehouse.md"
VERSION = "meltanolabs-target-postgres==0.8.1"
COLUMNS = (
    "id",
    "event_id",
    "event_time",
    "email",
    "value",
    "currency",
    "order_id",
    "ip",
    "pixel_id",
)
OLDER = (
    {
        "type": "SCHEMA",
        "stream": "liveintent_dead_letters",
        "key_properties": [],
        "schema": {
            "type": "object",
            "properties": {
                **{name: {} for name in ("event_id", "event_time", "pixel_id", "value")},
                **{name: {"type": ["string", "null"]} for name in ("reason", "stream", "time")},
                "written_for": {"type": ["object", "null"]},
                "scrubbed": {"type": ["array", "null"]},
            },
        },
    },
    {
        "type": "RECORD",
        "stream": "liveintent_dead_letters",
        "record": {
            "event_id": "older",
            "event_time": 1785603600,
            "reason": "refused_by_api",
            "stream": "orders",
            "time": "2026-08-01T17:00:00+00:00",
        },
    },
)
"""The first lines of a file that the version before key properties and run IDs has begun."""


def run(command: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the page in a folder; its exit code is for the caller to judge."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the page makes, with a tested version of target-postgres."""
    folder = tmp_path_factory.mktemp("environment")
    constraints = folder / "constraints.txt"
    constraints.write_text(VERSION)
    ((install,), *_) = blocks(PAGE)
    done = run(install, folder, PIP_CONSTRAINT=str(constraints), PIP_DISABLE_PIP_VERSION_CHECK="1")
    if done.returncode != 0:
        pytest.skip(f"{VERSION} cannot be installed: {done.stderr[-500:]}")
    return folder / "warehouse"


class Warehouse:
    """A folder with the files of the page, where its commands run, and the database."""

    def __init__(self, folder: Path, environment: Path, server: Postgres) -> None:
        self.folder = folder
        self._server = server
        (folder / "warehouse").symlink_to(environment)
        (settings,) = blocks(PAGE, 'json title="warehouse.json"')
        (folder / "warehouse.json").write_text("\n".join(settings))

    def load_files(self) -> None:
        """Run the two commands of the page."""
        _, commands = blocks(PAGE)
        assert len(commands) == 2
        login = {
            "TARGET_POSTGRES_DATABASE": "postgres",
            "TARGET_POSTGRES_PORT": self._server.port,
            "TARGET_POSTGRES_USER": "tester",
            "TARGET_POSTGRES_PASSWORD": "not used",
        }
        for command in commands:
            done = run(command, self.folder, **login)
            assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds, each row as an object, and each value as text."""
        each = f"SELECT row_to_json(q) FROM ({query}) AS q"  # noqa: S608 (a constant)
        found = self._server.sql(each)
        return [json.loads(line, parse_float=str) for line in found.splitlines()]


@pytest.fixture
def warehouse(tmp_path: Path, environment: Path, postgres: Postgres) -> Iterator[Warehouse]:
    yield Warehouse(tmp_path, environment, postgres)
    postgres.sql("DROP SCHEMA IF EXISTS marketing CASCADE")


def send(folder: Path, sandbox: Sandbox, *records: dict[str, Any]) -> str:
    """Run the target in a folder, and return its log."""
    settings = {
        "customer_id": "a-1b2c",
        "auth_token": "sandbox-token",
        "api_url": sandbox.url,
        "pixel_id": 44489,
        "default_source": "web",
        "delivered_path": "delivered.singer",
    }
    (folder / "liveintent.json").write_text(json.dumps(settings))
    schema = {"type": "object", "properties": {name: {} for name in COLUMNS}}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": ["id"]},
        *({"type": "RECORD", "stream": "orders", "record": record} for record in records),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "target_liveintent", "--config", "liveintent.json"],
        cwd=folder,
        input="\n".join(map(json.dumps, messages)) + "\n",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def order(number: int, **columns: Any) -> dict[str, Any]:
    """An order of an hour ago, which can be sent."""
    happened = int(time.time()) - 3600
    email = f"buyer{number}@example.com"
    good = {"id": number, "event_time": happened, "email": email, "currency": "EUR"}
    return {**good, "event_id": f"{number}", "order_id": f"#{number}", "value": "12.50", **columns}


def test_two_tables(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """Each event and each dead letter is one row, with its run, however often it is loaded."""
    odd = {"value": {"amount": "1"}, "ip": ["10.0.0.1"], "pixel_id": "none"}
    log = send(
        warehouse.folder,
        sandbox,
        order(1, value="87.280"),
        order(2, order_id="a\0b"),
        order(3, email=None),
        order(4, **odd),
    )
    run_id = log.splitlines()[0].rpartition(" ")[2]
    warehouse.load_files()
    warehouse.load_files()

    sent = "SELECT * FROM marketing.liveintent_delivered ORDER BY event_id"
    first, second = warehouse.rows(sent)
    assert (first["event_id"], first["stream"], first["pixel_id"]) == ("1", "orders", 44489)
    assert (first["outcome"], first["run_id"]) == ("delivered", run_id)
    assert (first["value"], first["currency"], first["order_id"]) == ("87.280", "EUR", "#1")
    assert first["event_time"] < first["sent_at"]
    assert len(first["md5"]) == 32
    assert second["order_id"] == "a\ufffdb"
    letters = "SELECT * FROM marketing.liveintent_dead_letters ORDER BY event_id"
    guest, strange = warehouse.rows(letters)
    assert (guest["reason"], guest["run_id"]) == ("no_identity", run_id)
    assert guest["written_for"] == {
        "customer_id": "a-1b2c", "api_host": "127.0.0.1", "pixel_id": 44489,
    }  # fmt: skip
    assert (strange["reason"], strange["pixel_id"]) == ("invalid_pixel_id", "none")
    assert json.loads(strange["value"]) == odd["value"]

    by_day, lacking = map(warehouse.rows, _queries())
    assert [(row["currency"], row["count"], row["sum"]) for row in by_day] == [("EUR", 2, "99.780")]
    assert [row["reason"] for row in lacking] == ["invalid_pixel_id", "no_identity"]

    # The guest has become known: the event is delivered, and no longer lacking.
    send(warehouse.folder, sandbox, order(3))
    warehouse.load_files()
    assert len(warehouse.rows(sent)) == 3
    assert [row["reason"] for row in warehouse.rows(_queries()[1])] == ["invalid_pixel_id"]


def _queries() -> list[str]:
    (lines,) = blocks(PAGE, "sql")
    return [query for query in "\n".join(lines).split(";") if query.strip()]


def test_a_file_that_an_older_version_began(warehouse: Warehouse, sandbox: Sandbox) -> None:
    """Its dead letters, which name no run, are loaded as well."""
    path = warehouse.folder / "liveintent-dead-letters.singer"
    path.write_text("".join(json.dumps(line) + "\n" for line in OLDER))
    send(warehouse.folder, sandbox, order(1), order(2, email=None))
    warehouse.load_files()
    found = warehouse.rows("SELECT event_id, run_id FROM marketing.liveintent_dead_letters")
    assert {row["event_id"]: row["run_id"] is None for row in found} == {"older": True, "2": False}
