"""The queries and the tables of store-tables.md, on a filled store of each kind."""

import datetime as dt
import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from docs_support import DOCS, blocks
from store_tables import ask

from target_liveintent.config import settings_of
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.reporting.history import Ending
from target_liveintent.store import deduplication
from target_liveintent.store.opening import open_database

PAGE = DOCS / "reference" / "store-tables.md"
EXCUSE = "run by tests/docs/test_docs_store.py"
ACCOUNT = {"customer_id": "a-1b2c", "api_host": "api.example.com", "pixel_id": 12345}
SETTINGS = {"customer_id": ACCOUNT["customer_id"], "auth_token": "made-up"}
RUN_ID = "019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e"
"""The run that the queries of the page name."""
PERSON = "9e26471d35a78862c17e467d87cddedf"
DAY = 86_400
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Noon of yesterday."""
YESTERDAY, BEFORE = (str(dt.date(1970, 1, 1) + dt.timedelta(NOON // DAY - n)) for n in (0, 1))


def sql(title: str | None = None) -> list[str]:
    """Return the statements of the page."""
    texts = [one.text for one in blocks(PAGE) if one.kind == "sql" and one.title == title]
    return [text for block in texts for text in re.split(r";\n", block) if text.strip()]


def _run(number: int, run_id: str, age: float, **columns: Any) -> dict[str, Any]:
    """Return the row of a run that began so many days before noon, and was there for an hour."""
    began = float(NOON - age * DAY)
    times = {"started_at": began, "alive_until": began + 3600}
    return {"number": number, "id": run_id, "kind": "usual", **times, **columns}


def _ended(kind: str, code: FailureCode | None, ending: str) -> dict[str, Any]:
    """Return the columns of a run that ended, with figures as `RunRecord` has them."""
    failure = None if code is None else Failure(code)
    figures = msgspec.json.encode({"kind": kind, "ending": Ending(failure)}).decode()
    return {"ended_at": NOON + 60.0, "ending": ending, "figures": figures}


def _letter(event_id: str, reason: str, run: int, age: int = 0, **columns: Any) -> dict[str, Any]:
    record = json.dumps({"event_id": event_id, "order_id": f"#{event_id}"})
    written = {"written_at": NOON - age * DAY, "run": run, "record": record, "hashes": ""}
    written |= {"first_run": run, "first_transaction": 1}
    written |= {"first_read": written["written_at"], "run_pixel_id": 12345}
    return {"stream": "orders", "event_id": event_id, "reason": reason, **written, **columns}


def _event(event_id: str, run: int, age: float, **columns: Any) -> dict[str, Any]:
    """Return the row of an event that happened so many days before it was sent, at noon."""
    times = {"sent_at": NOON + 0.5, "event_time": NOON - int(age * DAY)}
    names = {"stream": "orders", "event_id": event_id, "order_id": f"#{event_id}"}
    return {**names, "run": run, "source": "web", "currency": "USD", **times, **columns}


ROWS = {
    "run": [
        _run(1, RUN_ID, 0, **_ended("usual", None, "done")),
        _run(2, "failed", 3, **_ended("backfill", FailureCode.ACCESS_DENIED, "failed")),
        _run(3, "killed", 5),
        _run(4, "old", 30, **_ended("usual", None, "done")),
        _run(5, "running", -0.1) | {"alive_until": time.time() + 3600},
        _run(6, "task", 0) | {"kind": "task", "ended_at": NOON + 60.0},
    ],
    "dead_letter": [
        _letter("1006", "event_too_old", 1, field="event_time", window_end=NOON - DAY),
        _letter("1007", "no_identity", 1, window_end=NOON + 90 * DAY),
        _letter("1008", "no_identity", 2, age=1),
    ],
    "delivered": [
        _event("1", 1, 0, value="87.28", md5=PERSON),
        _event("2", 1, -0.1, value="0.02", sha2=PERSON),
        _event("3", 2, 1.5, value="10", currency="EUR"),
        _event("4", 2, 0, currency="GBP"),
    ],
}
EXPECTED: list[list[tuple[Any, ...]]] = [
    [(BEFORE, "no_identity", 1), (YESTERDAY, "event_too_old", 1), (YESTERDAY, "no_identity", 1)],
    [("orders", "1006", "event_too_old", None, f"{YESTERDAY} 12:00:00")],
    [
        ("killed", ..., None, None, None),
        ("failed", ..., "failed", "backfill", "access_denied"),
        (RUN_ID, f"{YESTERDAY} 12:00:00", "done", "usual", None),
        ("running", f"{YESTERDAY} 14:24:00", None, None, None),
    ],
    [
        (BEFORE, 12345, "EUR", 1, 10),
        (YESTERDAY, 12345, "GBP", 1, None),
        (YESTERDAY, 12345, "USD", 2, 87.3),
    ],
    [(..., "#1", 87.28, "USD"), (..., "#2", 0.02, "USD")],
]
"""What each query of the page finds, in their order; `...` stands for anything."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A store with a few rows, and in PostgreSQL the functions of the page."""
    path: Path | str = tmp_path / "liveintent.sqlite"
    if request.param == "postgres":
        path = request.getfixturevalue("store_url")
    open_database(settings_of({**SETTINGS, "store": str(path)}).storage).close()
    for table, rows in ROWS.items():
        for row in rows:
            values = {**ACCOUNT, **row}
            marks = ", ".join("?" * len(values))
            columns = ", ".join(values)
            insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 (constants)
            ask(path, insert, *values.values())
    if request.param == "postgres":
        for statement in sql("postgresql"):
            ask(path, statement)
    return path


def test_queries(store: Path | str) -> None:
    """Each query of the page finds what it says, with the same text in both databases."""
    queries = sql()
    assert len(queries) == len(EXPECTED) == 5
    for query, expected in zip(queries, EXPECTED, strict=True):
        found = ask(store, query)
        assert len(found) == len(expected), query
        for row, wanted in zip(found, expected, strict=True):
            assert list(map(_same, row, wanted)) == [True] * len(wanted), (query, row)


def _same(value: Any, wanted: Any) -> bool:
    if wanted is ... or value is wanted is None:
        return True
    if isinstance(wanted, float | int) and value is not None:  # SQLite has amounts as text.
        return float(value) == pytest.approx(wanted, rel=1e-4)
    return str(value) == wanted


def test_how_many_are_recognized() -> None:
    """The page of the store says how many events a run knows by their ID alone."""
    assert (
        f"**The newest {deduplication.RECENT:,} events of the store"
        in (DOCS / "store.md").read_text()
    )


def test_columns(tmp_path: Path) -> None:
    """The page names each table, each column of it, and no other."""
    path = tmp_path / "liveintent.sqlite"
    open_database(settings_of({**SETTINGS, "store": str(path)}).storage).close()
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    tables = [name for (name,) in ask(path, query)]
    found = re.findall(
        r"^\| table `(\w+)` \|.*\n\| --- .*\n((?:\|.*\n)+)", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert sorted(name for name, _ in found) == sorted(tables)
    for name, rows in found:
        named = " ".join(row.split("|")[1] for row in rows.splitlines())
        columns = {column for _, column, *_ in ask(path, f"PRAGMA table_info({name})")}
        assert set(re.findall(r"`(\w+)`", named)) == columns
