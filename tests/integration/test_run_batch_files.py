"""BATCH messages: files that go through the same stream maps, record by record."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from integration_support import batch, lines, order, schema, state

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher


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


def test_json_lines(to_server: Launcher, server: FaultyServer) -> None:
    """The records of BATCH files go through map and filter, and no raw address is sent."""
    folder = to_server.folder / "some folder"
    folder.mkdir()
    parts = {"a": rows(250)[:130], "b": rows(250)[130:]}
    files = [write(folder / f"{name}.jsonl.gz", part) for name, part in parts.items()]
    given = (schema("orders", COLUMNS), batch(*files, compression="gzip"), state(1))
    run = to_server.run(*given, stream_maps=MAPS)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert sorted(server.accepted) == sorted(f"o-{n}" for n in range(10, 250))
    assert "@" not in json.dumps([p.events for p in server.requests])
    assert max(len(p.events) for p in server.requests) == 100
    counts = run.summary["orders"]
    assert (counts.read, counts.filtered, counts.delivered) == (250, 10, 240)


def test_what_cannot_be_read(target: Launcher) -> None:
    """A BATCH that cannot be read ends the run in one clear line, after what precedes it."""
    run = target.run(
        schema("returns"),
        order(1, "returns"),
        state(1),
        schema("orders", COLUMNS),
        batch("file:///nowhere/rows.jsonl"),
        state(2),
        stream_maps=MAPS,
    )
    assert (run.code, run.states) == (1, [1])
    assert "line 5 of the input" in run.last_line
    assert "/nowhere/rows.jsonl" in run.last_line
    assert len([line for line in run.err if "ERROR" in line.text]) == 1
    assert "Traceback" not in run.log
