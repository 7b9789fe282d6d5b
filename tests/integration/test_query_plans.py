"""No statement of a run or a command reads all rows of a table that grows.

All statements are noted while runs and commands use a store, so a new one is checked as well.
"""

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from integration_support import SETTINGS, lines, order, schema

from benchmarks.large_store import Size, fill
from target_liveintent import cli
from target_liveintent.sandbox import Sandbox
from target_liveintent.store import layout
from target_liveintent.store.sqlite import ExactSum

STORE = Path(layout.__file__).parent
GROWING = {"event", "reservation", "waiting", "place_count", "run", "dead_letter", "delivered"}
SIZE = Size(delivered=40_000, letters=40_000, runs=8_760, keys=60_000)
ALLOWED = (
    # `dead-letters` counts the entries of an index: 0.2 seconds for 500,000 letters.
    r"SELECT customer_id, api_host, reason, pixel_id, stream, count\(\*\)",
    r"SELECT key FROM event ORDER BY key DESC LIMIT",
    # The reports add up the entries of indexes: those of 91 days.
    r"SELECT read_at, place, reason, currency, sum\(events\)",
    r"SELECT first_read / 900 \* 900 AS quarter",
    # `trace` looks for an ID in all rows, because an index would cost each run more.
    r"SELECT key, run FROM event WHERE substr\(key, 6\) IN",
    r"SELECT customer_id.+ FROM dead_letter WHERE \(CAST\(record AS TEXT\) LIKE",
    r"SELECT customer_id.+ FROM delivered WHERE order_id IN",
    r"SELECT DISTINCT customer_id, api_host, pixel_id FROM \(SELECT customer_id.+ LIMIT",
    # Of the other tests or of the benchmark.
    r"SELECT \* FROM store",
)
MOST_STEPS, MOST_ROWS = 40_000, 6_000
"""The work of SQLite's machine, and the rows that PostgreSQL reads, for a page of rows."""
PAGES_PER_LOOKUP, MOST_SPARE_PAGES = 6, 30
"""PostgreSQL reads a few pages of an index for each look-up. If it reads many more, it reads all
entries of an index that has another order than the statement needs."""
STEPS = 100
"""So many steps of SQLite's machine are counted at once."""
INDEXES = re.findall(r"CREATE INDEX (\w+)", (STORE / "tables.sql").read_text(encoding="utf-8"))
FIRST_ROW = "EXISTS (SELECT 1 FROM dead_letter), EXISTS (SELECT 1 FROM waiting)"
"""They read one row."""
UNENDED = "run_unended"
"""An index of few runs: those that are alive, or were killed."""

PLACE = "dead_letter_place"
"""The index whose entries the reports add up: see test_places.py."""


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Note the statements that are executed, with an example of their values."""
    statements: dict[str, Any] = {}
    connect, execute = sqlite3.connect, psycopg.Connection.execute

    def connect_and_note(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(lambda sql: statements.setdefault(sql, None))
        return connection

    def note(self: Any, query: str, params: Any = None, **options: Any) -> Any:
        statements.setdefault(query, params)
        return execute(self, query, params, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_and_note)
    monkeypatch.setattr(psycopg.Connection, "execute", note)
    return statements


def use_all(store: str, api_url: str, folder: Path) -> None:
    """Make runs of each kind, and give each command that uses the store."""
    given = {**SETTINGS, "customer_id": "a-1b2c", "store": store, "api_url": api_url}
    given |= {"keep_delivered": True, "api_url": api_url}
    good, bad = (lambda n: order(n, event_id=f"order-{n}")), order("bad", email="nobody")
    columns = ("id", "event_id", "event_time", "email", "value", "currency")

    def use(*arguments: str, text: str = "", **changes: Any) -> None:
        config = folder / "config.json"
        config.write_text(json.dumps({**given, **changes}))
        done = CliRunner().invoke(
            cli.main, ["--config", str(config), *arguments], input=text, catch_exceptions=False
        )
        assert done.exit_code in ({0, 1} if "trace" in arguments else {0, 3}), done.output

    def run(*records: Any, options: Iterable[str] = (), **changes: Any) -> None:
        use(*options, text=lines([schema(columns=columns), *records]).decode(), **changes)

    run(*map(good, range(200)), bad)
    run(*map(good, range(200)), history_days=300)  # Something is old by now.
    run(good(1), pixel_id=7)  # Another one's runs are in the store.
    for options in (["--dry-run"], ["--send-again"], ["--limit=1"]):
        run(good(1), options=options)
    use("replay", "--dry-run", "--limit=10")
    use("replay", "--limit=10")
    for command in ("health", "report", "dead-letters", "delivered"):
        use(command)
    use("trace", "order-1", "nothing")
    use("report", str(folder / "page.html"))
    for style in ("json", "singer"):
        use("dead-letters", f"--format={style}")
    use("dead-letters", "--delete=no_identity")
    use("dead-letters", "--delete=refused_by_api", pixel_id=None)
    use("forget", text="buyer1@example.com\n" + "a" * 32 + "\n")


def large_reads(store: str, statements: dict[str, Any], without: str = "SELECT 1") -> Iterator[str]:
    """Yield the statements that read a whole table, or much of an index, and say what they do.

    `without` is a statement that drops an index before.
    """
    checked = {
        sql: values
        for sql, values in statements.items()
        if re.match("(?i)(WITH|SELECT|INSERT|UPDATE|DELETE)", sql)
        and not any(re.match(allowed, sql) for allowed in ALLOWED)
        and not re.search("pg_class|sqlite_master|pg_advisory", sql)
    }
    assert len(checked) > 25
    check = _in_postgres if "://" in store else _in_sqlite
    for sql, reads in check(store, checked, without):
        yield from (f"{read}: {sql[:2_000]}" for read in reads)


def _in_sqlite(
    store: str, statements: dict[str, Any], without: str
) -> Iterator[tuple[str, list[str]]]:
    steps: list[None] = []
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.create_function("now", 0, time.time)
        connection.create_aggregate("exact_sum", 1, ExactSum)
        connection.set_progress_handler(lambda: steps.append(None), STEPS)
        connection.execute("BEGIN")
        connection.execute(without)
        for sql in statements:
            rest = sql.replace(FIRST_ROW, "1, 1")
            plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {rest}")]
            scans = [re.match(r"SCAN (\w+)", step) for step in plan]
            yield sql, [scan[0] for scan in scans if scan and scan[1] in GROWING]
            steps.clear()
            connection.execute(sql).fetchall()
            count = STEPS * len(steps)
            yield sql, [f"{count} steps"] if count > MOST_STEPS else []
        connection.execute("ROLLBACK")


def _in_postgres(
    store: str, statements: dict[str, Any], without: str
) -> Iterator[tuple[str, list[str]]]:
    with contextlib.closing(psycopg.connect(store)) as connection:
        connection.execute(without)
        for way in ("seqscan", "hashjoin", "mergejoin"):  # Right for so few rows.
            connection.execute(f"SET enable_{way} = off")
        for sql, values in statements.items():
            explained = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", values)
            yield sql, [*_reads(explained.fetchall()[0][0][0]["Plan"])]


def _reads(node: dict[str, Any]) -> Iterator[str]:
    """Yield the steps of a plan that read a whole table or index, or many rows of one."""
    if node.get("Relation Name") in GROWING and "Scan" in node["Node Type"]:
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        rows = (rows + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"]
        most_pages = MOST_SPARE_PAGES + 2 * rows + PAGES_PER_LOOKUP * node["Actual Loops"]
        pages = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        has_range = {"Index Cond", "Recheck Cond"} & node.keys()
        is_first = "Filter" not in node and rows <= 1
        has_run = node["Actual Loops"] > 0
        is_whole = has_run and not has_range and not is_first and node.get("Index Name") != UNENDED
        if is_whole or rows > MOST_ROWS or pages > most_pages:
            yield f"{node['Node Type']} of {node['Relation Name']}, {rows} rows, {pages} pages"
    for inner in node.get("Plans", ()):
        yield from _reads(inner)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_keep_logging")
def test_no_statement_reads_a_whole_table(
    store: Path | str, sandbox: Sandbox, tmp_path: Path, noted: dict[str, Any]
) -> None:
    """Each has an index, also in a store of a year, and no index is there for nothing."""
    fill(str(store), SIZE, int(time.time()))
    drops = {index: f"DROP INDEX {index}" for index in INDEXES}
    needed: set[str] = set()
    for change, then in ((), ()), ((), OLD_RUNS), (MANY_ACCOUNTS, ()):
        _change(store, change)
        noted.clear()
        use_all(str(store), sandbox.url, tmp_path)
        _change(store, then)
        found = list(large_reads(str(store), noted))
        assert not found, "\n".join(found)
        needed |= {name for name, sql in drops.items() if any(large_reads(str(store), noted, sql))}
    assert "run_history" in INDEXES
    # (PostgreSQL begins with the reservations, which are few, and finds their runs by number.)
    needed |= {PLACE, UNENDED} if isinstance(store, str) else {PLACE}
    assert needed == {*INDEXES}


MANY_ACCOUNTS = (
    "UPDATE run SET api_host = '127.0.0.1', customer_id = 'a-' || number",
    "UPDATE dead_letter SET api_host = '127.0.0.1', pixel_id = 77",
)
"""Many accounts and pixels at one host, as an agency has them."""

OLD_RUNS = ("UPDATE run SET started_at = started_at - 4e7 WHERE api_host = '127.0.0.1'",)
"""A host that no run has used for long."""


def _change(store: Path | str, statements: Iterable[str] = ()) -> None:
    """Change the rows; PostgreSQL then also removes what was deleted, and counts the rows."""
    connect = sqlite3.connect if isinstance(store, Path) else psycopg.connect
    with contextlib.closing(connect(store)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    if isinstance(store, str):
        with psycopg.connect(store, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
