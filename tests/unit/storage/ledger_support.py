"""Events and ledgers for the tests of the ledger."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from target_liveintent.conversions.model import Conversion
from target_liveintent.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = ("https://conversions.liveintent.com/conversions/a-1b2c", "a-1b2c")
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

    def __call__(self, *account: str) -> Ledger:
        ledger = Ledger(str(self.path), account or ACCOUNT)
        self._open.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()


def remember(ledger: Ledger, *delivered: Conversion) -> None:
    for one in delivered:
        ledger.begin(one)
    ledger.end(delivered, delivered)


def rows(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        (count,) = db.execute("SELECT count(*) FROM delivered").fetchone()
    finally:
        db.close()
    return int(count)
