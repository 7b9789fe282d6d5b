"""Events and ledgers for the tests of the ledger."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from target_liveintent.conversions.model import Conversion
from target_liveintent.storage.ledger import Ledger, LedgerAccount

if TYPE_CHECKING:
    from pathlib import Path

HOST = "conversions.liveintent.com"
ACCOUNT = LedgerAccount("a-1b2c", HOST, f"https://{HOST}/conversions/a-1b2c")
LATER = int(time.time()) + 86_400


def event(event_id: str = "1", **changes: Any) -> Conversion:
    values = {"stream": "orders", "pixel_id": 1, "expires_at": LATER, "body": b"{}", "columns": {}}
    return Conversion(event_id=event_id, **(values | changes))


def events(*numbers: int) -> list[Conversion]:
    return [event(str(n)) for n in range(*numbers)]


class Ledgers:
    """Opens ledgers over one file, and closes them all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: list[Ledger] = []

    def __call__(self, account: LedgerAccount = ACCOUNT, **how: Any) -> Ledger:
        ledger = Ledger(str(self.path), account, **how)
        self._open.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()


def remember(ledger: Ledger, *delivered: Conversion) -> None:
    """Deliver events, as a run does."""
    for one in delivered:
        ledger.begin(one)
    ledger.unsent(delivered)
    ledger.end(delivered, delivered)


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
