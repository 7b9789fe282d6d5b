"""Events and ledgers for the tests of the ledger."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.model import Conversion
from target_liveintent.storage.ledger import Claim, Ledger, LedgerAccount
from target_liveintent.storage.ledger_in_database import LedgerInDatabase
from target_liveintent.storage.ledger_in_file import LedgerInFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOST = "conversions.liveintent.com"
ACCOUNT = LedgerAccount("a-1b2c", HOST)
URL = f"https://{HOST}/conversions/a-1b2c"
LATER = int(time.time()) + 86_400


def event(event_id: str = "1", **changes: Any) -> Conversion:
    values = {"stream": "orders", "pixel_id": 1, "expires_at": LATER, "body": b"{}", "columns": {}}
    return Conversion(event_id=event_id, **(values | changes))


def events(*numbers: int) -> list[Conversion]:
    return [event(str(n)) for n in range(*numbers)]


def open_ledger(
    path: Path | str,
    account: LedgerAccount = ACCOUNT,
    *,
    url: str = URL,
    run_id: str = "run-1",
    clock: Clock = SYSTEM_CLOCK,
    **how: Any,
) -> Ledger:
    """Open the ledger in a file."""
    store = LedgerInFile(str(path), account, url, run_id=run_id, clock=clock, **how)
    return Ledger(store, account, clock)


def open_database(
    url: str,
    account: LedgerAccount = ACCOUNT,
    *,
    run_id: str = "run-1",
    clock: Clock = SYSTEM_CLOCK,
) -> Ledger:
    """Open the ledger in a database."""
    return Ledger(LedgerInDatabase(url, account, run_id=run_id, clock=clock), account, clock)


class Ledgers:
    """Opens ledgers over one store, each as a run of its own, and closes them all.

    Args:
        path: The file.
        url: The database in its place.
    """

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path = path
        self.url = url
        self._open: list[Ledger] = []

    def __call__(self, account: LedgerAccount = ACCOUNT, **how: Any) -> Ledger:
        how.setdefault("run_id", f"run-{len(self._open)}")
        if self.url is None:
            ledger = open_ledger(self.path, account, **how)
        else:
            ledger = open_database(self.url, account, **how)
        self._open.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements, which name tables as the file does; return what the last gives."""
        if self.url is None:
            return query(self.path, *statements)
        import psycopg

        with psycopg.connect(self.url) as db:
            for statement in statements:
                names = r"\b(accepted|last_accepted|claims)\b"
                cursor = db.execute(re.sub(names, r"liveintent_ledger_\1", statement))
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        """The number of keys."""
        ((count,),) = self.query("SELECT count(*) FROM accepted")
        return int(count)


_numbers = itertools.count()


def claim(ledger: Ledger, conversions: Sequence[Conversion]) -> tuple[int, Claim]:
    """Claim events as a batch; return its number as well."""
    number = next(_numbers)
    return number, ledger.claim({number: conversions})[number]


def unsent(ledger: Ledger, conversions: Sequence[Conversion]) -> list[Conversion]:
    """Return the events that are free, and claim none of them."""
    number, claimed = claim(ledger, conversions)
    if claimed.mine:
        ledger.end(number, [])
        ledger.write()
    return claimed.mine


def remember(ledger: Ledger, *delivered: Conversion) -> None:
    """Deliver events, as a run does."""
    number, claimed = claim(ledger, delivered)
    if claimed.mine:
        ledger.end(number, claimed.mine)
        ledger.write()


def rows(path: Path) -> int:
    ((count,),) = query(path, "SELECT count(*) FROM accepted")
    return int(count)


def query(path: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Execute statements, and return what the last of them gives."""
    db = sqlite3.connect(path)
    try:
        found = [db.execute(statement).fetchall() for statement in statements]
        db.commit()
    finally:
        db.close()
    return found[-1]


def fill(path: Path, count: int, first: int, seconds: float = 1.0) -> None:
    """Add keys of other events to a ledger: one expires then, and one each so many seconds."""
    db = sqlite3.connect(path)
    keys = ((int(first + n * seconds).to_bytes(5, "big") + os.urandom(11),) for n in range(count))
    db.executemany("INSERT INTO accepted VALUES (?)", keys)
    db.commit()
    db.close()
