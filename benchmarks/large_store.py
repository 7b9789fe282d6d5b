"""Measures what a start and the commands cost over a store with years of rows.

    scripts/benchmark --store [--scale 1.0] [--folder FOLDER] [--url postgresql://…] [--keep]

It writes a store of 10 million delivered events, 500,000 dead letters, 8,760 runs and 20 million
keys: 7 GB in the folder, or in the schema of the URL, where it stays. `--keep` uses it again.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import hashlib
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks.processes import FailedRunError
from target_liveintent.config import settings_of
from target_liveintent.conversions.amounts import Amount
from target_liveintent.reporting.history import FORMAT, Ending, RunRecord, stored_text
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run_id import new_run_id
from target_liveintent.settings import Settings
from target_liveintent.store.opening import open_database, open_store

YEAR = 365 * 86_400
REASONS = ("event_too_old", "no_identity", "refused_by_api", "invalid_event_time", "unconfirmed")
_ACCOUNT = ("a-1b2c", "conversions.liveintent.com")
_PIXEL = 12_345


class Size(NamedTuple):
    """How many rows the tables have."""

    delivered: int = 10_000_000
    letters: int = 500_000
    runs: int = 8_760
    keys: int = 20_000_000

    def scaled(self, scale: float) -> Size:
        """Return a part of it."""
        return Size(*(int(rows * scale) for rows in self))


_NUMBERS_IN_SQLITE = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    " SELECT i FROM n"
)
_NUMBERS_IN_POSTGRES = "SELECT i FROM generate_series(1, {count}) AS g (i)"
_HASHED = """SELECT i, CAST(i AS text) AS n, {start} + CAST(i AS bigint) * {year} / {count} AS at,
    md5('e' || CAST(i AS text)) AS id, md5('p' || CAST(i AS text)) AS md5,
    md5('s' || CAST(i AS text)) || md5('t' || CAST(i AS text)) AS sha2 FROM ({series}) AS s"""
_DEAD_LETTERS = """
INSERT INTO dead_letter (customer_id, api_host, stream, event_id, pixel_id, reason, written_at, run,
    hashes, first_run, first_transaction, value, currency, run_pixel_id, first_read, record)
SELECT '{customer}', '{host}', CASE i % 3 WHEN 0 THEN 'carts' ELSE 'orders' END, id, {pixel},
    {reason}, at, 1 + i % {runs}, substr(md5, 1, 8) || ' ' || substr(sha2, 1, 8),
    1 + i % {runs}, 1, {value}, 'EUR', {pixel}, at,
    CAST('{{"event_id":"' || id || '","event_time":' || CAST(at AS text) ||
    ',"source":"web","md5":"' || md5 || '","sha2":"' || sha2 ||
    '","all_hashes":["' || md5 || '","' || sha2 || '"],"order_id":"#' || n ||
    '","value":12.5,"currency":"EUR","reason":"' || {reason} ||
    '","stream":"orders","time":"2026-08-01T16:00:00Z","user_agent":"{browser}",' ||
    '"written_for":{{"customer_id":"{customer}","api_host":"{host}","pixel_id":{pixel}}}}}'
    AS {json}) FROM ({hashed}) AS h
"""
_DELIVERED = """
INSERT INTO delivered (customer_id, api_host, stream, event_id, pixel_id, run, sent_at, event_time,
    source, order_id, value, currency, md5, sha2)
SELECT '{customer}', '{host}', 'orders', id, {pixel}, 1 + i % {runs}, at, at, 'web', '#' || n, 12.5,
    'EUR', md5, sha2 FROM ({hashed}) AS h
"""
_PLACE_COUNTS = """
INSERT INTO place_count (read_at, customer_id, api_host, run_pixel_id, writer, place, reason,
    currency, events, value)
SELECT at / 900 * 900, '{customer}', '{host}', {pixel}, i, CASE i % 2 WHEN 0 THEN 'arrived' ELSE
    'left_out' END, CASE i % 2 WHEN 0 THEN '' ELSE 'filtered' END, CASE i % 2 WHEN 0 THEN 'EUR' ELSE
    '' END, 1100, {value} FROM ({hashed}) AS h
"""
_EVENTS = """
INSERT INTO event (key, run)
SELECT event_key({now} + i % 2592000, i), 1 FROM ({series}) AS s ORDER BY 1
"""
_WAITING = """
INSERT INTO waiting (hash, key, customer_id, api_host, run_pixel_id, read_at, window_end)
SELECT substr(event_key(1, -i), 6), event_key({now} + 86400, -i), '{customer}', '{host}', {pixel},
    {now} - i, {now} + 86400 FROM ({series}) AS s
"""
_KEY_IN_POSTGRES = """
CREATE OR REPLACE FUNCTION event_key(at bigint, i bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT decode(lpad(to_hex(at), 10, '0') || substr(md5(CAST(i AS text)), 1, 22), 'hex') $$
"""
_BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/120.0.0.0 Safari/537.36"
)


def settings_for(place: str) -> Settings:
    """Return the settings of the runs over a store."""
    return settings_of(
        {"customer_id": _ACCOUNT[0], "auth_token": "benchmark-token", "pixel_id": _PIXEL}
        | {"store": place, "keep_delivered": True, "history_days": 400}
    )


def fill(place: str, size: Size, now: int) -> None:
    """Write the rows of a year into a new store."""
    open_database(settings_for(place).storage).close()
    in_postgres = "://" in place
    numbers = _NUMBERS_IN_POSTGRES if in_postgres else _NUMBERS_IN_SQLITE
    cases = " ".join(f"WHEN {number} THEN '{reason}'" for number, reason in enumerate(REASONS))
    words = {
        **dict(zip(("customer", "host"), _ACCOUNT, strict=True)),
        "pixel": _PIXEL,
        "browser": _BROWSER,
        "now": now,
        "start": now - YEAR,
        "year": YEAR,
        "runs": size.runs,
        "reason": f"CASE i % {len(REASONS)} {cases} END",
        "json": "json" if in_postgres else "text",
        "value": f"CAST(12.5 AS {'numeric' if in_postgres else 'text'})",
    }
    with contextlib.closing(_connection(place)) as connection:
        for table, count in (
            (_DEAD_LETTERS, size.letters),
            (_DELIVERED, size.delivered),
            (_EVENTS, size.keys),
            (_PLACE_COUNTS, 2 * size.runs),
            (_WAITING, size.runs),
        ):
            began = time.perf_counter()
            series = numbers.format(count=count)
            hashed = _HASHED.format(**words, count=count, series=series)
            connection.execute(table.format(**words, series=series, hashed=hashed))
            name, seconds = table.split()[2], time.perf_counter() - began
            print(f"{name}: {count:,} rows in {seconds:.0f} s", flush=True)
        connection.execute("BEGIN")
        run = _RUN.replace("?", "%s") if in_postgres else _RUN
        for number in range(size.runs):
            connection.execute(run, _run(number, size, now))
        connection.execute("COMMIT")
        if in_postgres:  # (A run does not analyse a file either.)
            connection.execute("VACUUM ANALYZE")


def _connection(place: str) -> Any:
    """Connect to a database that has the functions of the statements."""
    if "://" in place:
        in_postgres = psycopg.connect(place, autocommit=True)
        in_postgres.execute(_KEY_IN_POSTGRES)
        return in_postgres
    in_sqlite = sqlite3.connect(place, isolation_level=None)
    in_sqlite.create_function("md5", 1, lambda text: _md5(text).hexdigest())
    in_sqlite.create_function(
        "event_key", 2, lambda at, i: at.to_bytes(5, "big") + _md5(str(i)).digest()[:11]
    )
    in_sqlite.execute("PRAGMA synchronous = OFF")
    in_sqlite.execute("PRAGMA cache_size = -500000")
    return in_sqlite


def _md5(text: str) -> Any:
    return hashlib.md5(text.encode(), usedforsecurity=False)


_RUN = (
    "INSERT INTO run (number, id, kind, customer_id, api_host, pixel_id, started_at, alive_until,"
    " ended_at, ending, figures) VALUES (?, ?, 'usual', ?, ?, ?, ?, ?, ?, 'done', ?)"
)


def _run(number: int, size: Size, now: int) -> list[Any]:
    ended = now - YEAR + (number + 1) * YEAR // size.runs
    at = dt.datetime.fromtimestamp(ended, dt.timezone.utc)
    value = Decimal("12.50")
    counts = StreamCounts(
        read=1_200,
        delivered=1_100,
        dropped=Counter(already_sent=43),
        rejected=Counter(dict.fromkeys(REASONS, 11) | {"no_identity": 13}),
        remarks={"empty": Counter(ip=30, user_agent=20), "unusable": Counter(value=3)},
        mapped=frozenset(("email", "md5")),
        values={"EUR": Amount(1_000, value * 1_000, value, value)},
        coverage={"web": {"events": 1_100, "md5": 1_000, "sha2": 1_000, "both": 1_000}},
    )
    run_id = f"019abf6e-3f1c-7cc2-8d4e-{number:012d}"
    record = RunRecord(
        FORMAT, run_id, at - dt.timedelta(minutes=2), at, at.date(), "usual", Ending(), "target",
        {"timezone": "UTC"}, 12, 0, 0, {"orders": counts, "carts": counts},
    )  # fmt: skip
    return [number + 1, run_id, *_ACCOUNT, _PIXEL, ended - 120, ended, ended, stored_text(record)]


def start_seconds(place: str) -> float:
    """Return how many seconds a run takes to open the store, the least of three times."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        store = open_store(settings_for(place).storage, new_run_id())
        seconds.append(time.perf_counter() - began)
        store.close(forget=True)
    return min(seconds)


def command_seconds(place: str, folder: Path, *args: str, text: str = "") -> str:
    """Return how many seconds a command takes, and its last line."""
    config = folder / "config.json"
    config.write_text(
        json.dumps({"customer_id": _ACCOUNT[0], "pixel_id": _PIXEL, "store": place}),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "target_liveintent", "--config", str(config), *args]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in {0, 3}:  # (3: `health` finds something unusual.)
        raise FailedRunError(done.stderr)
    return f"{wall:.2f} s ({cpu:.2f} s CPU)  [{(done.stdout.splitlines() or [''])[-1][:60]}]"


def measure(place: str, folder: Path, size: Size) -> None:
    """Print how long a start and the commands take."""
    with tempfile.TemporaryDirectory(dir=folder) as other:
        print(f"a start over an empty store: {start_seconds(str(Path(other) / 'e.sqlite')):.3f} s")
    print(f"a start: {start_seconds(place):.3f} s")
    person = _md5(f"p{size.letters // 2}").hexdigest()
    for args, text in (
        (("health",), ""),
        (("report", "--format=text"), ""),
        (("report", str(folder / "page.html")), ""),
        (("dead-letters",), ""),
        (("dead-letters", "--format=json"), ""),
        (("trace", f"#{size.delivered // 2}"), ""),
        (("forget",), f"{person}\nnobody@example.com\n"),
        (("dead-letters", "--delete", "no_identity"), ""),
    ):
        print(f"{' '.join(args)}: {command_seconds(place, folder, *args, text=text)}", flush=True)


def main() -> int:
    """Write the store, and measure."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark --store", allow_abbrev=False)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the rows")
    parser.add_argument("--folder", help="in which folder to put the store, in a new subfolder")
    parser.add_argument("--url", help="the PostgreSQL database, instead of a file")
    parser.add_argument("--keep", action="store_true", help="use the store that is there")
    given = parser.parse_args()
    size = Size().scaled(given.scale)
    with contextlib.ExitStack() as stack:
        folder = given.folder or stack.enter_context(tempfile.TemporaryDirectory())
        place = given.url or str(Path(folder) / "large.sqlite")
        if not given.keep:
            fill(place, size, int(time.time()))
        measure(place, Path(folder), size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
