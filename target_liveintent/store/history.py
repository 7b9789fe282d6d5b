"""The rows of runs: what the reports and the rules about unusual days read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from target_liveintent.store.database import Database
from target_liveintent.store.ledger import LedgerAccount

_READ = (
    "SELECT id, kind, alive_until, CAST(figures AS TEXT) FROM run WHERE kind <> 'task'"
    " AND customer_id = ? AND api_host = ? AND coalesce(pixel_id, 0) = ? AND started_at >= ?"
    " AND (ended_at IS NOT NULL OR alive_until < {now}) ORDER BY started_at, id"
)


class StoredRun(NamedTuple):
    """A run that is over.

    Attributes:
        id: Its ID.
        kind: What kind of run it was meant to be.
        last_seen: Unix time, in seconds, until which it was certainly there.
        figures: Its figures as JSON; None if it was killed.
    """

    id: str
    kind: str
    last_seen: float
    figures: str | None


def runs_in(
    database: Database, account: LedgerAccount, pixel_id: int | None, since: float
) -> Iterator[StoredRun]:
    """Yield the runs of an account and pixel that began since a Unix time, the oldest first."""
    for row in database.read(_READ, [*account, pixel_id or 0, since]):
        yield StoredRun(*row)
