"""The claims in a ledger, seen from outside."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import psycopg

from target_liveintent.storage.ledger_store import KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path


def let_claims_lapse(ledger: Path | str, run_id: str = "%") -> None:
    """Let the claims of a dead run, or of all runs, lapse at once, as half a minute does.

    Args:
        ledger: The path of a file, or the URL of a database.
        run_id: Whose claims.
    """
    if isinstance(ledger, str):
        with psycopg.connect(ledger) as database:
            database.execute(
                "UPDATE liveintent_ledger_claims SET until = now() - interval '1 s'"
                " WHERE run_id LIKE %s",
                [run_id],
            )
    elif ledger.exists():
        file = sqlite3.connect(ledger)
        with file:
            file.execute("UPDATE claims SET until = 0 WHERE run_id LIKE ?", [run_id])
        file.close()


def is_connected(url: str, name: str) -> bool:
    """Return whether a run is connected to a database.

    A database executes what a run has sent before it was killed, and notices only then that nobody
    waits for the answer. So claims can be made after the end of the process that wanted them.

    Args:
        url: The database.
        name: The `application_name` of the run's connections.
    """
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(url) as database:
        ((found,),) = database.execute(query, [name]).fetchall()
    return bool(found)


def count(ledger: Path | str, table: str) -> int:
    """Return how many rows a table of a ledger has: `accepted` or `claims`."""
    query = f"SELECT count(*) FROM {{}}{table}"  # noqa: S608
    if isinstance(ledger, str):
        with psycopg.connect(ledger) as database:
            ((found,),) = database.execute(query.format("liveintent_ledger_")).fetchall()
    else:
        file = sqlite3.connect(ledger)
        ((found,),) = file.execute(query.format("")).fetchall()
        file.close()
    return int(found)


def claimed(ledger: Path | str, run_id: str = "%") -> int:
    """Return how many events a run, or any run, has claimed."""
    if isinstance(ledger, str):
        with psycopg.connect(ledger) as database:
            ((found,),) = database.execute(
                "SELECT sum(cardinality(hashes)) FROM liveintent_ledger_claims"
                " WHERE run_id LIKE %s",
                [run_id],
            ).fetchall()
    else:
        file = sqlite3.connect(ledger)
        ((found,),) = file.execute(
            "SELECT sum(length(keys)) / ? FROM claims WHERE run_id LIKE ?", [KEY_BYTES, run_id]
        ).fetchall()
        file.close()
    return int(found or 0)
