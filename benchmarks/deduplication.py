"""Measures what an event costs, by the number of confirmed events in the store.

    python -m benchmarks.deduplication [--keys 50000000] [--folder FOLDER] [--url postgresql://…]

The file with many keys takes 1.4 GB in the folder, and about a minute to write. With a URL, a
store in that database is measured as well; it stays there. Writes
`benchmarks/deduplication.json`, from which docs/performance.md is generated.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import PIXEL_ID, results
from benchmarks.bench import Bench, Candidate, Stream, show_progress
from benchmarks.processes import FailedRunError
from target_liveintent.config import settings_of
from target_liveintent.run_id import new_run_id
from target_liveintent.settings import Settings
from target_liveintent.store.deduplication import HASH_BYTES, TIME_BYTES
from target_liveintent.store.opening import open_database, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).with_name("deduplication.json")
_STREAMS = {
    "by_time": Stream(100_000, by_time=True),
    "in_any_order": Stream(100_000),
}
_RUNS = 3
_SECONDS = 30 * 86_400
"""The keys of the large file expire over so many seconds, as those of a month's events do."""


class Measured(msgspec.Struct):
    """The content of `deduplication.json`.

    Attributes:
        machine: The machine and the day.
        events: The events of a run.
        keys: The keys in the large file.
        size: The bytes of that file for each key.
        opening: Milliseconds that it takes to open that file.
        cpu: By the order of the events (`by_time`, `in_any_order`) and by the store (`empty`,
            `large`, and `database` if that was measured): CPU time an event, in microseconds.
    """

    machine: results.Machine
    events: int
    keys: int
    size: float
    opening: float
    cpu: dict[str, dict[str, float]]


def table() -> str:
    """Return the figures as Markdown, for docs/performance.md."""
    if not RESULTS.exists():
        return "*Not measured yet.*"
    measured = msgspec.json.decode(RESULTS.read_bytes(), type=Measured)
    machine = measured.machine
    where = (
        f"Measured on {machine.date}, with Python {machine.python}, on {machine.cores} cores of an"
        f" {machine.cpu}: CPU time per event, in runs of {measured.events:,} events."
    )
    lines = [
        where,
        "",
        "| store | rows in time order | rows in random order |",
        "| --- | --- | --- |",
    ]
    names = {
        "empty": "a new file",
        "large": f"a file with {measured.keys:,} keys",
        "database": "PostgreSQL",
    }
    for kind, name in names.items():
        if any(kind not in found for found in measured.cpu.values()):
            continue
        cells = [name, *(f"{found[kind]:.1f} µs" for found in measured.cpu.values())]
        lines.append(f"| {' | '.join(cells)} |")
    opening = (
        f"The large file needs {measured.size:.0f} bytes for each key. A run opens it in"
        f" {measured.opening:.0f} ms."
    )
    return "\n".join((*lines, "", opening))


def measure(folder: Path, keys: int, url: str | None = None) -> Measured:
    """Make the runs.

    Args:
        folder: Where the files are written.
        keys: The keys in the large file.
        url: A database that is measured as well.

    Raises:
        FailedRunError: If a run fails, or does not send each event once.
    """
    large = folder / "large.sqlite"
    show_progress(f"a store with {keys:,} keys")
    fill(large, keys)
    size, opening = large.stat().st_size / keys, opening_ms(large)
    bench = Bench(folder)
    cpu: dict[str, dict[str, float]] = {}
    turn = 0
    for name, stream in _STREAMS.items():
        found: dict[str, list[float]] = {}
        for _ in range(_RUNS):
            turn += 1
            # Another pixel's events are other events, which the store does not know yet.
            pixel: dict[str, Any] = {"pixel_id": PIXEL_ID + turn}
            candidates = {
                "empty": Candidate("target", stream, pixel),
                "large": Candidate("target", stream, pixel | {"store": str(large)}),
            }
            if url is not None:
                candidates["database"] = Candidate("target", stream, pixel | {"store": url})
            for kind, one in bench.compare(0, 1, **candidates).items():
                found.setdefault(kind, []).append(one.cpu)
        cpu[name] = {kind: statistics.median(values) for kind, values in found.items()}
    return Measured(results.this_machine(), stream.size, keys, size, opening, cpu)


def fill(path: Path, count: int) -> None:
    """Write a store with so many keys, the newest of which expire in a week."""
    open_database(_settings(path).storage).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.executemany("INSERT INTO event VALUES (?, 0)", _keys(count))
    db.commit()
    db.close()


def _keys(count: int) -> Iterator[tuple[bytes]]:
    first = int(time.time()) + 7 * 86_400 - _SECONDS
    for number in range(count):
        seconds = first + number * _SECONDS // count
        yield (seconds.to_bytes(TIME_BYTES, "big") + os.urandom(HASH_BYTES),)


def _settings(path: Path) -> Settings:
    account = {"customer_id": "a-1b2c", "auth_token": "benchmark-token"}
    return settings_of(account | {"store": str(path)})


def opening_ms(path: Path) -> float:
    """Return how many milliseconds it takes to open a store and to ask about an event."""
    from target_liveintent.conversions.event_model import Conversion, event_of  # noqa: PLC0415

    sent = {"event_id": "1", "event_time": int(time.time()), "pixel_id": PIXEL_ID, "source": "web"}
    event = Conversion("orders", event_of(sent), int(time.time()) + 86_400, {})
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        store = open_store(_settings(path).storage, new_run_id())
        store.claim({0: [event]})
        seconds.append(time.perf_counter() - start)
        store.release({})
        store.close()
    return statistics.median(seconds) * 1_000


def main() -> int:
    """Measure, and write and print the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark --deduplication", allow_abbrev=False)
    parser.add_argument("--keys", type=int, default=50_000_000, help="keys in the large file")
    parser.add_argument("--folder", help="in which folder to put it, in a new subfolder")
    parser.add_argument("--url", help="a PostgreSQL database to measure as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="liveintent-deduplication-", dir=given.folder
    ) as folder:
        try:
            measured = measure(Path(folder), given.keys, given.url)
        except FailedRunError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
