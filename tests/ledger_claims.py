"""The tables of a store, seen from outside."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg


def ask(store: Path | str, sql: str, *values: Any) -> list[Any]:
    """Execute a statement with `?` for each value; return its rows: none if there is no store."""
    if isinstance(store, str):
        with psycopg.connect(store) as database:
            done = database.execute(sql.replace("?", "%s"), values)
            return done.fetchall() if done.description else []
    if not store.exists():
        return []
    with contextlib.closing(sqlite3.connect(store, timeout=20)) as file, file:
        has_tables = file.execute("SELECT 1 FROM sqlite_master").fetchall()
        return file.execute(sql, values).fetchall() if has_tables else []


def read_letters(store: Path | str) -> list[dict[str, Any]]:
    """Return the dead letters of a store, in the order in which runs wrote them."""
    query = "SELECT CAST(record AS TEXT) FROM dead_letter ORDER BY written_at, run, event_id"
    return [json.loads(record) for (record,) in ask(store, query)]


def letters_by_id(store: Path | str) -> dict[str, dict[str, Any]]:
    """Return the dead letters of a store by event ID."""
    return {letter["event_id"]: letter for letter in read_letters(store)}


def is_connected(url: str, name: str) -> bool:
    """Return whether a run is connected to a database, by the name of its connections.

    A database executes what a run has sent before it was killed, and notices only then that nobody
    waits for the answer. So events can be reserved after the end of the process that wanted them.
    """
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ?"
    ((found,),) = ask(url, query, name)
    return bool(found)


def count(store: Path | str, table: str) -> int:
    """Return how many rows a table of a store has."""
    ((found,),) = ask(store, f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(found)
