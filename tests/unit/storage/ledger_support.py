"""Events and ledgers for the tests of the ledger."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.model import Conversion
from target_liveintent.storage.ledger import Claim, Ledger, LedgerAccount
from target_liveintent.storage.ledger_in_database import LedgerInDatabase
from target_liveintent.storage.ledger_in_file import LedgerInFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_liveintent.storage.ledger_store import LedgerStore

HOST = "conversions.liveintent.com"
ACCOUNT = LedgerAccount("a-1b2c", HOST)
URL = f"https://{HOST}/conversions/a-1b2c"
LATER = int(time.time()) + 86_400


def event(event_id: str = "1", **changes: Any) -> Conversion:
    values = {"stream": "orders", "pixel_id": 1, "expires_at": LATER, "body": b"{}", "columns": {}}
    return Conversion(event_id=event_id, **(values | changes))


def events(*numbers: int) -> list[Conversion]:
    return [event(str(n)) for n in range(*numbers)]


class Ledgers:
    """Opens ledgers over one store, each as a run of its own, and closes them all.

    Args:
        path: The file.
        url: The database in its place.
    """

    def __init__(self, path: Path | None, url: str | None = None) -> None:
        self.path = path or Path()
        self.url = url
        self._open: list[Ledger] = []

    def __call__(
        self,
        account: LedgerAccount = ACCOUNT,
        *,
        url: str = URL,
        clock: Clock = SYSTEM_CLOCK,
        **how: Any,
    ) -> Ledger:
        how = {"run_id": f"run-{len(self._open)}", "clock": clock, **how}
        store: LedgerStore
        if self.url is None:
            store = LedgerInFile(str(self.path), account, url, **how)
        else:
            store = LedgerInDatabase(self.url, account, **how)
        self._open.append(Ledger(store, account, clock))
        return self._open[-1]

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements, which name tables as the file does; return what the last gives."""
        if self.url is None:
            db = sqlite3.connect(self.path)
            with db:
                found = [db.execute(statement).fetchall() for statement in statements]
            db.close()
            return found[-1]
        with psycopg.connect(self.url) as database:
            for statement in statements:
                names = r"\b(accepted|last_accepted|claims)\b"
                cursor = database.execute(re.sub(names, r"liveintent_ledger_\1", statement))
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        """The number of keys."""
        ((count,),) = self.query("SELECT count(*) FROM accepted")
        return int(count)

    def fill(self, count: int, first: int, seconds: int = 1) -> None:
        """Add keys of other events: one expires then, and one each so many seconds."""
        key_in_sql = "(decode('%s', 'hex'))" if self.url else "(x'%s')"
        keys = (f"{first + n * seconds:010x}{os.urandom(11).hex()}" for n in range(count))
        values = ",".join(key_in_sql % key for key in keys)
        self.query(f"INSERT INTO accepted VALUES {values}")  # noqa: S608


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
