"""The reservations in a store, seen from outside."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from pathlib import Path


def ask(store: Path | str, sql: str, *values: Any) -> list[Any]:
    """Execute a statement, and return the rows that it gives.

    Args:
        store: The path of a file, or the URL of a database.
        sql: The statement, with `?` for each value.
        values: The values.
    """
    if isinstance(store, str):
        with psycopg.connect(store) as database:
            done = database.execute(sql.replace("?", "%s"), values)
            return done.fetchall() if done.description else []
    with contextlib.closing(sqlite3.connect(store, timeout=20)) as file, file:
        return file.execute(sql, values).fetchall()


def let_claims_lapse(store: Path | str, run_id: str = "%") -> None:
    """Let the reservations of a dead run, or of all runs, lapse at once, as half a minute does.

    Args:
        store: The path of a file, or the URL of a database.
        run_id: Whose reservations.
    """
    if isinstance(store, str) or store.exists():
        ask(store, "UPDATE run SET alive_until = 0 WHERE id LIKE ?", run_id)


def is_connected(url: str, name: str) -> bool:
    """Return whether a run is connected to a database.

    A database executes what a run has sent before it was killed, and notices only then that nobody
    waits for the answer. So events can be reserved after the end of the process that wanted them.

    Args:
        url: The database.
        name: The `application_name` of the run's connections.
    """
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = ?"
    ((found,),) = ask(url, query, name)
    return bool(found)


def count(store: Path | str, table: str) -> int:
    """Return how many rows a table of a store has."""
    ((found,),) = ask(store, f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(found)
