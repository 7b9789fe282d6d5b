"""BATCH messages: files that go through the same stream maps, record by record."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import TOKEN, WITH_ID, order, schema, state

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

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
    }
}


def rows(count: int) -> list[dict[str, Any]]:
    plain = [order(n)["record"] for n in range(count)]
    return [
        {"id": n, "created": row["event_time"], "mail": row["email"], "total": n + 0.5}
        for n, row in enumerate(plain)
    ]


def write(path: Path, records: list[dict[str, Any]]) -> str:
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path.as_uri()


def batch(*urls: str, form: str = "jsonl", compression: str | None = "none") -> dict[str, Any]:
    encoding = {"format": form}
    if compression is not None:
        encoding["compression"] = compression
    return {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": list(urls)}


@pytest.mark.parametrize("compression", ["none", "gzip", None])
def test_json_lines(to_server: Launcher, server: FaultyServer, compression: str | None) -> None:
    """The records of BATCH files go through map and filter, and no raw address is sent."""
    folder = to_server.folder / "some folder"
    folder.mkdir()
    suffix = ".gz" if compression == "gzip" else ""
    many = rows(250)
    first = write(folder / f"a.jsonl{suffix}", many[:130])
    second = write(folder / f"b.jsonl{suffix}", many[130:])
    run = to_server.run(
        schema("orders", COLUMNS),
        batch(first, second, compression=compression),
        state(1),
        stream_maps=MAPS,
    )
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
    many = rows(30)
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(hours=1)
    for row in many:
        row["created"] = now
        row["total"] = Decimal(f"{row['id']}.50")
    path = to_server.folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(many), path, row_group_size=7)
    run = to_server.run(
        schema("orders", COLUMNS),
        batch(path.as_uri(), form="parquet", compression=None),
        state(1),
        stream_maps=MAPS,
    )
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert sorted(server.accepted) == sorted(f"o-{n}" for n in range(10, 30))
    (event,) = [e for p in server.requests for e in p.events if e["eventId"] == "o-11"]
    assert event["eventTime"] == int(now.timestamp())
    assert event["purchaseData"]["value"] == 11.5


def test_parquet_without_pyarrow(target: Launcher, sandbox: Sandbox) -> None:
    """Without pyarrow, a Parquet file ends the run in one line that says what to install."""
    blocked = target.folder / "blocked" / "pyarrow"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ModuleNotFoundError(name='pyarrow')\n")
    path = target.folder / "rows.parquet"
    path.write_bytes(b"PAR1")
    source = target.folder / "in.singer"
    messages = [schema("orders", COLUMNS), batch(path.as_uri(), form="parquet"), state(1)]
    source.write_text("".join(json.dumps(m) + "\n" for m in messages))
    config = target.config(stream_maps=MAPS)
    paths = os.pathsep.join([str(blocked.parent), target.env.get("PYTHONPATH", "")])
    run = target.command(
        "--config", str(config), "--input", str(source), env={"PYTHONPATH": paths}
    ).wait()
    assert (run.code, run.states, sandbox.stats.requests) == (1, [], 0)
    assert "target-liveintent[parquet]" in run.last_line
    assert len([line for line in run.err if "ERROR" in line.text]) == 1


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (batch("s3://bucket/rows.jsonl"), "s3"),
        (batch("https://example.com/rows.jsonl"), "https"),
        (batch("rows.jsonl"), "file"),
        (batch("file:///nowhere/rows.jsonl"), "/nowhere/rows.jsonl"),
        (batch("file:///nowhere/rows.csv", form="csv"), "csv"),
        (batch("file:///nowhere/rows.zst", compression="zstd"), "zstd"),
    ],
)
def test_what_cannot_be_read(target: Launcher, message: dict[str, Any], told: str) -> None:
    """A BATCH that cannot be read ends the run in one clear line, after what precedes it."""
    run = target.run(
        schema("returns"),
        order(1, "returns"),
        state(1),
        schema("orders", COLUMNS),
        message,
        state(2),
        stream_maps={**MAPS, "returns": {}},
    )
    assert (run.code, run.states) == (1, [1])
    assert told in run.last_line
    assert "Traceback" not in run.log


@pytest.mark.parametrize("kind", ["text", "truncated-gzip", "no-gzip", "no-parquet"])
def test_broken_files(target: Launcher, kind: str) -> None:
    """A broken BATCH file ends the run without STATE, and what is in it is not shown."""
    path = target.folder / "rows"
    url = write(path, rows(12))
    message = batch(url)
    if kind == "text":
        with path.open("a") as file:
            file.write("jane@example.com\n")
    elif kind == "truncated-gzip":
        path.write_bytes(gzip.compress(path.read_bytes())[:-20])
        message = batch(url, compression="gzip")
    elif kind == "no-gzip":
        message = batch(url, compression="gzip")
    else:
        pytest.importorskip("pyarrow")
        message = batch(url, form="parquet")
    run = target.run(schema("orders", COLUMNS), message, state(1), stream_maps=MAPS)
    assert (run.code, run.states) == (1, [])
    assert str(path) in run.last_line
    assert "@example.com" not in run.log
    assert "Traceback" not in run.log


def test_rows_that_cannot_be_sent(target: Launcher, sandbox: Sandbox) -> None:
    """Rows of a BATCH file that cannot be sent become letters as records do."""
    many = rows(20)
    many[12]["created"] = None
    many[13]["mail"] = "nobody"
    many[14].pop("total")
    url = write(target.folder / "rows.jsonl", many)
    run = target.run(schema("orders", COLUMNS), batch(url), state(1), stream_maps=MAPS)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 7)
    assert run.summary["orders"].reasons == {
        "missing_event_time": 1,
        "no_identity": 1,
        "mapping_failed": 1,
    }
    assert TOKEN not in json.dumps(run.letters)


# Files that are damaged, and URLs of no file


def _damaged(how: str) -> bytes:
    whole = gzip.compress("".join(f'{{"id": {n}}}\n' for n in range(500)).encode())
    return {
        "cut": whole[:-20],
        "deflate": whole[:10] + b"\xff" * 64,
        "checksum": whole[:-8] + b"\0" * 8,
        "header": b"not gzip at all",
        "start": whole[:5],
    }[how]


def _assert_one_clear_line(run: Running, *words: str) -> None:
    assert (run.code, run.states) == (1, [])
    assert "Traceback" not in run.log
    assert "this is a bug" not in run.log
    assert "BATCH" in run.last_line
    assert "line 2 of the input" in run.last_line
    for word in words:
        assert word in run.last_line


@pytest.mark.parametrize("how", ["cut", "deflate", "checksum", "header", "start"])
def test_a_damaged_gzip_file(target: Launcher, how: str) -> None:
    """A gzip file that is damaged in whatever way ends the run with one line that names it."""
    path = target.folder / "rows.jsonl.gz"
    path.write_bytes(_damaged(how))
    encoding = {"format": "jsonl", "compression": "gzip"}
    batch = {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [path.as_uri()]}
    maps = {
        "orders": {
            "event_id": "str(id)",
            "event_time": "event_time",
            "email": "email",
            "__filter__": "False",
            "__else__": "__NULL__",
        }
    }
    run = target.run(schema(columns=WITH_ID), batch, state(1), stream_maps=maps)
    _assert_one_clear_line(run, "rows.jsonl.gz", "cannot be read")


@pytest.mark.parametrize(
    "url", ["file://[foo/x", "file:///tmp/%00x", "file:///", "http://[::1", ""]
)
def test_a_batch_url_that_is_none(target: Launcher, url: str) -> None:
    """A URL that names no file ends the run with one line."""
    encoding = {"format": "jsonl", "compression": "none"}
    batch = {"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [url]}
    _assert_one_clear_line(target.run(schema(), batch, state(1)))
