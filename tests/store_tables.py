"""Functions that read the tables of a store with plain SQL."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg


def ask(store: Path | str, sql: str, *values: Any) -> list[Any]:
    """Execute a statement with `?` for each value; return the rows, or [] if there is no store."""
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
    """Return whether a database has a connection with this name, which is that of a run.

    A database executes a statement that a run sent before it was killed, and notices only then that
    the connection is closed. So a run can reserve events even after the end of its process.
    """
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ?"
    ((found,),) = ask(url, query, name)
    return bool(found)


def count(store: Path | str, table: str) -> int:
    """Return how many rows a table of a store has."""
    ((found,),) = ask(store, f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(found)
