"""The benchmark of the ledger: its large file, its orders by time, its table. Nothing is timed."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import msgspec
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not in the source distribution")

from benchmarks import ledger, results
from benchmarks.bench import Bench, Stream

if TYPE_CHECKING:
    from pathlib import Path


def test_the_large_file_is_a_ledger(tmp_path: Path) -> None:
    """It has as many keys as asked for, in the layout of the target."""
    path = tmp_path / "large.sqlite"
    ledger.fill(path, 1_000)
    assert ledger.opening_ms(path) > 0
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*), length(min(key)) FROM accepted").fetchall() == [(1_000, 16)]
    db.close()


def test_orders_by_time(tmp_path: Path) -> None:
    """They are the same orders, in another order, after their SCHEMA."""
    bench = Bench(tmp_path)
    lines = bench.orders_file(Stream(2_000)).read_bytes().splitlines()
    by_time = bench.orders_file(Stream(2_000, by_time=True)).read_bytes().splitlines()
    assert by_time[0] == lines[0]
    assert sorted(by_time) == sorted(lines)
    messages = [json.loads(line) for line in by_time]
    times = [one["record"]["created_at"] for one in messages if one["type"] == "RECORD"]
    assert times == sorted(times)


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what the ledger adds to an event."""
    path = tmp_path / "ledger.json"
    monkeypatch.setattr(ledger, "RESULTS", path)
    assert ledger.table() == "*Not measured yet.*"
    cpu = {
        "by_time": {"off": 10.0, "empty": 15.0, "large": 16.0},
        "in_any_order": {"off": 11.0, "empty": 20.0, "large": 30.0},
    }
    measured = ledger.Measured(results.this_machine(), 100_000, 50_000_000, 24.2, 31.6, cpu)
    path.write_bytes(msgspec.json.encode(measured))
    *_, off, empty, large, _, opening = ledger.table().splitlines()
    assert off == "| `ledger: false` | 10.0 µs |  | 11.0 µs |  |"
    assert empty == "| a new file | 15.0 µs | 5.0 µs | 20.0 µs | 9.0 µs |"
    assert large == "| a file with 50,000,000 keys | 16.0 µs | 6.0 µs | 30.0 µs | 19.0 µs |"
    assert opening == "The large file needs 24 bytes for each key. A run opens it in 32 ms."
