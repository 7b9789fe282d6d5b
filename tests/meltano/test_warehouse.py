"""Delivered events and dead letters in PostgreSQL, by the commands of docs/warehouse.md.

The target that loads them is MeltanoLabs' target-postgres, and the server a real one.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from meltano_support import ROOT, Postgres, Project, block_of, blocks, target_program

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.postgres, pytest.mark.slow]

PAGE = ROOT / "docs" / "warehouse.md"
VERSION = "meltanolabs-target-postgres==0.8.1"


class Warehouse:
    """A folder with the files of the page, where its commands run, and the database."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self.folder = folder
        self._server = server
        ((install,), self._commands) = blocks(PAGE)
        (folder / "constraints.txt").write_text(VERSION)
        done = self._run(
            install,
            PIP_CONSTRAINT=str(folder / "constraints.txt"),
            PIP_DISABLE_PIP_VERSION_CHECK="1",
        )
        if done.returncode != 0:
            pytest.skip(f"{VERSION} cannot be installed: {done.stderr[-500:]}")
        target_program(folder)
        (folder / "warehouse.json").write_text(block_of(PAGE, 'json title="warehouse.json"'))

    def _run(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return Project(self.folder).shell(command, PYTHONPATH="", **settings)

    def load(self) -> None:
        """Run the commands of the page, which load the two streams."""
        done = self._run(
            "\n".join(self._commands),
            PATH=f"{self.folder}:{os.environ['PATH']}",
            TARGET_POSTGRES_DATABASE="postgres",
            TARGET_POSTGRES_PORT=self._server.port,
            TARGET_POSTGRES_USER="tester",
            TARGET_POSTGRES_PASSWORD="not used",
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds, each row as an object, and each value as text."""
        each = f"SELECT row_to_json(q) FROM ({query}) AS q"  # noqa: S608 (a constant)
        found = self._server.sql(each)
        return [json.loads(line, parse_float=str) for line in found.splitlines()]


def send(folder: Path, sandbox: Sandbox, *records: dict[str, Any]) -> str:
    """Run the target in a folder, and return its log."""
    settings = {
        "customer_id": "a-1b2c",
        "auth_token": "sandbox-token",
        "api_url": sandbox.url,
        "pixel_id": 44489,
        "default_source": "web",
        "keep_delivered": True,
    }
    (folder / "liveintent.json").write_text(json.dumps(settings))
    columns = {name: {} for record in records for name in record}
    schema = {"type": "object", "properties": columns}
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


def test_two_tables(tmp_path: Path, postgres: Postgres, sandbox: Sandbox) -> None:
    """Each event and each dead letter is one row, with its run, however often it is loaded."""
    warehouse = Warehouse(tmp_path, postgres)
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
    warehouse.load()
    warehouse.load()

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

    queries = [query for query in block_of(PAGE, "sql").split(";") if query.strip()]
    by_day, lacking = map(warehouse.rows, queries)
    assert [(row["currency"], row["count"], row["sum"]) for row in by_day] == [("EUR", 2, "99.780")]
    assert [row["reason"] for row in lacking] == ["invalid_pixel_id", "no_identity"]

    # The guest has become known: the event is delivered, and no longer lacking.
    send(warehouse.folder, sandbox, order(3))
    warehouse.load()
    assert len(warehouse.rows(sent)) == 3
    assert [row["reason"] for row in warehouse.rows(queries[1])] == ["invalid_pixel_id"]
