"""BATCH messages: files that go through the same stream maps, record by record."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import batch, lines, order, schema, state

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Message

    from target_liveintent.sandbox import Sandbox

COLUMNS = ("id", "created", "mail", "total")
MAPS = {
    "orders": {
        "event_id": "'o-' + str(id)",
        "event_time": "created",
        "email": "mail",
        "value": "total",
        "__filter__": "total > 10",
        "__else__": "__NULL__",
    },
    "returns": {},
}


def rows(count: int) -> list[dict[str, Any]]:
    plain = [order(n)["record"] for n in range(count)]
    return [
        {"id": n, "created": row["event_time"], "mail": row["email"], "total": n + 0.5}
        for n, row in enumerate(plain)
    ]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    text = lines(records)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_json_lines(to_server: Launcher, server: FaultyServer, compression: str) -> None:
    """The records of BATCH files go through map and filter, and no raw address is sent."""
    folder = to_server.folder / "some folder"
    folder.mkdir()
    ending = ".gz" if compression == "gzip" else ""
    parts = {"a": rows(250)[:130], "b": rows(250)[130:]}
    files = [write(folder / f"{name}.jsonl{ending}", part) for name, part in parts.items()]
    given = (schema("orders", COLUMNS), batch(*files, compression=compression), state(1))
    run = to_server.run(*given, stream_maps=MAPS)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert sorted(server.accepted) == sorted(f"o-{n}" for n in range(10, 250))
    assert "@" not in json.dumps([p.events for p in server.requests])
    assert max(len(p.events) for p in server.requests) == 100
    counts = run.summary["orders"]
    assert (counts.read, counts.filtered, counts.delivered) == (250, 10, 240)


def test_parquet(to_server: Launcher, server: FaultyServer) -> None:
    """The rows of a Parquet file go through map and filter, its own kinds of values included."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(hours=1)
    own = [{**row, "created": now, "total": Decimal(f"{row['id']}.50")} for row in rows(30)]
    path = to_server.folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(own), path, row_group_size=7)
    given = (schema("orders", COLUMNS), batch(path, form="parquet", compression=None), state(1))
    run = to_server.run(*given, stream_maps=MAPS)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert sorted(server.accepted) == sorted(f"o-{n}" for n in range(10, 30))
    (event,) = [e for p in server.requests for e in p.events if e["eventId"] == "o-11"]
    assert event["eventTime"] == int(now.timestamp())
    assert event["purchaseData"]["value"] == 11.5


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (batch("memory://nowhere/rows.jsonl"), "at memory:// cannot be read: it does not exist"),
        (batch("file:///nowhere/rows.jsonl"), "/nowhere/rows.jsonl"),
        (batch("file:///nowhere/rows.csv", form="csv"), "csv"),
        (batch("http://[::1"), "an invalid URL"),
        (batch("file:///tmp/%00x"), "file"),
    ],
    ids=["elsewhere", "absent", "format", "no URL", "no path"],
)
def test_what_cannot_be_read(target: Launcher, message: Message, told: str) -> None:
    """A BATCH that cannot be read ends the run in one clear line, after what precedes it."""
    run = target.run(
        schema("returns"),
        order(1, "returns"),
        state(1),
        schema("orders", COLUMNS),
        message,
        state(2),
        stream_maps=MAPS,
    )
    assert (run.code, run.states) == (1, [1])
    assert "line 5 of the input" in run.last_line
    assert told in run.last_line
    assert len([line for line in run.err if "ERROR" in line.text]) == 1
    assert "Traceback" not in run.log


@pytest.mark.parametrize("kind", ["text", "gzip", "parquet"])
def test_broken_files(target: Launcher, kind: str) -> None:
    """A broken BATCH file ends the run without STATE, and what is in it is not shown."""
    path = write(target.folder / "rows", rows(12))
    message = batch(path)
    if kind == "text":
        with path.open("a") as file:
            file.write("jane@example.com\n")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes())[:-20])
        message = batch(path, compression="gzip")
    else:
        pytest.importorskip("pyarrow")
        message = batch(path, form="parquet")
    run = target.run(schema("orders", COLUMNS), message, state(1), stream_maps=MAPS)
    assert (run.code, run.states) == (1, [])
    assert str(path) in run.last_line
    assert "@example.com" not in run.log
    assert "bug" not in run.log
    assert "Traceback" not in run.log


def test_rows_that_cannot_be_sent(target: Launcher, sandbox: Sandbox) -> None:
    """Rows of a BATCH file that cannot be sent become letters as records do."""
    many = rows(20)
    many[12]["created"] = None
    many[13]["mail"] = "nobody"
    many[14].pop("total")
    path = write(target.folder / "rows.jsonl", many)
    run = target.run(schema("orders", COLUMNS), batch(path), state(1), stream_maps=MAPS)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 7)
    assert run.summary["orders"].reasons == {
        "missing_event_time": 1,
        "no_identity": 1,
        "mapping_failed": 1,
    }
