"""Delivered events and dead letters in PostgreSQL, by the commands of docs/warehouse.md.

The target that loads them is MeltanoLabs' target-postgres, and the server a real one.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from integration_support import WITH_ID, Launcher, Message, Running, order, schema
from meltano_support import ROOT, Postgres, Project, block_of, blocks, target_program

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


COLUMNS = (*WITH_ID, "order_id", "ip", "pixel_id")


def send(target: Launcher, *orders: Message) -> Running:
    """Run the target; its configuration file is the one of the page afterwards."""
    run = target.run(schema(columns=COLUMNS), *orders, keep_delivered=True)
    assert run.code == 0, run.log
    next(target.folder.glob("config-*.json")).replace(target.folder / "liveintent.json")
    return run


def euros(number: int, **columns: Any) -> Message:
    """Return an order that can be sent."""
    own = {"event_id": f"{number}", "order_id": f"#{number}", "currency": "EUR", "value": "12.50"}
    return order(number, **{**own, **columns})


def test_two_tables(target: Launcher, postgres: Postgres) -> None:
    """Each event and each dead letter is one row, with its run, however often it is loaded."""
    warehouse = Warehouse(target.folder, postgres)
    odd = {"value": {"amount": "1"}, "ip": ["10.0.0.1"], "pixel_id": "none"}
    changes: list[dict[str, Any]] = [
        {"value": "87.280"},
        {"order_id": "a\0b"},
        {"email": None},
        odd,
    ]
    run_id = send(target, *(euros(n, **one) for n, one in enumerate(changes, 1))).run_id
    warehouse.load()
    warehouse.load()

    sent = "SELECT * FROM marketing.liveintent_delivered ORDER BY event_id"
    first, second = warehouse.rows(sent)
    assert (first["event_id"], first["stream"], first["pixel_id"]) == ("1", "orders", 12345)
    assert (first["outcome"], first["run_id"]) == ("delivered", run_id)
    assert (first["value"], first["currency"], first["order_id"]) == ("87.280", "EUR", "#1")
    assert first["event_time"] < first["sent_at"]
    assert len(first["md5"]) == 32
    assert second["order_id"] == "a\ufffdb"
    letters = "SELECT * FROM marketing.liveintent_dead_letters ORDER BY event_id"
    guest, strange = warehouse.rows(letters)
    assert (guest["reason"], guest["run_id"]) == ("no_identity", run_id)
    assert guest["written_for"] == {
        "customer_id": "a-1b2c", "api_host": "127.0.0.1", "pixel_id": 12345,
    }  # fmt: skip
    assert (strange["reason"], strange["pixel_id"]) == ("invalid_pixel_id", "none")
    assert json.loads(strange["value"]) == odd["value"]

    queries = [query for query in block_of(PAGE, "sql").split(";") if query.strip()]
    by_day, lacking = map(warehouse.rows, queries)
    assert [(row["currency"], row["count"], row["sum"]) for row in by_day] == [("EUR", 2, "99.780")]
    assert [row["reason"] for row in lacking] == ["invalid_pixel_id", "no_identity"]

    # The guest has become known: the event is delivered, and no longer lacking.
    send(target, euros(3))
    warehouse.load()
    assert len(warehouse.rows(sent)) == 3
    assert [row["reason"] for row in warehouse.rows(queries[1])] == ["invalid_pixel_id"]
